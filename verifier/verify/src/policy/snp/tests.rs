use super::*;
use crate::policy::AttestationPolicy;

/// Every field waived that can be.
pub(crate) const LOOSE: &str = include_str!("loose.toml");

fn parse(text: &str) -> Result<AttestationPolicy, FileError> {
    AttestationPolicy::parse(text, "policy.toml")
}

#[test]
fn a_policy_that_states_every_field_is_read() {
    let policy = parse(LOOSE).unwrap();
    let snp = policy.snp().unwrap();
    assert_eq!(snp.policy_smt.value, Wanted::Any);
    assert_eq!(snp.signing_keys.value, [SigningKey::Vcek, SigningKey::Vlek]);
    assert_eq!(snp.minimum_tcb.value.len(), 3);
}

#[test]
fn each_field_left_out_is_an_error_that_names_it() {
    let section = LOOSE.split_once("[snp]").unwrap().1;
    let mut fields = 0;
    for line in section.lines() {
        let Some((field, _)) = line.split_once(" = ") else {
            continue;
        };
        if section.matches(&format!("\n{field} = ")).count() != 1
            || field.len() < 6 && field != "vmpl"
        {
            continue;
        }
        let text = LOOSE.replace(&format!("{line}\n"), "");
        let error = parse(&text).unwrap_err();
        assert!(error.reason.contains(field), "{field}: {error}");
        fields += 1;
    }
    assert!(fields > 35, "{fields} fields were left out in turn");
}

#[test]
fn values_of_another_form_name_their_line() {
    for (from, to, word) in [
        (
            "minimum-report-version = 2",
            "minimum-report-version = 6",
            "versions 2 to 5",
        ),
        (
            "policy-minimum-abi = \"any\"",
            "policy-minimum-abi = \"1\"",
            "two numbers",
        ),
        (
            "minimum-firmware = \"any\"",
            "minimum-firmware = \"1.256.0\"",
            "three numbers",
        ),
        ("host-data = \"any\"", "host-data = \"none\"", "any"),
        ("host-data = \"any\"", "host-data = [\"00\"]", "32 bytes"),
        ("chip-ids = \"any\"", "chip-ids = [\"00\"]", "64 bytes"),
        ("policy-smt = \"any\"", "policy-smt = \"yes\"", "any"),
        (
            "signing-keys = [\"vcek\", \"vlek\"]",
            "signing-keys = [\"any\"]",
            "vcek",
        ),
        (
            "requires-coverage = [\"firmware\"]",
            "requires-coverage = [\"moon\"]",
            "firmware",
        ),
        (
            "requires-coverage = [\"firmware\"]",
            "requires-coverage = []",
            "at least \"firmware\"",
        ),
        (
            "requires-coverage = [\"firmware\"]",
            "requires-coverage = [\"kernel\"]",
            "at least \"firmware\"",
        ),
        (
            "platform-unknown-bits = \"any\"",
            "platform-unknown-bits = \"80\"",
            "8 bytes",
        ),
        (
            "turin = \"any\"",
            "turin = { bootloader = 1, tee = 1, snp = 1, microcode = 1 }",
            "fmc",
        ),
        (
            "milan = \"any\"",
            "milan = { fmc = 1, bootloader = 1, tee = 1, snp = 1, microcode = 1 }",
            "no component fmc",
        ),
        ("milan = \"any\"", "rome = \"any\"", "rome"),
    ] {
        assert!(LOOSE.contains(from), "{from}");
        let error = parse(&LOOSE.replace(from, to)).unwrap_err();
        assert!(error.reason.contains(word), "{to}: {error}");
        let line = LOOSE.lines().position(|line| line == from).unwrap() + 1;
        assert_eq!(usize::try_from(error.line), Ok(line), "{to}: {error}");
    }
}

#[test]
fn a_reference_value_has_a_name_and_covers_something() {
    let digest = "00".repeat(48);
    let reference = |name: &str, covers: &str| {
        format!(
            "[[snp.reference]]\nname = \"{name}\"\nmeasurement = \"{digest}\"\ncovers = {covers}\n"
        )
    };
    let good = reference("a", "[\"firmware\"]");
    assert!(parse(&format!("{LOOSE}{good}")).is_ok());
    for bad in [
        reference("", "[\"firmware\"]"),
        reference("a", "[]"),
        reference("a", "[\"disk\", \"disk\"]"),
        format!("{good}{good}"),
        good.replace("00\"", "0\""),
    ] {
        assert!(parse(&format!("{LOOSE}{bad}")).is_err(), "{bad}");
    }
}

#[test]
fn a_match_that_covers_too_little_is_told() {
    let text = LOOSE.replace(
        "requires-coverage = [\"firmware\"]",
        "requires-coverage = [\"firmware\", \"kernel\"]",
    );
    let text = format!(
        "{text}[[snp.reference]]\nname = \"ovmf\"\nmeasurement = \"{}\"\ncovers = [\"firmware\"]\n",
        "07".repeat(48)
    );
    let policy = parse(&text).unwrap();
    let references = policy.snp().unwrap().references();
    let told = references.find(&[7; 48], 0).unwrap_err();
    assert!(
        told.contains("\"ovmf\"") && told.ends_with("does not cover kernel"),
        "{told}"
    );
    assert!(
        references
            .find(&[8; 48], 0)
            .unwrap_err()
            .contains("no reference value")
    );
}

#[test]
fn the_highest_bit_is_written_in_digits() {
    let text = LOOSE
        .replace(
            "required-launch-mitigations = \"any\"",
            "required-launch-mitigations = \"8000000000000000\"",
        )
        .replace(
            "platform-unknown-bits = \"any\"",
            "platform-unknown-bits = 0x40",
        );
    let policy = parse(&text).unwrap();
    let snp = policy.snp().unwrap();
    assert_eq!(snp.required_launch_mitigations.value, Wanted::Is(1 << 63));
    assert_eq!(snp.platform_unknown_bits.value, Wanted::Is(0x40));
}
