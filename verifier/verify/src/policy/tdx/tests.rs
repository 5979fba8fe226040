//! `[tdx]` as it is written.

use crate::policy::AttestationPolicy;

/// A policy that states everything.
fn good() -> String {
    let (a, b, zero) = ("a".repeat(96), "b".repeat(96), "0".repeat(96));
    format!(
        "version = 1\n\
         danger-accept-sample = false\n\
         danger-test-anchors = []\n\
         [tdx]\n\
         tcb-status = [\"up-to-date\", \"sw-hardening-needed\"]\n\
         advisories = [\"INTEL-SA-00837\"]\n\
         minimum-tcb-evaluation = 17\n\
         mr-seam = \"any\"\n\
         mr-signer-seam = [\"{zero}\"]\n\
         seam-attributes = \"0000000000000000\"\n\
         danger-allow-debug = false\n\
         danger-allow-profiling = false\n\
         danger-allow-migration = false\n\
         sept-ve-disable = true\n\
         td-attributes-allowed = \"0000000000020000\"\n\
         xfam-required = \"0000000000000003\"\n\
         xfam-allowed = \"000000000006dae7\"\n\
         event-log = \"replayed\"\n\
         requires-coverage = [\"firmware\", \"kernel\"]\n\
         mr-config-id = \"any\"\n\
         mr-owner = [\"{zero}\"]\n\
         mr-owner-config = [\"{zero}\"]\n\
         mr-service-td = \"none\"\n\
         platform-instances = [\"{}\"]\n\
         smt = true\n\
         dynamic-platform = \"any\"\n\
         cached-keys = false\n\
         [[tdx.reference]]\n\
         name = \"one\"\n\
         mr-td = \"{a}\"\n\
         rtmr0 = \"any\"\n\
         rtmr1 = \"{a}\"\n\
         rtmr2 = \"{b}\"\n\
         rtmr3 = \"{zero}\"\n\
         covers = [\"firmware\", \"kernel\"]\n",
        "0".repeat(32)
    )
}

#[test]
fn a_policy_that_states_everything_is_read() {
    let policy = AttestationPolicy::parse(&good(), "a").unwrap();
    let tdx = policy.tdx().unwrap();
    assert_eq!(tdx.minimum_tcb_evaluation.line, 7);
    assert_eq!(tdx.references.len(), 1);
    assert_eq!(tdx.xfam_required.value.value(), Some(&3));
}

#[test]
fn each_field_left_out_is_an_error_that_names_it() {
    let good = good();
    let fields = good.lines().filter_map(|line| line.split_once(" = "));
    for (field, _) in fields.skip(3) {
        let without = good
            .lines()
            .filter(|line| !line.starts_with(&format!("{field} = ")));
        let without = without.map(|line| format!("{line}\n")).collect::<String>();
        let error = AttestationPolicy::parse(&without, "a").unwrap_err();
        assert!(error.reason.contains(field), "{field}: {error}");
    }
}

#[test]
fn values_of_a_wrong_form_are_refused() {
    let a = "a".repeat(96);
    let b = format!("rtmr2 = \"{}\"", "b".repeat(96));
    for (from, to, word) in [
        ("\"up-to-date\"", "\"revoked\"", "revoked"),
        ("\"up-to-date\"", "\"sw-hardening-needed\"", "twice"),
        ("evaluation = 17", "evaluation = -1", "neither"),
        ("attributes = \"0000", "attributes = \"0x00", "8 bytes"),
        (
            "attributes-allowed = \"0000",
            "attributes-allowed = \"",
            "8 bytes",
        ),
        ("xfam-allowed = \"0000", "xfam-allowed = \"", "8 bytes"),
        (
            "requires-coverage = [\"firmware\", ",
            "requires-coverage = [",
            "firmware",
        ),
        (
            "requires-coverage = [\"firmware\", \"kernel\"]",
            "requires-coverage = []",
            "firmware",
        ),
        ("\"replayed\"", "\"ignored\"", "neither"),
        ("\"none\"", "\"nobody\"", "neither"),
        ("\"none\"", "[\"00\"]", "48 bytes"),
        ("smt = true", "smt = \"yes\"", "neither"),
        ("debug = false", "debug = \"any\"", "invalid type"),
        ("name = \"one\"", "name = \"\"", "name"),
        (
            "covers = [\"firmware\", \"kernel\"]",
            "covers = []",
            "covers nothing",
        ),
        (b.as_str(), "rtmr2 = \"any\"", "rtmr1 and rtmr2"),
        (a.as_str(), "aa", "48 bytes"),
    ] {
        let error = AttestationPolicy::parse(&good().replacen(from, to, 1), "a").unwrap_err();
        assert!(error.reason.contains(word), "{word}: {error}");
    }
}
