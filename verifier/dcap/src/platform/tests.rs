//! The extension member by member, and each way in which it is none.

use super::*;

/// DER of 1.2.840.113741.1.13.1.
const ARC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01];

type Member = (&'static [u8], Vec<u8>);

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
    let mut out = vec![tag];
    match (high, low) {
        (0, 0..=0x7f) => out.push(low),
        (0, _) => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    out.extend(value);
    out
}

fn sequence(members: &[Member]) -> Vec<u8> {
    let pair = |(arcs, value): &Member| {
        let oid = tlv(0x06, &[ARC, arcs].concat());
        tlv(0x30, &[oid, value.clone()].concat())
    };
    tlv(0x30, &members.iter().flat_map(pair).collect::<Vec<u8>>())
}

fn tcb() -> Vec<Member> {
    vec![
        (&[2, 17], tlv(0x02, &[0x00, 0xff])),
        (&[2, 18], tlv(0x04, &[7; 16])),
    ]
}

fn flags() -> Vec<Member> {
    vec![
        (&[7, 1], tlv(0x01, &[0xff])),
        (&[7, 2], tlv(0x01, &[0x00])),
        (&[7, 3], tlv(0x01, &[0xff])),
    ]
}

fn members() -> Vec<Member> {
    vec![
        (&[1], tlv(0x04, &[1; 16])),
        (&[2], sequence(&tcb())),
        (&[3], tlv(0x04, &[0x00, 0x11])),
        (&[4], tlv(0x04, &[0xb0, 0xc0, 0x6f, 0, 0, 0])),
        (&[5], tlv(0x0a, &[1])),
        (&[6], tlv(0x04, &[6; 16])),
        (&[7], sequence(&flags())),
    ]
}

fn read(members: &[Member]) -> Result<PlatformFacts, NoPlatform> {
    PlatformFacts::read(&sequence(members))
}

#[test]
fn a_platform_of_the_platform_ca_says_all() {
    let expected = PlatformFacts {
        cpu_svn: [7; 16],
        pce_svn: 255,
        pce_id: [0x00, 0x11],
        fmspc: [0xb0, 0xc0, 0x6f, 0, 0, 0],
        sgx_type: 1,
        instance: Some([6; 16]),
        dynamic_platform: Some(true),
        cached_keys: Some(false),
        smt: Some(true),
    };
    assert_eq!(read(&members()), Ok(expected));
}

#[test]
fn a_platform_of_the_processor_ca_has_neither_instance_nor_configuration() {
    let facts = read(&members()[..5]).unwrap();
    assert_eq!(facts.instance, None);
    assert_eq!(facts.dynamic_platform, None);
    assert_eq!((facts.cached_keys, facts.smt), (None, None));
}

#[test]
fn what_is_missing_twice_or_of_another_type_is_named() {
    let without = |arcs: &[u8]| {
        let mut left = members();
        left.retain(|(name, _)| *name != arcs);
        read(&left)
    };
    let with = |arcs: &'static [u8], value: Vec<u8>| {
        let mut other = members();
        other.retain(|(name, _)| *name != arcs);
        other.push((arcs, value));
        read(&other)
    };
    assert_eq!(without(&[2]), Err(NoPlatform::Missing(TCB)));
    assert_eq!(without(&[3]), Err(NoPlatform::Missing(PCE_ID)));
    assert_eq!(without(&[4]), Err(NoPlatform::Missing(FMSPC)));
    assert_eq!(without(&[5]), Err(NoPlatform::Missing(SGX_TYPE)));
    for (gone, oid) in [(0, PCE_SVN), (1, CPU_SVN)] {
        let mut left = tcb();
        left.remove(gone);
        assert_eq!(with(&[2], sequence(&left)), Err(NoPlatform::Missing(oid)));
    }
    let wrong = |oid| Err(NoPlatform::Value(oid));
    assert_eq!(with(&[3], tlv(0x04, &[0])), wrong(PCE_ID));
    assert_eq!(with(&[4], tlv(0x04, &[0; 7])), wrong(FMSPC));
    assert_eq!(with(&[4], tlv(0x0c, &[0x30; 6])), wrong(FMSPC));
    assert_eq!(with(&[5], tlv(0x0a, &[1, 0])), wrong(SGX_TYPE));
    assert_eq!(with(&[5], tlv(0x02, &[1])), wrong(SGX_TYPE));
    assert_eq!(with(&[6], tlv(0x04, &[6; 15])), wrong(INSTANCE));
    for svn in [&[0x01, 0x00, 0x00][..], &[0xff], &[]] {
        let of = [(&[2, 17][..], tlv(0x02, svn)), tcb()[1].clone()];
        assert_eq!(with(&[2], sequence(&of)), wrong(PCE_SVN), "{svn:?}");
    }
    // DER has one way to say true.
    let of = [(&[7, 3][..], tlv(0x01, &[0x01]))];
    assert_eq!(with(&[7], sequence(&of)), wrong(SMT));
    let twice = [members(), vec![(&[4], tlv(0x04, &[0; 6]))]].concat();
    assert_eq!(read(&twice), Err(NoPlatform::Twice(FMSPC)));
}

#[test]
fn what_is_no_sequence_of_pairs_is_refused() {
    let good = sequence(&members());
    for len in 0..good.len() {
        let cut = PlatformFacts::read(&good[..len]);
        assert!(matches!(cut, Err(NoPlatform::Form(_))), "{len}: {cut:?}");
    }
    let more = PlatformFacts::read(&[&good[..], &[0]].concat());
    assert!(matches!(more, Err(NoPlatform::Form(_))));
    let mut set = good;
    set[0] = 0x31;
    assert!(matches!(
        PlatformFacts::read(&set),
        Err(NoPlatform::Form(_))
    ));
    // A pair of three.
    let pair = [tlv(0x06, ARC), tlv(0x05, &[]), tlv(0x05, &[])].concat();
    let three = PlatformFacts::read(&tlv(0x30, &tlv(0x30, &pair)));
    assert!(matches!(three, Err(NoPlatform::Form(_))));
    let many: Vec<u8> = (0..=32u8)
        .flat_map(|arc| {
            let oid = tlv(0x06, &[ARC, &[arc]].concat());
            tlv(0x30, &[oid, tlv(0x05, &[])].concat())
        })
        .collect();
    assert_eq!(
        PlatformFacts::read(&tlv(0x30, &many)),
        Err(NoPlatform::TooMany)
    );
}

#[test]
fn two_readings_agree_in_every_member_or_not_at_all() {
    let facts = read(&members()).unwrap();
    let same = PckIdentity {
        ppid: vec![1; 16],
        cpu_svn: [7; 16],
        pce_svn: 255,
        pce_id: vec![0x00, 0x11],
        fmspc: [0xb0, 0xc0, 0x6f, 0, 0, 0],
        sgx_type: 1,
        platform_instance_id: Some([6; 16]),
        dynamic_platform: PckCertFlag::True,
        cached_keys: PckCertFlag::False,
        smt_enabled: PckCertFlag::True,
        platform_provider_id: None,
    };
    assert!(facts.agree_with(&same));
    let changes: [fn(&mut PckIdentity); 9] = [
        |read| read.cpu_svn[15] ^= 1,
        |read| read.pce_svn = 254,
        |read| read.pce_id = vec![0x11],
        |read| read.fmspc[0] = 0,
        |read| read.sgx_type = 0,
        |read| read.platform_instance_id = None,
        |read| read.dynamic_platform = PckCertFlag::Undefined,
        |read| read.cached_keys = PckCertFlag::Undefined,
        |read| read.smt_enabled = PckCertFlag::False,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut other = same.clone();
        change(&mut other);
        assert!(!facts.agree_with(&other), "{index}");
    }
}
