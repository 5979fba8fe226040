//! Real captures, which are no part of this repository: `NITRIDE_VECTORS` names their folder, whose
//! README files say what must come out.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use aws_lc_rs::digest::{SHA384, digest};
use nitride_dcap::{IntelCollateral, PcsAnswers, PlatformCollateral};
use nitride_vectors::tdx::{NOW_SECS, Spec};
use nitride_verify::checks::tdx::BY_COLLATERAL;
use nitride_verify::evidence::ccel::{EventLog, SHA384 as TPM_ALG_SHA384};
use nitride_verify::evidence::tdx_quote::{QuoteMalformed, TdxQuote};
use nitride_verify::{
    Allegation, Anchor, AttestationPolicy, Budget, Check, CheckOutcome, Collateral, Expected,
    Ledger, Refusal, Refused, ReportData, TcbFacts, TcbStatus, TdxAllegation, TdxCollateral,
    TdxEvidence, TdxTrust, Verdict, judge_allegation,
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
    std::fs::read(folder.join(name)).unwrap()
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
         danger-allow-migration = false\ntd-attributes-allowed = \"any\"\nsept-ve-disable = \"any\"\n\
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
fn what_intel_signed_may_replace_what_it_signed_before() {
    let Some(folder) = folder() else { return };
    let trust = TdxTrust::new(&[]);
    let of = |name: &str| {
        let bundle = text(&folder.join(name), "collateral.json");
        PlatformCollateral::from_bundle(&bundle).unwrap()
    };
    let collateral = of("v4-uptodate-with-collateral");
    collateral
        .verify("Intel SGX PCK Platform CA", &trust, 1_750_809_600)
        .unwrap();
    collateral.verify_not_older(&collateral, &trust).unwrap();
    let told = collateral
        .verify("Intel SGX PCK Platform CA", &trust, 1_795_305_600)
        .unwrap_err();
    assert!(
        told.to_string().contains("dates do not include now"),
        "{told}"
    );
    // Signed by Intel at another time.
    let other = of("v5-outdated-with-collateral");
    let either = [(&collateral, &other), (&other, &collateral)];
    let newer = either.map(|(new, old)| new.verify_not_older(old, &trust).is_ok());
    assert_ne!(newer[0], newer[1]);
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

/// Their signatures hold in their year. What Intel's service answered then is there without the chains
/// of its headers, and the signer of today was not valid yet: refused by name, whatever else they are.
#[test]
fn version_4_quotes_hold_by_themselves_and_need_collateral_of_their_time() {
    let Some(folder) = folder() else { return };
    let bundle = text(&folder, "v4-uptodate-with-collateral/collateral.json");
    let bundle: serde_json::Value = serde_json::from_str(&bundle).unwrap();
    let chain = |name: &str| bundle[name].as_str().unwrap().to_owned();
    let answered = folder.join("v4-spr-gce");
    let collateral = || {
        PlatformCollateral::from_pcs(&PcsAnswers {
            tcb_info: &text(&answered, "tcbinfo.json"),
            tcb_info_issuer_chain: &chain("tcb_info_issuer_chain"),
            qe_identity: &text(&answered, "qeidentity.json"),
            qe_identity_issuer_chain: &chain("qe_identity_issuer_chain"),
            pck_crl: &read(&answered, "pckcrl.der"),
            pck_crl_issuer_chain: &chain("pck_crl_issuer_chain"),
            root_ca_crl: &read(&answered, "rootcrl.der"),
        })
        .unwrap()
    };
    assert_eq!(collateral().fmspc(), &[0x50, 0x80, 0x6f, 0, 0, 0]);
    for (name, trailing_len, attributes) in [
        ("v4-spr-gce/quote.bin", 39, 0x4000_0000),
        // In debug mode.
        ("v4-trustee/quote.bin", 0, 0x1000_0001),
    ] {
        let quote = read(&folder, name);
        let parsed = TdxQuote::parse(&quote).unwrap();
        assert_eq!((parsed.version, parsed.trailing_len), (4, trailing_len));
        assert_eq!(parsed.report.td_attributes, attributes);
        // 2023-06-25, within the dates of all that is there.
        let judge = |collateral| {
            judged(quote.clone(), collateral, "\"up-to-date\"", 1_687_651_200).unwrap_err()
        };
        let refused = judge(None);
        assert_eq!(last_failure(&refused), "tdx.collateral");
        for name in [
            "tdx.qe-report-signature",
            "tdx.qe-report-data",
            "tdx.quote-signature",
        ] {
            assert!(passed(&refused.checks, name), "{name}");
        }
        let refused = judge(Some(collateral()));
        assert_eq!(last_failure(&refused), "tdx.tcb-info-signature");
        assert!(format!("{:?}", refused.checks).contains("CertNotValidYet"));
    }
}

/// Says that all is well with the platform, so that what is left is the trust domain.
#[derive(Debug)]
struct AllIsWell;

impl TdxCollateral for AllIsWell {
    fn judge(
        &self,
        _: &TdxEvidence<'_>,
        _: &TdxTrust<'_>,
        _: u64,
        _: &mut Budget,
        ledger: &mut Ledger,
    ) -> Result<TcbFacts, Refusal> {
        for name in BY_COLLATERAL {
            ledger.pass(*name);
        }
        Ok(TcbFacts {
            anchor: Anchor::Vendor,
            status: TcbStatus::UpToDate,
            advisories: Vec::new(),
            current_status: None,
            current_advisories: Vec::new(),
            evaluation_number: 15,
            level_date: "2023-02-15T00:00:00Z".to_owned(),
            fmspc: [0x50, 0x80, 0x6f, 0, 0, 0],
            platform_instance: None,
            smt: None,
            dynamic_platform: None,
            cached_keys: None,
        })
    }
}

#[test]
fn a_real_trust_domain_in_debug_mode_is_not_wanted_and_one_without_sept_ve_disable_may_be() {
    let Some(folder) = folder() else { return };
    for (name, wanted) in [
        ("v4-spr-gce/quote.bin", &[][..]),
        ("v4-trustee/quote.bin", &["tdx.debug"]),
    ] {
        let quote = read(&folder, name);
        let policy = policy(&quote, "\"up-to-date\"");
        let report_data = TdxQuote::parse(&quote).unwrap().report.report_data;
        let verdict = judge_allegation(
            Allegation::Tdx(TdxAllegation {
                quote,
                event_log: None,
            }),
            &Expected::of(ReportData::from(report_data)),
            &policy,
            &Collateral {
                intel: Some(&AllIsWell),
                ..Collateral::default()
            },
            1_687_651_200,
            &mut Budget::for_one_round(),
        )
        .unwrap();
        let failures: Vec<_> = verdict.failures().map(|(name, _)| name).collect();
        assert_eq!(failures, wanted);
        assert_eq!(verdict.is_genuine(), wanted.is_empty());
        assert_eq!(verdict.is_debug(), !wanted.is_empty());
    }
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
