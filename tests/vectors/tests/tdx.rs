//! Every TDX vector fails the check that it is named for, and no other.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use nitride_vectors::tdx::{DEFECTS, Defect, Made, NOW_SECS, Spec};
use nitride_vectors::unexpected;
use nitride_verify::checks::tdx::{BY_COLLATERAL, CHECKS};
use nitride_verify::evidence::ccel::MAX_LOG_LEN;
use nitride_verify::x509::ChainMemo;
use nitride_verify::{
    Allegation, Allowance, AttestationPolicy, Budget, CheckOutcome, Collateral, Refused,
    UnverifiedEvidence, Verdict, judge, judge_allegation,
};
use std::collections::BTreeSet;

fn judged(made: &Made) -> Result<Verdict, Refused> {
    let policy = AttestationPolicy::parse(&made.policy, "policy.toml").unwrap();
    let collateral = Collateral {
        intel: Some(&made.collateral),
        ..Collateral::default()
    };
    judge_allegation(
        Allegation::Tdx(made.evidence.clone()),
        &made.expected,
        &policy,
        &collateral,
        NOW_SECS,
        &mut Budget::for_one_round(),
    )
}

fn make(defect: &Defect) -> Made {
    let mut spec = Spec::good();
    (defect.make)(&mut spec);
    spec.make().unwrap()
}

/// The checks that failed, by name.
fn failures(judged: &Result<Verdict, Refused>) -> Vec<&'static str> {
    let checks = match judged {
        Ok(verdict) => verdict.checks(),
        Err(refused) => &refused.checks,
    };
    let failed = checks
        .iter()
        .filter(|check| matches!(check.outcome, CheckOutcome::Failed(_)));
    failed.map(|check| check.name.name).collect()
}

#[test]
fn quotes_that_nothing_is_wrong_with_pass_every_check_once() {
    for spec in [
        Spec::good(),
        Spec::good_version_5(2),
        Spec::good_version_5(3),
        Spec::good_version_5(4),
    ] {
        let verdict = judged(&spec.make().unwrap()).unwrap();
        assert_eq!(verdict.failures().collect::<Vec<_>>(), []);
        let names: Vec<_> = verdict.checks().iter().map(|check| check.name).collect();
        assert_eq!(names, CHECKS);
        let vector = verdict.vector();
        assert_eq!((vector.executables, vector.runtime_opaque), (3, 0));
        assert!(verdict.is_simulated() && !verdict.is_genuine());
        assert_eq!(vector.hardware, 0, "nothing vouches for a test anchor");
        let anchor = verdict.claims().claim("test-anchor");
        assert_eq!(anchor, Some(&serde_json::Value::Bool(true)));
    }
}

#[test]
fn the_kbs_form_is_judged_as_the_raw_quote_is() {
    let made = Spec::good().make().unwrap();
    let policy = AttestationPolicy::parse(&made.policy, "policy.toml").unwrap();
    let collateral = Collateral {
        intel: Some(&made.collateral),
        ..Collateral::default()
    };
    let evidence = UnverifiedEvidence {
        tee: nitride_verify::Tee::Tdx,
        primary: &made.evidence.to_kbs_form(),
        additional: "",
    };
    let mut budget = Budget::for_one_round();
    let verdict = judge(
        &evidence,
        &made.expected,
        &policy,
        &collateral,
        NOW_SECS,
        &mut budget,
    );
    let verdict = verdict.unwrap();
    assert_eq!(verdict.failures().count(), 0);
    let names: Vec<_> = verdict.checks().iter().map(|check| check.name).collect();
    assert_eq!(names, CHECKS);
}

#[test]
fn each_defect_fails_the_check_that_it_is_named_for_and_no_other() {
    let wrong = DEFECTS.iter().filter_map(|defect| {
        let failures = failures(&judged(&make(defect)));
        unexpected(defect.name, defect.check, &failures)
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_numbered_check_and_each_name_has_a_defect() {
    let covered: BTreeSet<&str> = DEFECTS.iter().map(|defect| defect.check).collect();
    for check in CHECKS.iter().filter(|check| check.number > 0) {
        assert!(covered.contains(check.name), "no vector for {}", check.name);
    }
    let numbers: BTreeSet<u8> = CHECKS.iter().map(|check| check.number).collect();
    assert!((1..=22).all(|number| numbers.contains(&number)));
    let names: BTreeSet<&str> = DEFECTS.iter().map(|defect| defect.name).collect();
    assert_eq!(names.len(), DEFECTS.len());
}

/// `dcap-qvl` refuses such trust domains, as its last step; nothing else may pass by that door.
#[test]
fn no_defect_of_the_collateral_hides_behind_a_clear_sept_ve_disable() {
    for attributes in [0, 1 << 28 | 1 << 17, 1 << 28 | 1 << 29, 1 << 28 | 1 << 40] {
        for defect in DEFECTS {
            if !BY_COLLATERAL.iter().any(|check| check.name == defect.check) {
                continue;
            }
            let mut spec = Spec::good();
            spec.quote.td_attributes = attributes;
            (defect.make)(&mut spec);
            let refused = judged(&spec.make().unwrap()).unwrap_err();
            let last = refused.checks.last().unwrap().name.name;
            assert_eq!(last, defect.check, "{}", defect.name);
        }
    }
}

#[test]
fn a_clear_sept_ve_disable_passes_where_the_policy_says_so() {
    for (wanted, passes) in [("\"any\"", true), ("false", true), ("true", false)] {
        let mut spec = Spec::good();
        spec.quote.td_attributes = 0;
        let wanted = format!("sept-ve-disable = {wanted}");
        spec.policy = spec.policy.replace("sept-ve-disable = true", &wanted);
        let verdict = judged(&spec.make().unwrap()).unwrap();
        assert_eq!(verdict.failures().count() == 0, passes);
        let status = verdict.claims().claim("tcb_status");
        assert_eq!(
            status.and_then(|status| status.as_str()),
            Some("up-to-date")
        );
    }
}

/// There the library hands out no claims, and the levels are those that are matched here.
#[test]
fn statuses_are_judged_with_a_clear_sept_ve_disable_as_well() {
    let about_levels = ["tdx.tcb-status", "tdx.advisories", "tdx.tcb-evaluation"];
    for defect in DEFECTS {
        if !about_levels.contains(&defect.check) {
            continue;
        }
        let mut spec = Spec::good();
        spec.quote.td_attributes = 0;
        spec.policy = spec
            .policy
            .replace("sept-ve-disable = true", "sept-ve-disable = \"any\"");
        (defect.make)(&mut spec);
        let judged = judged(&spec.make().unwrap());
        assert_eq!(failures(&judged), [defect.check], "{}", defect.name);
    }
}

#[test]
fn the_highest_level_that_is_reached_counts_in_whatever_order_they_stand() {
    for attributes in [1 << 28, 0] {
        let mut spec = Spec::good();
        spec.quote.td_attributes = attributes;
        spec.policy = spec
            .policy
            .replace("sept-ve-disable = true", "sept-ve-disable = \"any\"");
        spec.collateral.tcb_info["tcbLevels"] = serde_json::json!([
            nitride_vectors::tdx::collateral::level(2, 13, "OutOfDate", &[]),
            nitride_vectors::tdx::collateral::level(3, 12, "OutOfDate", &[]),
            nitride_vectors::tdx::collateral::level(3, 13, "UpToDate", &[]),
        ]);
        assert_eq!(failures(&judged(&spec.make().unwrap())), [""; 0]);
    }
}

#[test]
fn debug_that_the_policy_allows_is_never_affirmed() {
    let mut spec = Spec::good();
    spec.quote.td_attributes |= 1;
    spec.policy = spec
        .policy
        .replace("allow-debug = false", "allow-debug = true");
    let verdict = judged(&spec.make().unwrap()).unwrap();
    assert_eq!(verdict.failures().count(), 0);
    assert!(verdict.is_debug() && !verdict.is_genuine());
    assert_eq!(verdict.vector().runtime_opaque, 32);
    assert_eq!(verdict.status(), nitride_kbs::token::EarStatus::Warning);
}

#[test]
fn migration_that_the_policy_allows_is_never_affirmed() {
    let mut spec = Spec::good();
    spec.quote.td_attributes |= 1 << 29;
    spec.policy = spec
        .policy
        .replace("allow-migration = false", "allow-migration = true");
    let verdict = judged(&spec.make().unwrap()).unwrap();
    assert_eq!(verdict.failures().count(), 0);
    assert!(!verdict.is_genuine());
    assert_eq!(verdict.status(), nitride_kbs::token::EarStatus::Warning);
}

#[test]
fn a_quote_that_says_which_service_domains_are_bound_now_may_have_had_them_later() {
    let mut spec = Spec::good();
    spec.quote.version = 5;
    spec.quote.body_type = 4;
    spec.quote.td_attributes |= 1 << 17;
    assert_eq!(failures(&judged(&spec.make().unwrap())), [""; 0]);
}

#[test]
fn statuses_and_advisories_pass_where_the_policy_names_them() {
    let mut spec = Spec::good();
    spec.collateral.tcb_info["tcbLevels"] =
        serde_json::json!([nitride_vectors::tdx::collateral::level(
            3,
            13,
            "OutOfDate",
            &["INTEL-SA-1"]
        ),]);
    spec.policy = spec
        .policy
        .replace("[\"up-to-date\"]", "[\"out-of-date\"]")
        .replace("advisories = []", "advisories = [\"INTEL-SA-1\"]");
    assert_eq!(failures(&judged(&spec.make().unwrap())), [""; 0]);
}

#[test]
fn without_collateral_or_a_section_nothing_is_judged() {
    let made = Spec::good().make().unwrap();
    let policy = AttestationPolicy::parse(&made.policy, "policy.toml").unwrap();
    let judge_with = |policy: &AttestationPolicy| {
        let allegation = Allegation::Tdx(made.evidence.clone());
        let mut budget = Budget::for_one_round();
        let none = Collateral::default();
        judge_allegation(
            allegation,
            &made.expected,
            policy,
            &none,
            NOW_SECS,
            &mut budget,
        )
    };
    assert_eq!(failures(&judge_with(&policy)), ["tdx.collateral"]);
    let (head, _) = made.policy.split_once("[tdx]").unwrap();
    let policy = AttestationPolicy::parse(head, "policy.toml").unwrap();
    assert_eq!(failures(&judge_with(&policy)), ["tdx.in-policy"]);
}

#[test]
fn bound_init_data_are_a_wanted_configuration_where_the_policy_states_them() {
    let mut spec = Spec::good();
    let body = "version = \"0.1.0\"\nalgorithm = \"sha384\"\n[data]\na = \"b\"\n";
    spec.init_data = Some(body.to_owned());
    let digest = nitride_verify::InitDataDigest::of("toml", body).unwrap();
    spec.quote.mr_config_id.copy_from_slice(digest.as_bytes());
    let zero = "00".repeat(48);
    let stated = format!("mr-config-id = [\"{zero}\"]");
    let theirs = base16ct::lower::encode_string(digest.as_bytes());
    for (wanted, configuration) in [
        ("\"any\"".to_owned(), 0),
        ("\"init-data\"".to_owned(), 0),
        (format!("[\"{theirs}\"]"), 2),
    ] {
        let mut spec = spec.clone();
        let policy = spec
            .policy
            .replace(&stated, &format!("mr-config-id = {wanted}"));
        // What the owner is, is a statement about the configuration as well.
        spec.policy = policy
            .replace(&format!("mr-owner = [\"{zero}\"]"), "mr-owner = \"any\"")
            .replace(
                &format!("mr-owner-config = [\"{zero}\"]"),
                "mr-owner-config = \"any\"",
            );
        let verdict = judged(&spec.make().unwrap()).unwrap();
        assert_eq!(verdict.failures().count(), 0);
        assert_eq!(verdict.vector().configuration, configuration, "{wanted}");
        assert_eq!(
            verdict.claims().claim("init_data_bound"),
            Some(&true.into())
        );
    }
}

#[test]
fn each_half_of_xfam_that_is_waived_is_told() {
    for (field, check) in [
        ("xfam-required = \"0000000000000003\"", "tdx.xfam-required"),
        ("xfam-allowed = \"00000000000602e7\"", "tdx.xfam-allowed"),
    ] {
        let mut spec = Spec::good();
        let (name, _) = field.split_once(" = ").unwrap();
        spec.policy = spec.policy.replace(field, &format!("{name} = \"any\""));
        let verdict = judged(&spec.make().unwrap()).unwrap();
        let waived = verdict
            .checks()
            .iter()
            .filter(|check| matches!(check.outcome, CheckOutcome::WaivedByPolicyLine(_)));
        let waived: Vec<&str> = waived.map(|check| check.name.name).collect();
        assert_eq!(waived, [check]);
    }
}

#[test]
fn firmware_alone_is_no_claim_about_what_was_booted() {
    let mut spec = Spec::good();
    spec.policy = spec
        .policy
        .replace(
            "coverage = [\"firmware\", \"kernel\"]",
            "coverage = [\"firmware\"]",
        )
        .replace(
            "covers = [\"firmware\", \"kernel\", \"initrd\", \"command-line\"]",
            "covers = [\"firmware\"]",
        );
    let verdict = judged(&spec.make().unwrap()).unwrap();
    assert_eq!(verdict.failures().count(), 0);
    assert_eq!(verdict.vector().executables, 0);
    assert_eq!(verdict.claims().claim("covers_kernel"), Some(&false.into()));
}

#[test]
fn a_status_that_the_policy_names_may_be_reached_by_an_update() {
    for defect in DEFECTS {
        if !defect.name.starts_with("updated-to-a-module-") || defect.check == "tdx.tcb-level" {
            continue;
        }
        let mut spec = Spec::good();
        (defect.make)(&mut spec);
        spec.policy = spec
            .policy
            .replace("[\"up-to-date\"]", "[\"up-to-date\", \"out-of-date\"]")
            .replace("advisories = []", "advisories = [\"INTEL-SA-00837\"]");
        let verdict = judged(&spec.make().unwrap()).unwrap();
        assert_eq!(verdict.failures().count(), 0, "{}", defect.name);
        let now = verdict.claims().claim("current_tcb_status");
        assert!(
            now.is_some_and(serde_json::Value::is_string),
            "{}",
            defect.name
        );
    }
}

#[test]
fn an_event_log_is_replayed_within_the_budget_and_what_is_over_it_fails_by_name() {
    let made = Spec::good().make().unwrap();
    let policy = AttestationPolicy::parse(&made.policy, "policy.toml").unwrap();
    let collateral = Collateral {
        intel: Some(&made.collateral),
        ..Collateral::default()
    };
    let judge_within = |allowance: Allowance| {
        let allegation = Allegation::Tdx(made.evidence.clone());
        let mut budget = Budget::new(allowance);
        judge_allegation(
            allegation,
            &made.expected,
            &policy,
            &collateral,
            NOW_SECS,
            &mut budget,
        )
    };
    let whole = Allowance::FOR_ONE_ROUND;
    for (allowance, check) in [
        (Allowance { events: 1, ..whole }, "tdx.event-log"),
        (
            Allowance {
                signatures: 0,
                ..whole
            },
            "tdx.qe-report-signature",
        ),
        (
            Allowance {
                signatures: 1,
                ..whole
            },
            "tdx.quote-signature",
        ),
        (
            Allowance {
                signatures: 2,
                ..whole
            },
            "tdx.collateral",
        ),
        (
            Allowance {
                certificates: 3,
                ..whole
            },
            "tdx.collateral",
        ),
    ] {
        assert_eq!(failures(&judge_within(allowance)), [check]);
    }
}

#[test]
fn a_log_as_long_as_any_that_is_collected_is_read_whatever_the_policy() {
    let mut spec = Spec::good();
    spec.event_log = Some(vec![0; MAX_LOG_LEN]);
    spec.policy = spec
        .policy
        .replace("event-log = \"replayed\"", "event-log = \"any\"");
    let made = spec.make().unwrap();
    let evidence = UnverifiedEvidence {
        tee: nitride_verify::Tee::Tdx,
        primary: &made.evidence.to_kbs_form(),
        additional: "",
    };
    let policy = AttestationPolicy::parse(&made.policy, "policy.toml").unwrap();
    let collateral = Collateral {
        intel: Some(&made.collateral),
        ..Collateral::default()
    };
    let mut budget = Budget::for_one_round();
    let judged = judge(
        &evidence,
        &made.expected,
        &policy,
        &collateral,
        NOW_SECS,
        &mut budget,
    );
    assert_eq!(failures(&judged), [""; 0]);
    // The collector's constant, which no package can share with the verifier's.
    let collector = include_str!("../../../agent/evidence/src/tdx/event_log.rs");
    assert!(collector.contains("const MAX_LOG_LEN: usize = 81_920;"));
    assert_eq!(MAX_LOG_LEN, 81_920);
}

#[test]
fn the_certificates_of_a_quote_are_remembered_once_they_are_verified_and_asked_again() {
    let memo = ChainMemo::new();
    let good = Spec::good().make().unwrap();
    let policy = AttestationPolicy::parse(&good.policy, "policy.toml").unwrap();
    let judge_at = |made: &Made, now_secs: u64| {
        let collateral = Collateral {
            intel: Some(&made.collateral),
            memo: Some(&memo),
            ..Collateral::default()
        };
        let judged = judge_allegation(
            Allegation::Tdx(made.evidence.clone()),
            &made.expected,
            &policy,
            &collateral,
            now_secs,
            &mut Budget::for_one_round(),
        );
        failures(&judged)
    };
    let mut spec = Spec::good();
    spec.pki.pck_by_another = true;
    let stranger = spec.make().unwrap();
    assert_ne!(judge_at(&stranger, NOW_SECS), [""; 0]);
    assert_eq!(
        memo.certificates_len(),
        0,
        "what a stranger makes is forgotten"
    );
    assert_eq!(judge_at(&good, NOW_SECS), [""; 0]);
    assert_eq!(memo.certificates_len(), 3);
    assert_eq!(judge_at(&good, NOW_SECS), [""; 0]);
    // Dates are compared each time.
    let in_fifty_years = NOW_SECS + 50 * 365 * 86_400;
    assert_eq!(judge_at(&good, in_fifty_years), ["tdx.pck-dates"]);
}
