use super::super::AttestationPolicy;
use super::*;
use crate::evidence::Tee;

const HEAD: &str = "version = 1\ndanger-accept-sample = false\ndanger-test-anchors = []\n[gpu]\n\
    min-devices = 1\nmodels = [\"GH100\"]\ndevice-ids = [\"41431d480fe5e87274\"]\n\
    vbios-versions = [\"96.00.9F.00.01\"]\ndriver-versions = \"any\"\n\
    firmware-ids = \"any\"\nmeasurements = \"reference\"\nrim-signature = \"any\"\nrevocation = \"any\"\n";

fn policy(text: &str) -> Result<AttestationPolicy, FileError> {
    AttestationPolicy::parse(text, "policy.toml")
}

fn reference(name: &str, measurements: &str) -> String {
    format!("[[gpu.reference]]\nname = \"{name}\"\nmeasurements = {{ {measurements} }}\n")
}

fn value(index: &str, byte: &str) -> String {
    format!("{index} = \"{}\"", byte.repeat(48))
}

#[test]
fn every_field_is_stated() {
    let read = policy(HEAD).unwrap();
    assert!(read.admits(Tee::Nvidia).is_ok());
    let gpu = read.gpu().unwrap();
    assert_eq!(gpu.min_devices.value, 1);
    assert_eq!(gpu.measurements.value, Wanted::Is(Reference::Reference));
    assert_eq!(
        (&gpu.revocation.value, gpu.revocation.line),
        (&Wanted::Any, 13)
    );
    for field in HEAD.lines().skip(4) {
        let refused = policy(&HEAD.replace(field, ""));
        assert!(refused.is_err(), "{field}");
    }
    let without = HEAD.lines().take(3).collect::<Vec<_>>().join("\n");
    assert!(policy(&without).unwrap().admits(Tee::Nvidia).is_err());
}

#[test]
fn a_value_that_means_nothing_names_its_line() {
    for (from, to, line) in [
        ("min-devices = 1", "min-devices = 17", 5),
        ("[\"GH100\"]", "[]", 6),
        ("[\"GH100\"]", "[\"\"]", 6),
        ("[\"GH100\"]", "[\"a\", \"a\"]", 6),
        ("[\"41431d", "[\"41431D", 7),
        ("[\"41431d", "[\"041431d", 7),
        ("firmware-ids = \"any\"", "firmware-ids = []", 10),
        ("firmware-ids = \"any\"", "firmware-ids = [\"04\"]", 10),
        ("\"reference\"", "\"checked\"", 11),
        ("rim-signature = \"any\"", "rim-signature = \"no\"", 12),
        ("revocation = \"any\"", "revocation = false", 13),
    ] {
        assert!(HEAD.contains(from), "{from}");
        let refused = policy(&HEAD.replace(from, to)).unwrap_err();
        assert_eq!(refused.line, line, "{to}");
    }
    assert!(
        policy(&HEAD.replace("rim-signature = \"any\"", "rim-signature = \"checked\"")).is_ok()
    );
}

#[test]
fn reference_values_state_measurements_by_their_index() {
    let good = reference("a", &value("2", "0a"));
    assert!(policy(&format!("{HEAD}{good}")).is_ok());
    for bad in [
        format!("{good}{good}"),
        reference("", &value("2", "0a")),
        reference("a", ""),
        reference("a", &value("02", "0a")),
        reference("a", &value("256", "0a")),
        reference("a", &value("2", "0A")),
        reference("a", "2 = \"00\""),
    ] {
        assert!(policy(&format!("{HEAD}{bad}")).is_err(), "{bad}");
    }
}

#[test]
fn the_reference_value_that_holds_in_all_that_it_states_is_found() {
    let text = [
        HEAD,
        &reference(
            "first",
            &format!("{}, {}", value("2", "0a"), value("3", "0b")),
        ),
        &reference("second", &value("2", "0a")),
    ]
    .concat();
    let read = policy(&text).unwrap();
    let gpu = read.gpu().unwrap();
    let found = |three: u8| BTreeMap::from([(2, vec![0x0a; 48]), (3, vec![three; 48])]);
    assert_eq!(gpu.find(&found(0x0b), 0).unwrap().name, "first");
    assert_eq!(gpu.find(&found(0x0c), 0).unwrap().name, "second");
    let refused = gpu
        .find(&BTreeMap::from([(3, vec![0x0b; 48])]), 0)
        .unwrap_err();
    assert!(
        refused.contains("\"first\"") && refused.ends_with("another 2"),
        "{refused}"
    );
    let none = policy(HEAD).unwrap();
    assert!(none.gpu().unwrap().find(&found(0), 0).is_err());
}
