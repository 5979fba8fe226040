use super::super::AttestationPolicy;
use super::*;
use crate::evidence::Tee;

const HEAD: &str = "version = 1\ndanger-accept-sample = false\ndanger-test-anchors = []\n[azure]\n\
     user-data = \"bound\"\ninit-data = \"any\"\nsecure-boot = true\nconsole = \"any\"\n\
     vm-ids = [\"A\"]\nrequires-coverage = [\"kernel\"]\n";

fn policy(rest: &str) -> Result<AttestationPolicy, FileError> {
    AttestationPolicy::parse(&format!("{HEAD}{rest}"), "policy.toml")
}

fn reference(name: &str, pcrs: &str, covers: &str) -> String {
    format!("[[azure.reference]]\nname = \"{name}\"\npcrs = {{ {pcrs} }}\ncovers = [{covers}]\n")
}

/// Everything that a kernel takes, with 0x0a in it.
fn kernel() -> String {
    stated(&["2", "4", "8", "9"])
}

fn stated(indexes: &[&str]) -> String {
    let pcrs: Vec<String> = indexes.iter().map(|index| pcr(index, "0a")).collect();
    pcrs.join(", ")
}

fn pcr(index: &str, byte: &str) -> String {
    format!("{index} = \"{}\"", byte.repeat(32))
}

#[test]
fn every_field_is_stated_and_each_hardware_has_its_own_section() {
    let read = policy("").unwrap();
    let azure = read.azure().unwrap();
    assert_eq!(azure.user_data.value, Wanted::Is(Bound::Bound));
    assert_eq!(azure.init_data.value, Wanted::Any);
    assert!(read.admits(Tee::AzSnpVtpm).is_err() && read.admits(Tee::AzTdxVtpm).is_err());
    let loose = include_str!("../snp/loose.toml");
    let (_, snp) = loose.split_once("[snp]\n").unwrap();
    let any = snp.replace("[snp.", "[azure.snp.");
    for vmpl in ["\"any\"", "[]", "[0, 2]", "[2]"] {
        let other = any.replace("vmpl = \"any\"", &format!("vmpl = {vmpl}"));
        let text = format!("{HEAD}[azure.snp]\n{other}");
        let refused = AttestationPolicy::parse(&text, "policy.toml").unwrap_err();
        let line = text
            .lines()
            .position(|line| line.starts_with("vmpl"))
            .unwrap()
            + 1;
        assert_eq!(usize::try_from(refused.line), Ok(line), "{refused}");
        assert!(refused.remedy.contains("[0]"), "{refused}");
    }
    let snp = any.replace("vmpl = \"any\"", "vmpl = [0]");
    let read = policy(&format!("[azure.snp]\n{snp}")).unwrap();
    assert!(read.admits(Tee::AzSnpVtpm).is_ok());
    assert!(read.admits(Tee::AzTdxVtpm).is_err());
    assert!(
        read.admits(Tee::Snp).is_err(),
        "a guest's own report is another matter"
    );
    for field in HEAD.lines().skip(4) {
        let without = HEAD.replace(field, "");
        let refused = AttestationPolicy::parse(&without, "policy.toml");
        assert!(refused.is_err(), "{field}");
    }
    let refused = AttestationPolicy::parse(&HEAD.replace("\"bound\"", "\"bond\""), "policy.toml");
    assert_eq!(refused.unwrap_err().line, 5);
    let refused = AttestationPolicy::parse(&HEAD.replace("[\"kernel\"]", "[]"), "policy.toml");
    let refused = refused.unwrap_err();
    assert!(refused.line == 10 && refused.reason.contains("nothing is required"));
}

#[test]
fn reference_values_state_pcrs_and_what_they_cover() {
    let good = reference("a", &kernel(), "\"kernel\"");
    assert!(policy(&good).is_ok());
    let firmware = reference("a", &pcr("0", "0a"), "\"firmware\"");
    assert!(policy(&firmware).is_ok());
    for bad in [
        format!("{good}{good}"),
        reference("", &kernel(), "\"kernel\""),
        reference("a", "", "\"kernel\""),
        reference("a", &kernel(), ""),
        reference("a", &pcr("24", "0a"), "\"firmware\""),
        reference("a", &pcr("04", "0a"), "\"firmware\""),
        reference("a", &pcr("4", "0A"), "\"firmware\""),
        reference("a", &pcr("4", "0a0a"), "\"firmware\""),
    ] {
        assert!(policy(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_match_has_every_stated_pcr_and_covers_what_is_required() {
    let text = [
        reference("a", &kernel(), "\"kernel\""),
        reference(
            "b",
            &kernel().replace("4 = \"0a", "4 = \"0c"),
            "\"firmware\"",
        ),
    ];
    let read = policy(&text.concat()).unwrap();
    let found = |four: u8, nine: Option<u8>| {
        let pcrs = [(2, 0x0a), (4, four), (8, 0x0a), (10, 1)].into_iter();
        let pcrs = pcrs.chain(nine.map(|nine| (9, nine)));
        // The second value's PCR 4 is 0x0c and 31 times 0x0a.
        let pcrs = pcrs.map(|(index, byte)| {
            let mut pcr = [0x0a; 32];
            match index {
                4 => pcr[0] = byte,
                _ => pcr = [byte; 32],
            }
            (index, pcr)
        });
        let found = read.azure().unwrap().measurements.find(&pcrs.collect(), 0);
        found.map(|reference| reference.name.clone())
    };
    assert_eq!(found(0x0a, Some(0x0a)).as_deref(), Ok("a"));
    let other = found(0x0a, Some(12)).unwrap_err();
    assert!(other.ends_with("another PCR9"), "{other}");
    let unquoted = found(0x0a, None).unwrap_err();
    assert!(unquoted.ends_with("another PCR9"), "{unquoted}");
    let uncovered = found(0x0c, Some(0x0a)).unwrap_err();
    assert!(uncovered.ends_with("does not cover kernel"), "{uncovered}");
    let none = policy("").unwrap();
    let none = none.azure().unwrap().measurements.find(&Pcrs::new(), 0);
    assert_eq!(none.unwrap_err(), "there are no reference values");
}

#[test]
fn what_a_host_may_edit_is_covered_only_by_every_pcr_that_it_may_be_measured_into() {
    for (covers, loaded, unified) in [
        (
            "kernel",
            &["2", "4", "8", "9"][..],
            &["2", "4", "8", "11"][..],
        ),
        (
            "initrd",
            &["2", "4", "8", "9", "12"],
            &["2", "4", "8", "11", "12", "13"],
        ),
        (
            "command-line",
            &["2", "4", "8", "9", "12"],
            &["2", "4", "8", "11", "12", "13"],
        ),
        (
            "disk",
            &["2", "4", "8", "9", "12"],
            &["2", "4", "8", "11", "12", "13"],
        ),
    ] {
        let covers = format!("\"{covers}\"");
        let one = |pcrs: String| policy(&reference("a", &pcrs, &covers));
        for all in [loaded, unified] {
            assert!(one(stated(all)).is_ok(), "{covers} by {all:?}");
            for without in all {
                let rest: Vec<&str> = all.iter().copied().filter(|pcr| pcr != without).collect();
                let refused = one(stated(&rest)).unwrap_err();
                assert!(refused.reason.contains("covered only"), "{refused}");
            }
            // Into one that is zero nothing of a kernel was measured.
            for which in ["9", "11"].into_iter().filter(|pcr| all.contains(pcr)) {
                let zero = stated(all).replace(&pcr(which, "0a"), &pcr(which, "00"));
                assert!(one(zero).is_err(), "{covers} by an empty {which}");
            }
        }
    }
    for others in [&["4"][..], &["4", "9"], &["4", "12"], &["2", "4", "12"]] {
        let refused = policy(&reference("a", &stated(others), "\"kernel\""));
        assert!(refused.is_err(), "{others:?}");
    }
}

#[test]
fn where_init_data_are_bound_their_pcr_need_not_be_stated() {
    let without = reference("a", &stated(&["2", "4", "9"]), "\"kernel\"");
    assert!(policy(&without).is_err());
    let bound = HEAD.replace("init-data = \"any\"", "init-data = \"bound\"");
    assert!(AttestationPolicy::parse(&format!("{bound}{without}"), "policy.toml").is_ok());
}
