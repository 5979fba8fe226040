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
    let good = reference("a", &pcr("4", "0a"), "\"kernel\"");
    assert!(policy(&good).is_ok());
    let firmware = reference("a", &pcr("0", "0a"), "\"firmware\"");
    assert!(policy(&firmware).is_ok());
    for bad in [
        format!("{good}{good}"),
        reference("", &pcr("4", "0a"), "\"kernel\""),
        reference("a", "", "\"kernel\""),
        reference("a", &pcr("4", "0a"), ""),
        reference("a", &pcr("9", "0a"), "\"kernel\""),
        reference("a", &pcr("24", "0a"), "\"firmware\""),
        reference("a", &pcr("04", "0a"), "\"firmware\""),
        reference("a", &pcr("4", "0A"), "\"kernel\""),
        reference("a", &pcr("4", "0a0a"), "\"kernel\""),
    ] {
        assert!(policy(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_match_has_every_stated_pcr_and_covers_what_is_required() {
    let text = [
        reference(
            "a",
            &format!("{}, {}", pcr("4", "0a"), pcr("9", "0b")),
            "\"kernel\"",
        ),
        reference(
            "b",
            &format!("{}, {}", pcr("4", "0c"), pcr("9", "0b")),
            "\"initrd\"",
        ),
    ];
    let read = policy(&text.concat()).unwrap();
    let found = |pcrs: &[(usize, u8)]| {
        let pcrs = pcrs.iter().map(|(index, byte)| (*index, [*byte; 32]));
        let found = read.azure().unwrap().measurements.find(&pcrs.collect());
        found.map(|reference| reference.name.clone())
    };
    assert_eq!(found(&[(4, 10), (9, 11), (10, 1)]).as_deref(), Ok("a"));
    let other = found(&[(4, 10), (9, 12)]).unwrap_err();
    assert!(other.ends_with("another PCR9"), "{other}");
    let unquoted = found(&[(4, 10)]).unwrap_err();
    assert!(unquoted.ends_with("another PCR9"), "{unquoted}");
    let uncovered = found(&[(4, 12), (9, 11)]).unwrap_err();
    assert!(uncovered.ends_with("does not cover kernel"), "{uncovered}");
    let none = policy("").unwrap();
    let none = none.azure().unwrap().measurements.find(&Pcrs::new());
    assert_eq!(none.unwrap_err(), "there are no reference values");
}

#[test]
fn what_a_host_may_edit_is_covered_only_by_the_pcr_that_it_is_measured_into() {
    for (covers, with) in [
        ("kernel", &[][..]),
        ("initrd", &["9", "12"][..]),
        ("command-line", &["8", "12"][..]),
        ("disk", &["8", "9", "12"][..]),
    ] {
        let covers = format!("\"{covers}\"");
        let one = |pcrs: String| policy(&reference("a", &pcrs, &covers));
        assert_eq!(one(pcr("4", "0a")).is_ok(), with.is_empty(), "{covers}");
        for other in ["0", "8", "9", "11", "12"] {
            let both = format!("{}, {}", pcr("4", "0a"), pcr(other, "0b"));
            let is_covered = with.is_empty() || with.contains(&other);
            assert_eq!(one(both).is_ok(), is_covered, "{covers} by {other}");
            assert!(one(pcr(other, "0b")).is_err(), "{covers} without PCR 4");
        }
    }
}
