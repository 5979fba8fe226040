use super::*;
use crate::policy::AttestationPolicy;

const SETS: &str = "version = 1\ndanger-accept-sample = true\ndanger-test-anchors = []\n\
    [[set]]\nname = \"old\"\nvalid-from = \"any\"\nvalid-until = 2026-12-01T00:00:00Z\n\
    [[set]]\nname = \"new\"\nvalid-from = 2026-11-01T00:00:00Z\nvalid-until = \"any\"\n\
    [sample]\nsvn = []\n\
    [[sample.reference]]\nname = \"web 1\"\nset = \"old\"\nsvn = \"1\"\n\
    [[sample.reference]]\nname = \"web 2\"\nset = \"new\"\nsvn = \"2\"\n";
const OCTOBER: u64 = 1_790_812_800;
const NOVEMBER: u64 = 1_793_491_200;
const DECEMBER: u64 = 1_796_083_200;

fn policy(text: &str) -> Result<AttestationPolicy, FileError> {
    AttestationPolicy::parse(text, "attestation.toml")
}

/// The set that takes `svn`, or why none does.
fn found(svn: &str, now_secs: u64) -> Result<String, String> {
    let policy = policy(SETS).unwrap();
    let reference = policy.sample().unwrap().find(svn, now_secs)?.unwrap();
    Ok(reference.set.name().unwrap().to_owned())
}

#[test]
fn while_an_image_is_changed_both_sets_hold_and_the_one_that_matched_is_named() {
    for (now_secs, old, new) in [
        (OCTOBER, true, false),
        (NOVEMBER - 1, true, false),
        (NOVEMBER, true, true),
        (DECEMBER - 1, true, true),
        (DECEMBER, false, true),
    ] {
        let sets = (found("1", now_secs), found("2", now_secs));
        assert_eq!(sets.0.is_ok(), old, "{sets:?} at {now_secs}");
        assert_eq!(sets.1.is_ok(), new, "{sets:?} at {now_secs}");
    }
    assert_eq!(found("1", OCTOBER).unwrap(), "old");
}

#[test]
fn a_set_that_does_not_hold_is_told_with_its_time() {
    let ended = found("1", DECEMBER).unwrap_err();
    assert!(ended.contains("\"web 1\""), "{ended}");
    assert!(
        ended.contains("set \"old\" (policy line 5), which ended at 2026-12-01T00:00:00Z"),
        "{ended}"
    );
    let early = found("2", OCTOBER).unwrap_err();
    assert!(early.contains("holds from 2026-11-01T00:00:00Z"), "{early}");
    let unknown = found("3", NOVEMBER).unwrap_err();
    assert!(unknown.contains("not among those"), "{unknown}");
}

#[test]
fn what_is_unclear_about_sets_names_its_line() {
    for (from, to, line, word) in [
        ("name = \"new\"", "name = \"old\"", 9, "twice"),
        ("name = \"new\"", "name = \"\"", 9, "empty"),
        ("set = \"new\"\n", "", 19, "states no set"),
        ("set = \"new\"", "set = \"other\"", 20, "no set \"other\""),
        (
            "2026-12-01T00:00:00Z",
            "2026-12-01T00:00:00+01:00",
            7,
            "UTC",
        ),
        ("2026-12-01T00:00:00Z", "2026-12-01", 7, "UTC"),
        ("2026-12-01T00:00:00Z", "1960-12-01T00:00:00Z", 7, "1970"),
        ("2026-12-01T00:00:00Z", "\"never\"", 7, "any"),
        ("valid-until = \"any\"\n", "", 8, "valid-until"),
        (
            "valid-until = \"any\"",
            "valid-until = 2026-11-01T00:00:00Z",
            11,
            "ends before",
        ),
    ] {
        let error = policy(&SETS.replacen(from, to, 1)).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.reason.contains(word), "{error}");
    }
}

#[test]
fn a_policy_without_sets_has_values_that_always_hold() {
    let text = "version = 1\ndanger-accept-sample = true\ndanger-test-anchors = []\n\
        [sample]\nsvn = []\n[[sample.reference]]\nname = \"a\"\nsvn = \"1\"\n";
    let policy = policy(text).unwrap();
    for now_secs in [0, NOVEMBER, u64::MAX] {
        let found = policy.sample().unwrap().find("1", now_secs).unwrap();
        assert_eq!(found.unwrap().set.name(), None);
    }
}

proptest::proptest! {
    #[test]
    fn a_set_holds_from_its_beginning_to_before_its_end(
        from in 0_u64..4_000_000_000, len in 1_u64..1_000_000_000, now in 0_u64..6_000_000_000,
    ) {
        let set = SetOf(Some(Arc::new(ReferenceSet {
            name: "s".to_owned(),
            line: 1,
            valid_from: Wanted::Is(from),
            valid_until: Wanted::Is(from + len),
        })));
        let holds = set.objection(now).is_none();
        proptest::prop_assert_eq!(holds, (from..from + len).contains(&now));
    }
}
