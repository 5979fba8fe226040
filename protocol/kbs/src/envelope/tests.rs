use super::*;
use crate::limits::{MAX_ENVELOPE_LEN, MAX_MATERIAL_LEN, MAX_POLICY_ENTRIES};
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use proptest::prelude::*;

/// RFC 6979, A.2.5.
const SIGNER: [u8; 32] = [
    0xC9, 0xAF, 0xA9, 0xD8, 0x45, 0xBA, 0x75, 0x16, 0x6B, 0x5C, 0x21, 0x57, 0x67, 0xB1, 0xD6, 0x93,
    0x4E, 0x50, 0xC3, 0xDB, 0x36, 0xE8, 0x9B, 0x12, 0x7B, 0x8A, 0x62, 0x2B, 0x12, 0x0F, 0x67, 0x21,
];
const KID: &[u8] = b"owner-1";

fn golden() -> Vec<u8> {
    let text = include_str!("../../golden/envelope.hex").trim();
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

fn material() -> [u8; 32] {
    std::array::from_fn(|at| u8::try_from(at).unwrap())
}

fn fields(material: &[u8]) -> EnvelopeFields<'_> {
    EnvelopeFields {
        path: "default/key/signing",
        key_type: "ec-p256",
        version: 3,
        tenant: Some("acme"),
        created_secs: 1_767_225_600,
        policy: EnvelopePolicy {
            operations: vec!["sign", "public-key"],
            wrappable_by: vec![],
            release_to: vec!["unit:web.service"],
            lease_secs: Some(43_200),
            not_after_secs: Some(1_893_456_000),
            disk: None,
        },
        material,
    }
}

fn key() -> SigningKey {
    SigningKey::from_slice(&SIGNER).unwrap()
}

fn genuine(parts: &[&[u8]], signature: &[u8; 64]) -> bool {
    VerifyingKey::from(&key())
        .verify(&parts.concat(), &Signature::from_slice(signature).unwrap())
        .is_ok()
}

fn unchecked(bytes: &[u8]) -> Result<(), EnvelopeError> {
    UnverifiedEnvelope::parse(bytes)?
        .verified_by(|_, _| true)
        .map(drop)
}

#[test]
fn the_golden_envelope_reads_as_written_out() {
    let bytes = golden();
    assert!(looks_like_envelope(&bytes));
    let unverified = UnverifiedEnvelope::parse(&bytes).unwrap();
    assert_eq!(unverified.kid(), KID);
    let envelope = unverified.verified_by(genuine).unwrap();
    let read = envelope.fields();
    let bytes_of_material = material();
    let written = fields(&bytes_of_material);
    assert_eq!(read.path, written.path);
    assert_eq!(read.key_type, written.key_type);
    assert_eq!(read.version, written.version);
    assert_eq!(read.tenant, written.tenant);
    assert_eq!(read.created_secs, written.created_secs);
    assert_eq!(read.policy, written.policy);
    assert_eq!(read.material, written.material);
}

#[test]
fn the_written_out_fields_make_the_golden_bytes() {
    let material = material();
    let signed = to_be_signed(KID, &fields(&material)).unwrap();
    let signature: Signature = key().sign(&signed);
    let bytes = assemble(KID, &fields(&material), &signature.to_bytes().into()).unwrap();
    assert_eq!(bytes, golden());
}

#[test]
fn what_is_signed_is_what_is_checked() {
    let bytes = golden();
    let unverified = UnverifiedEnvelope::parse(&bytes).unwrap();
    let (prefix, payload) = unverified.signed_parts();
    let material = material();
    assert_eq!(
        [prefix.as_slice(), payload].concat(),
        to_be_signed(KID, &fields(&material)).unwrap()
    );
}

#[test]
fn the_material_is_borrowed_from_the_input() {
    let bytes = golden();
    let envelope = UnverifiedEnvelope::parse(&bytes)
        .unwrap()
        .verified_by(genuine)
        .unwrap();
    assert!(
        bytes
            .as_ptr_range()
            .contains(&envelope.fields().material.as_ptr())
    );
}

#[test]
fn no_field_comes_out_of_an_envelope_that_is_not_genuine() {
    let bytes = golden();
    assert!(matches!(
        UnverifiedEnvelope::parse(&bytes)
            .unwrap()
            .verified_by(|_, _| false),
        Err(EnvelopeError::SignatureInvalid)
    ));
}

#[test]
fn no_single_bit_can_change() {
    let bytes = golden();
    for at in 0..bytes.len() * 8 {
        let mut tampered = bytes.clone();
        tampered[at / 8] ^= 1 << (at % 8);
        let accepted = UnverifiedEnvelope::parse(&tampered)
            .and_then(|envelope| {
                // The kid is covered by the signature, too.
                envelope.verified_by(|parts, signature| {
                    Signature::from_slice(signature).is_ok() && genuine(parts, signature)
                })
            })
            .is_ok();
        assert!(!accepted, "bit {at}");
    }
}

#[test]
fn a_truncated_or_longer_envelope_is_refused() {
    let bytes = golden();
    for len in 0..bytes.len() {
        assert!(UnverifiedEnvelope::parse(&bytes[..len]).is_err(), "{len}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(
        UnverifiedEnvelope::parse(&longer),
        Err(EnvelopeError::Malformed { part: "frame", .. })
    ));
    assert!(matches!(
        UnverifiedEnvelope::parse(&vec![0xd2; MAX_ENVELOPE_LEN + 1]),
        Err(EnvelopeError::TooLong { .. })
    ));
}

#[test]
fn another_frame_is_refused() {
    let payload = payload_of(&fields(&SIGNER));
    let genuine = wrapped(&payload);
    assert!(unchecked(&genuine).is_ok());
    let part = |bytes: &[u8]| match unchecked(bytes) {
        Err(EnvelopeError::Malformed { part, .. }) => part,
        other => panic!("{other:?}"),
    };
    let other_tag = [&[0xd1], &genuine[1..]].concat();
    let long_tag = [&[0xd8, 18], &genuine[1..]].concat();
    let in_map = framed(PROTECTED, &[0xa1, 0x04, 0x41, 1], &payload);
    for bytes in [&genuine[1..], &other_tag, &long_tag, &in_map] {
        assert_eq!(part(bytes), "frame");
    }
}

#[test]
fn another_protected_header_is_refused() {
    let payload = payload_of(&fields(&SIGNER));
    for (defect, protected) in [
        ("empty", &b""[..]),
        ("algorithm ES384", b"\xa2\x01\x38\x22\x04\x47owner-1"),
        ("no kid", b"\xa1\x01\x26"),
        ("empty kid", b"\xa2\x01\x26\x04\x40"),
        ("kid as text", b"\xa2\x01\x26\x04\x67owner-1"),
        ("a parameter more", b"\xa3\x01\x26\x04\x47owner-1\x16\xf6"),
        ("out of order", b"\xa2\x04\x47owner-1\x01\x26"),
        ("kid in a long form", b"\xa2\x01\x26\x04\x58\x07owner-1"),
        ("bytes after", b"\xa2\x01\x26\x04\x47owner-1\x00"),
    ] {
        assert!(
            matches!(
                unchecked(&framed(protected, &[0xa0], &payload)),
                Err(EnvelopeError::Malformed {
                    part: "protected header",
                    ..
                })
            ),
            "{defect}"
        );
    }
}

#[test]
fn bytes_after_the_payloads_array_are_refused() {
    let payload = [payload_of(&fields(&SIGNER)).as_slice(), &[0]].concat();
    assert!(matches!(
        unchecked(&wrapped(&payload)),
        Err(EnvelopeError::Malformed {
            part: "payload",
            source: nitride_cbor::DecodeError::TrailingBytes { .. }
        })
    ));
}

#[test]
fn fields_out_of_range_are_neither_written_nor_read() {
    type Defect = (&'static str, fn(&mut EnvelopeFields<'_>));
    let defects: [Defect; 18] = [
        ("path with scheme", |f| f.path = "kbs:///a/b/c"),
        ("path of two parts", |f| f.path = "a/b"),
        ("path upwards", |f| f.path = "a/b/.."),
        ("no key type", |f| f.key_type = ""),
        ("long key type", |f| {
            f.key_type = "123456789012345678901234567890123";
        }),
        ("version zero", |f| f.version = 0),
        ("empty tenant", |f| f.tenant = Some("")),
        ("no material", |f| f.material = &[]),
        ("much material", |f| f.material = &[0; MAX_MATERIAL_LEN + 1]),
        ("empty operation", |f| f.policy.operations = vec![""]),
        ("operation twice", |f| {
            f.policy.operations = vec!["a", "b", "a"];
        }),
        ("wrapping key twice", |f| {
            f.policy.wrappable_by = vec!["a", "a"];
        }),
        ("many operations", |f| {
            f.policy.operations = vec!["a"; MAX_POLICY_ENTRIES + 1];
        }),
        ("release to nobody", |f| {
            f.policy.release_to = vec!["web.service"];
        }),
        ("release to a uid in another spelling", |f| {
            f.policy.release_to = vec!["uid:00"];
        }),
        ("release twice", |f| {
            f.policy.release_to = vec!["uid:0", "uid:0"];
        }),
        ("empty disk", |f| f.policy.disk = Some(vec![""])),
        ("disk twice", |f| f.policy.disk = Some(vec!["a", "a"])),
    ];
    let material = material();
    for (defect, break_it) in defects {
        let mut broken = fields(&material);
        break_it(&mut broken);
        assert!(to_be_signed(KID, &broken).is_err(), "{defect}");
        assert!(assemble(KID, &broken, &[0; 64]).is_err(), "{defect}");
        let bytes = wrapped(&payload_of(&broken));
        assert!(unchecked(&bytes).is_err(), "{defect}");
    }
    assert!(unchecked(&wrapped(&payload_of(&fields(&material)))).is_ok());
}

#[test]
fn another_payload_version_is_named() {
    let material = material();
    let mut payload = payload_of(&fields(&material));
    payload[1] = 2;
    assert!(matches!(
        unchecked(&wrapped(&payload)),
        Err(EnvelopeError::UnknownVersion { found: 2 })
    ));
}

#[test]
fn a_kid_of_no_or_too_many_bytes_is_not_written() {
    let material = material();
    for kid in [&[][..], &[1; 65]] {
        assert!(to_be_signed(kid, &fields(&material)).is_err());
    }
}

#[test]
fn neither_debug_nor_errors_show_the_material() {
    let secret = [0xAB; 32];
    let shown = format!("{:?}", fields(&secret));
    assert!(
        !shown.contains("171") && !shown.to_lowercase().contains("abab"),
        "{shown}"
    );
    let bytes = wrapped(&payload_of(&fields(&secret)));
    let envelope = UnverifiedEnvelope::parse(&bytes).unwrap();
    assert!(!format!("{envelope:?}").contains("171"));
    let verified = envelope.verified_by(|_, _| true).unwrap();
    assert!(!format!("{verified:?}").contains("171"));
}

#[test]
fn an_error_over_a_bare_secret_repeats_none_of_it() {
    // It begins as an envelope does, and then announces 0x68756e7465723221 entries: `hunter2!`.
    let secret = b"\xd2\x9bhunter2!hunter2!";
    let error = UnverifiedEnvelope::parse(secret).unwrap_err();
    let number = u64::from_be_bytes(*b"hunter2!").to_string();
    let shown = format!("{error:?}");
    assert!(
        !shown.contains(&number) && shown.contains("entries"),
        "{shown}"
    );
}

/// A payload as the encoder would write it, but without its checks.
fn payload_of(fields: &EnvelopeFields<'_>) -> Vec<u8> {
    nitride_cbor::encode_to_vec(MAX_ENVELOPE_LEN, |w| {
        let texts = |w: &mut nitride_cbor::Writer<'_>, texts: &[&str]| {
            w.array(texts.len())?;
            texts.iter().try_for_each(|text| w.text(text))
        };
        w.array(8)?;
        w.u64(ENVELOPE_VERSION)?;
        w.text(fields.path)?;
        w.text(fields.key_type)?;
        w.u64(fields.version.into())?;
        w.optional(fields.tenant, |w, tenant| w.text(tenant))?;
        w.u64(fields.created_secs)?;
        w.array(6)?;
        texts(w, &fields.policy.operations)?;
        texts(w, &fields.policy.wrappable_by)?;
        texts(w, &fields.policy.release_to)?;
        w.optional(fields.policy.lease_secs, nitride_cbor::Writer::u64)?;
        w.optional(fields.policy.not_after_secs, nitride_cbor::Writer::u64)?;
        w.optional(fields.policy.disk.as_deref(), texts)?;
        w.bytes(fields.material)
    })
    .unwrap()
}

const PROTECTED: &[u8] = b"\xa2\x01\x26\x04\x47owner-1";

/// A frame around any payload, with a signature of zeros.
fn wrapped(payload: &[u8]) -> Vec<u8> {
    framed(PROTECTED, &[0xa0], payload)
}

fn framed(protected: &[u8], unprotected: &[u8], payload: &[u8]) -> Vec<u8> {
    nitride_cbor::encode_to_vec(MAX_ENVELOPE_LEN, |w| {
        w.tag(18)?;
        w.array(4)?;
        w.bytes(protected)?;
        w.raw(unprotected)?;
        w.bytes(payload)?;
        w.bytes(&[0; 64])
    })
    .unwrap()
}

proptest! {
    #[test]
    fn any_bytes_give_an_envelope_or_a_named_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..256),
    ) {
        let _ = unchecked(&bytes);
        let _ = unchecked(&wrapped(&bytes));
    }

    #[test]
    fn a_damaged_envelope_gives_a_named_error_or_is_its_only_spelling(
        at in 0usize..204, value: u8,
    ) {
        let mut bytes = golden();
        bytes[at] = value;
        let Ok(unverified) = UnverifiedEnvelope::parse(&bytes) else { return Ok(()) };
        let (kid, signature) = (unverified.kid().to_vec(), *unverified.signature());
        let Ok(envelope) = unverified.verified_by(|_, _| true) else { return Ok(()) };
        prop_assert_eq!(assemble(&kid, envelope.fields(), &signature).unwrap(), bytes);
    }

    #[test]
    fn whatever_is_written_reads_back(
        version in 1u32.., created_secs: u64, tenant in proptest::option::of("\\PC{1,20}"),
        lease_secs: Option<u64>, not_after_secs: Option<u64>,
        operations in proptest::collection::hash_set("[a-z-]{1,12}", 0..8),
        disk in proptest::option::of(proptest::collection::hash_set("[0-9a-f-]{36}", 0..3)),
        material in proptest::collection::vec(any::<u8>(), 1..300),
    ) {
        let written = EnvelopeFields {
            version,
            tenant: tenant.as_deref(),
            created_secs,
            policy: EnvelopePolicy {
                operations: operations.iter().map(String::as_str).collect(),
                lease_secs,
                not_after_secs,
                disk: disk.as_ref().map(|disk| disk.iter().map(String::as_str).collect()),
                ..fields(&material).policy
            },
            ..fields(&material)
        };
        let bytes = assemble(KID, &written, &[7; 64]).unwrap();
        let envelope = UnverifiedEnvelope::parse(&bytes).unwrap().verified_by(|_, _| true).unwrap();
        let read = envelope.fields();
        prop_assert_eq!((read.version, read.tenant), (written.version, written.tenant));
        prop_assert_eq!(&read.policy, &written.policy);
        prop_assert_eq!(read.material, written.material);
    }
}
