//! Every SEV-SNP vector fails the check that it is made for, and no other.
#![forbid(unsafe_code)]
#![expect(clippy::panic, reason = "tests say what is wrong by panicking")]

use nitride_kbs::token::EarStatus;
use nitride_vectors::snp::{DEFECTS, Defect, Draft};
use nitride_vectors::unexpected;
use nitride_verify::checks::snp::CHECKS;
use nitride_verify::evidence::SnpProduct;
use nitride_verify::{
    Allegation, AmdCollateral, Anchor, AttestationPolicy, Budget, CheckName, CheckOutcome,
    Collateral, Tee, UnverifiedEvidence, Veks, Verdict, judge, judge_allegation, x509::ChainMemo,
};
use std::collections::BTreeSet;

fn judged(draft: &Draft) -> Verdict {
    match draft.build().judge() {
        Ok(verdict) => verdict,
        Err(refused) => panic!("{:?}", refused.cause),
    }
}

/// What failed: one name if it was refused, all of them if it was judged.
fn failures(draft: &Draft) -> Vec<String> {
    match draft.build().judge() {
        Ok(verdict) => {
            assert_eq!(
                verdict.status() == EarStatus::Contraindicated,
                verdict.failures().next().is_some(),
                "what fails a check is contraindicated, and nothing else is"
            );
            verdict
                .failures()
                .map(|(name, _)| name.to_owned())
                .collect()
        }
        Err(refused) => {
            let last = refused.checks.last().map(|check| check.name.name);
            let failed = refused
                .checks
                .iter()
                .filter(|check| matches!(check.outcome, CheckOutcome::Failed(_)));
            assert_eq!(failed.count(), 1, "{:?}", refused.cause);
            vec![last.unwrap_or_default().to_owned()]
        }
    }
}

fn all() -> impl Iterator<Item = &'static Defect> {
    DEFECTS.into_iter().flatten()
}

#[test]
fn good_evidence_passes_every_check_of_the_list_once_and_in_order() {
    for draft in [
        Draft::good(),
        Draft::of(SnpProduct::Genoa),
        Draft::of(SnpProduct::Turin),
        Draft::vlek(),
    ] {
        let verdict = judged(&draft);
        let made: Vec<CheckName> = verdict.checks().iter().map(|check| check.name).collect();
        assert_eq!(made, CHECKS);
        assert_eq!(verdict.failures().collect::<Vec<_>>(), []);
        assert_eq!(verdict.status(), EarStatus::Affirming);
        let waived = verdict
            .checks()
            .iter()
            .filter(|check| matches!(check.outcome, CheckOutcome::WaivedByPolicyLine(_)));
        assert_eq!(waived.count(), 0, "a strict policy waives nothing");
    }
}

#[test]
fn each_defect_fails_its_check_and_no_other() {
    let wrong: Vec<String> = all()
        .filter_map(|defect| unexpected(defect.name, defect.check, &failures(&defect.draft())))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_numbered_check_has_a_vector() {
    let found: BTreeSet<&str> = all().map(|defect| defect.check).collect();
    let missing: Vec<&str> = CHECKS
        .iter()
        .filter(|check| check.number != 0 && !found.contains(check.name))
        .map(|check| check.name)
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
    let numbers: BTreeSet<u8> = CHECKS.iter().map(|check| check.number).collect();
    assert_eq!(numbers, (0..=32).collect());
    let names: BTreeSet<&str> = all().map(|defect| defect.name).collect();
    assert_eq!(
        names.len(),
        all().count(),
        "each vector has a name of its own"
    );
}

#[test]
fn what_a_test_anchor_vouches_for_is_never_genuine() {
    let verdict = judged(&Draft::good());
    assert_eq!(verdict.anchor(), Anchor::Test);
    assert!(!verdict.is_genuine() && verdict.is_simulated());
    assert_eq!(verdict.vector().hardware, 0);
    assert_eq!(verdict.vector().runtime_opaque, 0, "nor is memory hidden");
    assert_eq!(verdict.claims().claim("test-anchor"), Some(&true.into()));
}

#[test]
fn debugging_that_the_policy_allows_is_told_and_never_affirmed() {
    let mut draft = Draft::good();
    draft.report.policy |= 1 << 19;
    draft.policy.set("danger-allow-debug", "true");
    let verdict = judged(&draft);
    assert!(verdict.is_debug());
    assert_eq!(verdict.status(), EarStatus::Warning);
    assert_eq!(verdict.failures().count(), 0);
}

#[test]
fn migration_that_the_policy_allows_is_never_affirmed() {
    let mut moves = Draft::good();
    moves.report.policy |= 1 << 18;
    let mut moved = Draft::good();
    moved.report.report_id_ma = [7; 32];
    for mut draft in [moves, moved] {
        draft.policy.set("danger-allow-migration", "true");
        let verdict = judged(&draft);
        assert_eq!(verdict.status(), EarStatus::Warning);
        assert_eq!(verdict.failures().count(), 0);
    }
}

#[test]
fn init_data_that_the_guest_was_launched_with_is_believed() {
    let mut draft = Draft::good();
    draft.bind_init_data();
    let verdict = judged(&draft);
    assert_eq!(
        verdict.claims().claim("init_data_bound"),
        Some(&true.into())
    );
    // The host launched with them: that they are bound is nobody's wish, but for those stated.
    assert_eq!(verdict.vector().configuration, 0);
    let digest = base16ct::lower::encode_string(&draft.report.host_data);
    draft.policy.set("host-data", &format!("[\"{digest}\"]"));
    assert_eq!(judged(&draft).vector().configuration, 2);
}

#[test]
fn the_reference_value_that_matched_is_told_with_what_it_covers() {
    let mut draft = Draft::good();
    let verdict = judged(&draft);
    let claim = |name: &str| verdict.claims().claim(name).cloned();
    assert_eq!(claim("reference_value"), Some("image".into()));
    assert_eq!(claim("covers_command_line"), Some(true.into()));
    assert_eq!(claim("covers_disk"), Some(false.into()));
    assert_eq!(verdict.vector().executables, 3);
    // Of firmware alone nothing is claimed about what it boots.
    draft.policy.set("requires-coverage", "[\"firmware\"]");
    draft.policy.set_reference("covers", "[\"firmware\"]");
    assert_eq!(judged(&draft).vector().executables, 0);
    draft.report.measurement = [0x3F; 48];
    assert_eq!(judged(&draft).claims().claim("covers"), None);
}

#[test]
fn a_masked_chip_id_is_waived_by_the_line_that_accepts_it() {
    let mut draft = Draft::good();
    draft.report.chip_id = [0; 64];
    draft.policy.waive("chip-ids");
    draft.policy.set("danger-accept-masked-chip-id", "true");
    let verdict = judged(&draft);
    let check = verdict
        .checks()
        .iter()
        .find(|c| c.name.name == "snp.chip-id");
    assert!(matches!(
        check.map(|check| &check.outcome),
        Some(CheckOutcome::WaivedByPolicyLine(_))
    ));
}

#[test]
fn a_missing_revocation_list_is_waived_only_by_a_line() {
    let mut draft = Draft::good();
    draft.chain.crl = None;
    draft.policy.waive("crl-max-age-secs");
    let verdict = judged(&draft);
    let waived: Vec<&str> = verdict
        .checks()
        .iter()
        .filter(|check| matches!(check.outcome, CheckOutcome::WaivedByPolicyLine(_)))
        .map(|check| check.name.name)
        .collect();
    let list = ["present", "signature", "fresh"].map(|what| format!("snp.crl-{what}"));
    assert_eq!(waived[..3], list);
    assert_eq!(waived[3..], ["snp.not-revoked"]);

    let mut draft = Draft::good();
    draft.policy.waive("crl-max-age-secs");
    let crl = draft.chain.crl.as_mut().expect("a good chain has a list");
    crl.revoked.push(0x0001_0001);
    assert_eq!(
        failures(&draft),
        ["snp.not-revoked"],
        "a list at hand is believed"
    );
}

#[test]
fn reports_of_every_version_are_judged() {
    for version in 2..=5 {
        let mut draft = Draft::good();
        draft.report.be_of_version(version);
        draft.policy.set("minimum-report-version", "2");
        draft.policy.waive("required-launch-mitigations");
        draft.policy.waive("required-current-mitigations");
        let verdict = judged(&draft);
        assert_eq!(
            verdict.failures().collect::<Vec<_>>(),
            [],
            "version {version}"
        );
        assert_eq!(verdict.claims().claim("product"), Some(&"Milan".into()));
    }
}

#[test]
fn certificates_come_from_the_evidence_or_from_the_collateral() {
    for version in [2, 5] {
        let mut draft = Draft::good();
        draft.report.be_of_version(version);
        draft.policy.set("minimum-report-version", "2");
        draft.policy.waive("required-launch-mitigations");
        draft.policy.waive("required-current-mitigations");
        let mut vector = draft.build();
        let vcek = vector.allegation.certificates.vcek.take();
        let refused = vector.judge().expect_err("there is no VCEK");
        assert!(refused.checks.len() < 12, "{refused:?}");

        let mut other = Draft::good();
        other.report.chip_id = [9; 64];
        other.chain = nitride_vectors::snp::ChainDraft::vcek(SnpProduct::Milan, &other.report);
        let other = other.build().allegation.certificates.vcek;
        vector.collateral.veks = Veks::of(other.into_iter().chain(vcek)).expect("two VCEKs");
        let verdict = vector.judge().expect("the collateral has the chip's VCEK");
        assert_eq!(verdict.failures().count(), 0);
    }

    let mut vector = Draft::good().build();
    let collateral = vector.collateral.clone();
    vector.allegation.certificates.ark = Some(collateral.ark);
    vector.allegation.certificates.ask = collateral.ask;
    vector.policy = vector
        .policy
        .replace("crl-max-age-secs = 86400", "crl-max-age-secs = \"any\"");
    let policy = AttestationPolicy::parse(&vector.policy, "policy.toml").expect("a good policy");
    let verdict = judge_allegation(
        Allegation::Snp(Box::new(vector.allegation)),
        &vector.expected,
        &policy,
        &Collateral::default(),
        vector.now_secs,
        &mut Budget::for_one_round(),
    );
    assert_eq!(
        verdict
            .expect("the evidence has all of it")
            .failures()
            .count(),
        0
    );
}

#[test]
fn the_kbs_form_carries_every_good_report_there_and_back() {
    for draft in [Draft::good(), Draft::of(SnpProduct::Turin), Draft::vlek()] {
        let vector = draft.build();
        let primary = vector
            .allegation
            .to_kbs_form()
            .expect("a report of its form");
        let policy = AttestationPolicy::parse(&vector.policy, "policy.toml").expect("good");
        let collateral = Collateral {
            amd: std::slice::from_ref(&vector.collateral),
            ..Collateral::default()
        };
        let evidence = UnverifiedEvidence {
            tee: Tee::Snp,
            primary: &primary,
            additional: "",
        };
        let verdict = judge(
            &evidence,
            &vector.expected,
            &policy,
            &collateral,
            vector.now_secs,
            &mut Budget::for_one_round(),
        );
        let verdict = verdict.expect("the form loses nothing");
        assert_eq!(verdict.status(), EarStatus::Affirming);
        let made: Vec<CheckName> = verdict.checks().iter().map(|check| check.name).collect();
        assert_eq!(made, CHECKS);
    }
}

#[test]
fn a_memo_of_signatures_remembers_no_bad_one() {
    let memo = ChainMemo::new();
    let judge_with = |draft: &Draft| {
        let vector = draft.build();
        let policy = AttestationPolicy::parse(&vector.policy, "policy.toml").expect("good");
        let collateral = Collateral {
            amd: std::slice::from_ref(&vector.collateral),
            memo: Some(&memo),
            ..Collateral::default()
        };
        let verdict = judge_allegation(
            Allegation::Snp(Box::new(vector.allegation)),
            &vector.expected,
            &policy,
            &collateral,
            vector.now_secs,
            &mut Budget::for_one_round(),
        );
        verdict.map_err(|refused| refused.checks.last().map(|check| check.name.name))
    };
    for _ in 0..2 {
        assert!(judge_with(&Draft::good()).is_ok());
        let mut spoilt = Draft::good();
        spoilt.chain.vek.spoil_signature = true;
        let refused = judge_with(&spoilt);
        assert_eq!(refused.err(), Some(Some("snp.vek-signature")));
    }
}

#[test]
fn a_policy_says_what_it_cannot_do_without() {
    let vector = Draft::good().build();
    let policy = AttestationPolicy::parse(&vector.policy, "policy.toml").expect("good");
    let missing = |published: &[AmdCollateral]| {
        policy.missing_of(&Collateral {
            amd: published,
            ..Collateral::default()
        })
    };
    assert_eq!(missing(std::slice::from_ref(&vector.collateral)), None);
    let mut without = vector.collateral.clone();
    without.crls.clear();
    for published in [&[without][..], &[]] {
        let told = missing(published).expect("the list is missing").to_string();
        assert!(told.contains("revocation list for Milan"), "{told}");
    }
    let waived = vector
        .policy
        .replace("crl-max-age-secs = 86400", "crl-max-age-secs = \"any\"");
    let waived = AttestationPolicy::parse(&waived, "policy.toml").expect("good");
    assert_eq!(waived.missing_of(&Collateral::default()), None);
}

#[test]
fn what_strangers_invent_is_not_remembered() {
    let memo = ChainMemo::new();
    let good = Draft::good().build();
    let policy = AttestationPolicy::parse(&good.policy, "policy.toml").expect("good");
    let judge_with = |vcek: Vec<u8>| {
        let mut allegation = good.allegation.clone();
        allegation.certificates.vcek = Some(vcek);
        let collateral = Collateral {
            amd: std::slice::from_ref(&good.collateral),
            memo: Some(&memo),
            ..Collateral::default()
        };
        judge_allegation(
            Allegation::Snp(Box::new(allegation)),
            &good.expected,
            &policy,
            &collateral,
            good.now_secs,
            &mut Budget::for_one_round(),
        )
    };
    let vcek = good.allegation.certificates.vcek.clone().expect("a VCEK");
    for invented in 1..=u8::MAX {
        let mut invention = vcek.clone();
        if let Some(last) = invention.last_mut() {
            *last ^= invented;
        }
        assert!(judge_with(invention).is_err());
    }
    // Root and intermediate.
    assert_eq!(memo.certificates_len(), 2);
    assert!(judge_with(vcek).is_ok());
    assert_eq!(memo.certificates_len(), 3);
}

#[test]
fn a_key_of_the_other_kind_is_not_taken_for_the_reports() {
    let vcek_of = |draft: &Draft| draft.build().allegation.certificates.vcek;
    let vlek_of = |draft: &Draft| draft.build().allegation.certificates.vlek;
    let (chips, clouds) = (Draft::good(), Draft::vlek());
    let keys = [vcek_of(&chips), vlek_of(&clouds)].map(|key| key.expect("a key"));
    for draft in [&chips, &clouds] {
        for order in [[0, 1], [1, 0]] {
            let mut vector = draft.build();
            vector.allegation.certificates.vcek = None;
            vector.allegation.certificates.vlek = None;
            let keys = order.map(|at: usize| keys[at].clone());
            vector.collateral.veks = Veks::of(keys).expect("two keys");
            let verdict = vector.judge().expect("its key is there");
            assert_eq!(verdict.failures().count(), 0);
        }
    }
    assert!(Veks::of([chips.build().collateral.ark]).is_err());
}

#[test]
fn a_key_of_another_tcb_is_not_taken_for_the_reports() {
    let vcek_of = |draft: &Draft| draft.build().allegation.certificates.vcek;
    let good = Draft::good();
    for at in [0, 1, 6, 7] {
        let mut other = Draft::good();
        other.report.reported_tcb[at] ^= 1;
        other.chain = nitride_vectors::snp::ChainDraft::vcek(SnpProduct::Milan, &other.report);
        for keys in [[&good, &other], [&other, &good]] {
            let mut vector = good.build();
            vector.allegation.certificates.vcek = None;
            let keys = keys.map(|draft| vcek_of(draft).expect("a key"));
            vector.collateral.veks = Veks::of(keys).expect("two keys");
            let verdict = vector.judge().expect("its key is there");
            assert_eq!(verdict.failures().count(), 0);
        }
    }
}

#[test]
fn every_cut_of_a_report_and_any_byte_of_it_is_refused_by_name() {
    let good = Draft::good().build();
    for len in [0, 1, 0x2A0, 1183] {
        let mut vector = good.clone();
        vector.allegation.report.truncate(len);
        assert!(vector.judge().is_err(), "{len} bytes");
    }
    for at in (0..good.allegation.report.len()).step_by(7) {
        let mut vector = good.clone();
        vector.allegation.report[at] ^= 0x10;
        assert!(vector.judge().is_err(), "byte {at:#x}");
    }
}

#[test]
fn a_masked_chip_id_of_version_2_is_not_taken_for_turins_when_its_form_is_written() {
    let mut draft = Draft::good();
    draft.report.be_of_version(2);
    draft.report.chip_id = [0; 64];
    let form = draft.build().allegation.to_kbs_form().unwrap_or_default();
    let form: serde_json::Value = serde_json::from_str(&form).unwrap_or_default();
    let tcb = &form["attestation_report"]["reported_tcb"];
    assert_eq!(tcb["fmc"], serde_json::Value::Null);
    assert_eq!(tcb["bootloader"], draft.report.reported_tcb[0]);
}
