//! Real captures, which are no part of this repository: `NITRIDE_VECTORS` names their folder, whose
//! README files say what must come out.

use aws_lc_rs::digest::{SHA384, digest};
use nitride_dcap::{IntelCollateral, PcsAnswers, PlatformCollateral};
use nitride_vectors::tdx::{NOW_SECS, Spec};
use nitride_verify::evidence::ccel::{EventLog, SHA384 as TPM_ALG_SHA384};
use nitride_verify::evidence::tdx_quote::{QuoteMalformed, TdxQuote};
use nitride_verify::{
    Allegation, AttestationPolicy, Budget, Check, CheckOutcome, Collateral, Expected, Refused,
    ReportData, TdxAllegation, Verdict, judge_allegation,
};
use std::path::PathBuf;

/// The folder, or a word that there is none.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("NITRIDE_VECTORS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: NITRIDE_VECTORS names no folder of real captures");
    }
    folder.map(|folder| folder.join("tdx"))
}

fn read(folder: &std::path::Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn text(folder: &std::path::Path, name: &str) -> String {
    String::from_utf8(read(folder, name)).unwrap()
}

/// A policy that wants this very trust domain, and says "any" where a capture shows nothing.
fn policy(quote: &[u8], statuses: &str) -> AttestationPolicy {
    let report = TdxQuote::parse(quote).unwrap().report;
    let hex = |bytes: &[u8]| base16ct::lower::encode_string(bytes);
    let rtmr = report.rtmr.map(|register| hex(&register));
    let text = format!(
        "version = 1\ndanger-accept-sample = false\ndanger-test-anchors = []\n[tdx]\n\
         tcb-status = [{statuses}]\nadvisories = \"any\"\nminimum-tcb-evaluation = 15\n\
         mr-seam = [\"{}\"]\nmr-signer-seam = [\"{}\"]\nseam-attributes = \"0000000000000000\"\n\
         danger-allow-debug = false\ndanger-allow-profiling = false\n\
         danger-allow-migration = false\nsept-ve-disable = \"any\"\n\
         xfam-required = \"0000000000000003\"\nxfam-allowed = \"any\"\nevent-log = \"any\"\n\
         requires-coverage = [\"firmware\", \"kernel\"]\nmr-config-id = \"any\"\nmr-owner = \"any\"\n\
         mr-owner-config = \"any\"\nmr-service-td = \"none\"\nplatform-instances = \"any\"\n\
         smt = \"any\"\ndynamic-platform = \"any\"\ncached-keys = \"any\"\n\
         [[tdx.reference]]\nname = \"captured\"\nmr-td = \"{}\"\nrtmr0 = \"{}\"\nrtmr1 = \"{}\"\n\
         rtmr2 = \"{}\"\nrtmr3 = \"{}\"\ncovers = [\"firmware\", \"kernel\"]\n",
        hex(&report.mr_seam),
        hex(&report.mr_signer_seam),
        hex(&report.mr_td),
        rtmr[0],
        rtmr[1],
        rtmr[2],
        rtmr[3],
    );
    AttestationPolicy::parse(&text, "policy.toml").unwrap()
}

fn judged(
    quote: Vec<u8>,
    collateral: Option<PlatformCollateral>,
    statuses: &str,
    now_secs: u64,
) -> Result<Verdict, Refused> {
    let policy = policy(&quote, statuses);
    let report_data = TdxQuote::parse(&quote).unwrap().report.report_data;
    let collateral = IntelCollateral::new(collateral.into_iter().collect()).unwrap();
    judge_allegation(
        Allegation::Tdx(TdxAllegation {
            quote,
            event_log: None,
        }),
        &Expected::of(ReportData::from(report_data)),
        &policy,
        &Collateral {
            intel: Some(&collateral),
            ..Collateral::default()
        },
        now_secs,
        &mut Budget::for_one_round(),
    )
}

fn passed(checks: &[Check], name: &str) -> bool {
    let mut found = checks.iter().filter(|check| check.name.name == name);
    found.any(|check| check.outcome == CheckOutcome::Passed)
}

fn last_failure(refused: &Refused) -> &'static str {
    refused.checks.last().unwrap().name.name
}

#[test]
fn an_up_to_date_platform_is_genuine_while_its_collateral_is_fresh() {
    let Some(folder) = folder() else { return };
    let folder = folder.join("v4-uptodate-with-collateral");
    let collateral = || PlatformCollateral::from_bundle(&text(&folder, "collateral.json")).unwrap();
    let quote = read(&folder, "quote.bin");
    assert_eq!(TdxQuote::parse(&quote).unwrap().trailing_len, 70);
    let now = 1_750_809_600;
    let verdict = judged(quote.clone(), Some(collateral()), "\"up-to-date\"", now).unwrap();
    assert_eq!(verdict.failures().collect::<Vec<_>>(), []);
    assert!(verdict.is_genuine());
    assert_eq!(verdict.vector().hardware, 2);
    let again = PlatformCollateral::from_bundle(&collateral().to_bundle().unwrap()).unwrap();
    assert!(judged(quote.clone(), Some(again), "\"up-to-date\"", now).is_ok());
    let late = judged(quote, Some(collateral()), "\"up-to-date\"", 1_795_219_200).unwrap_err();
    assert_eq!(last_failure(&late), "tdx.root-crl");
    assert!(
        format!("{:?}", late.checks).contains("CrlExpired"),
        "{:?}",
        late.checks
    );
}

#[test]
fn a_platform_below_every_level_is_refused() {
    let Some(folder) = folder() else { return };
    let folder = folder.join("v5-outdated-with-collateral");
    let collateral = || PlatformCollateral::from_bundle(&text(&folder, "collateral.json")).unwrap();
    let judge_at = |now| {
        let quote = read(&folder, "quote.bin");
        judged(quote, Some(collateral()), "\"up-to-date\"", now).unwrap_err()
    };
    assert_eq!(last_failure(&judge_at(1_771_977_600)), "tdx.tcb-level");
    assert_eq!(last_failure(&judge_at(1_795_219_200)), "tdx.root-crl");
}

/// Its signatures hold, from the PCK down; the platform's collateral is not there.
#[test]
fn a_version_5_quote_holds_as_far_as_it_goes_by_itself() {
    let Some(folder) = folder() else { return };
    let quote = read(&folder, "v5-sample/quote.bin");
    let parsed = TdxQuote::parse(&quote).unwrap();
    assert_eq!((parsed.version, parsed.body_type), (5, Some(3)));
    let refused = judged(quote.clone(), None, "\"up-to-date\"", 1_771_977_600).unwrap_err();
    assert_eq!(last_failure(&refused), "tdx.collateral");
    for name in [
        "tdx.qe-report-signature",
        "tdx.qe-report-data",
        "tdx.quote-signature",
    ] {
        assert!(passed(&refused.checks, name), "{name}");
    }
}

/// Of 2023, as Intel's service answered; the chains of its headers are those of a later bundle, whose
/// signing certificate is the same.
fn collateral_of_2023(folder: &std::path::Path) -> PlatformCollateral {
    let bundle = text(folder, "v4-uptodate-with-collateral/collateral.json");
    let bundle: serde_json::Value = serde_json::from_str(&bundle).unwrap();
    let chain = |name: &str| bundle[name].as_str().unwrap().to_owned();
    let folder = folder.join("v4-spr-gce");
    PlatformCollateral::from_pcs(&PcsAnswers {
        tcb_info: &text(&folder, "tcbinfo.json"),
        tcb_info_issuer_chain: &chain("tcb_info_issuer_chain"),
        qe_identity: &text(&folder, "qeidentity.json"),
        qe_identity_issuer_chain: &chain("qe_identity_issuer_chain"),
        pck_crl: &read(&folder, "pckcrl.der"),
        pck_crl_issuer_chain: &chain("pck_crl_issuer_chain"),
        root_ca_crl: &read(&folder, "rootcrl.der"),
    })
    .unwrap()
}

/// 2023-06-25, within the dates of all of it.
const IN_2023: u64 = 1_687_651_200;

#[test]
fn a_quote_without_sept_ve_disable_is_judged_by_what_intel_answered() {
    let Some(folder) = folder() else { return };
    let quote = read(&folder, "v4-spr-gce/quote.bin");
    assert_eq!(TdxQuote::parse(&quote).unwrap().trailing_len, 39);
    let collateral = collateral_of_2023(&folder);
    let verdict = judged(
        quote,
        Some(collateral),
        "\"up-to-date\", \"out-of-date\"",
        IN_2023,
    );
    let verdict = verdict.unwrap_or_else(|refused| panic!("{:#?}", refused.checks));
    assert_eq!(verdict.failures().collect::<Vec<_>>(), []);
    assert!(verdict.is_genuine());
}

#[test]
fn a_trust_domain_in_debug_mode_is_not_wanted() {
    let Some(folder) = folder() else { return };
    let quote = read(&folder, "v4-trustee/quote.bin");
    let collateral = collateral_of_2023(&folder);
    let statuses = "\"up-to-date\", \"out-of-date\"";
    let verdict = judged(quote, Some(collateral), statuses, IN_2023);
    let verdict = verdict.unwrap_or_else(|refused| panic!("{:#?}", refused.checks));
    let failures: Vec<_> = verdict.failures().map(|(name, _)| name).collect();
    assert_eq!(failures, ["tdx.debug"]);
    assert!(verdict.is_debug() && !verdict.is_genuine());
}

#[test]
fn a_real_event_log_has_its_events_and_replays() {
    let Some(folder) = folder() else { return };
    let bytes = read(&folder, "ccel/ccel_ovmf.bin");
    let log = EventLog::parse(&bytes).unwrap();
    assert_eq!(log.events().len(), 20);
    let mut rtmr = [[0; 48]; 4];
    for event in log.events() {
        let register = &mut rtmr[usize::try_from(event.register).unwrap() - 1];
        let extended = [&register[..], event.digest(TPM_ALG_SHA384).unwrap()].concat();
        register.copy_from_slice(digest(&SHA384, &extended).as_ref());
    }
    let hex = |bytes: &[u8]| base16ct::lower::encode_string(bytes);
    assert_eq!(hex(&rtmr[0][..8]), "8566f998798db094");
    assert_eq!(hex(&rtmr[1][..8]), "775b9f6bfe99f8a3");
    assert_eq!(hex(&rtmr[2][..8]), "94eaf7a7bf398ed8");
    assert_eq!(rtmr[3], [0; 48]);

    let mut spec = Spec::good();
    for (old, new) in spec.quote.rtmr.iter().zip(rtmr) {
        spec.policy = spec.policy.replace(&hex(old), &hex(&new));
    }
    spec.quote.rtmr = rtmr;
    spec.event_log = Some(bytes);
    let made = spec.make().unwrap();
    let verdict = judge_allegation(
        Allegation::Tdx(made.evidence),
        &made.expected,
        &AttestationPolicy::parse(&made.policy, "policy.toml").unwrap(),
        &Collateral {
            intel: Some(&made.collateral),
            ..Collateral::default()
        },
        NOW_SECS,
        &mut Budget::for_one_round(),
    )
    .unwrap();
    assert!(passed(verdict.checks(), "tdx.event-log"), "{verdict:#?}");
}

/// A TDREPORT is protected by a key of this one machine: it proves nothing elsewhere.
#[test]
fn a_local_report_is_no_quote() {
    let Some(folder) = folder() else { return };
    for name in ["tdreport/report_gtg.bin", "tdreport/report_gc.bin"] {
        let error = TdxQuote::parse(&read(&folder, name)).unwrap_err();
        assert!(
            matches!(error, QuoteMalformed::Version { .. }),
            "{name}: {error}"
        );
    }
}
