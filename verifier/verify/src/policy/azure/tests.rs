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
    let snp = snp.replace("[snp.", "[azure.snp.");
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
        reference("b", &pcr("4", "0c"), "\"initrd\""),
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
    let uncovered = found(&[(4, 12)]).unwrap_err();
    assert!(uncovered.ends_with("does not cover kernel"), "{uncovered}");
    let none = policy("").unwrap();
    let none = none.azure().unwrap().measurements.find(&Pcrs::new());
    assert_eq!(none.unwrap_err(), "there are no reference values");
}
