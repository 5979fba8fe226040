//! From the interface to the verdict: what the real nitride-quote makes of signed reports and quotes is
//! judged by every check.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_tsm::Tsm;
use nitride_tsm::machine::{Helper, Machine};
use nitride_tsm::provider::{ARK, ASK, Provider, Signer, VCEK, VLEK, table};
use nitride_vectors::snp::Draft;
use nitride_vectors::tdx::{self, REPORT_DATA, Spec};
use nitride_verify::evidence::SnpProduct;
use nitride_verify::{
    AttestationPolicy, Budget, Collateral, Expected, Tee, UnverifiedEvidence, Verdict, judge,
};

/// What is left of a verdict that everything is right with.
fn expect_good(verdict: &Verdict) {
    let failures: Vec<_> = verdict.failures().collect();
    assert_eq!(failures, [], "{:?}", verdict.checks());
    assert!(!verdict.is_genuine(), "under an anchor of the test's");
}

#[test]
fn reports_of_every_chip_pass_every_check_as_they_were_collected() -> Result<()> {
    for (name, draft) in [
        ("milan", Draft::good()),
        ("genoa", Draft::of(SnpProduct::Genoa)),
        ("turin", Draft::of(SnpProduct::Turin)),
        ("vlek", Draft::vlek()),
    ] {
        let vector = draft.build();
        let certificates = &vector.allegation.certificates;
        let found = [
            (VCEK, &certificates.vcek),
            (VLEK, &certificates.vlek),
            (ASK, &certificates.ask),
            (ARK, &certificates.ark),
        ];
        let found: Vec<_> = found
            .into_iter()
            .filter_map(|(guid, der)| Some((guid, der.as_deref()?)))
            .collect();
        let certificates = table(&found)?;
        let report = draft.report.clone();
        let signer = Signer::snp(move |data| {
            let mut report = report.clone();
            report.report_data = *data;
            Some((report.sign(), certificates.clone()))
        });
        let Some(tsm) = Tsm::mount(Provider::Signed(signer))? else {
            return Ok(());
        };
        let machine = Machine {
            reports: Some(tsm.reports().to_owned()),
            ..Machine::default()
        };
        let helper = Helper::start(&machine, "tee = \"snp\"")?;
        let evidence = helper.evidence("snp", &[7; 48])?;
        let primary = evidence.map_err(|status| anyhow::anyhow!("{status:?}"))?;
        let judged = |expected: &Expected| {
            judge(
                &UnverifiedEvidence {
                    tee: Tee::Snp,
                    primary: &primary.to_string(),
                    additional: "",
                },
                expected,
                &AttestationPolicy::parse(&vector.policy, "policy.toml").unwrap(),
                &Collateral {
                    amd: std::slice::from_ref(&vector.collateral),
                    ..Collateral::default()
                },
                vector.now_secs,
                &mut Budget::for_one_round(),
            )
        };
        let verdict = judged(&vector.expected);
        expect_good(&verdict.map_err(|refused| anyhow::anyhow!("{name}: {refused:?}"))?);
        assert!(
            judged(&Expected::of([8; 48])).is_err(),
            "{name}: other data"
        );
    }
    Ok(())
}

#[test]
fn a_quote_and_its_event_log_pass_every_check_as_they_were_collected() -> Result<()> {
    for spec in [Spec::good(), Spec::good_version_5(3)] {
        let made = spec.make()?;
        let quote = made.evidence.quote.clone();
        let signer = Signer::tdx(move |_| Some(quote.clone()));
        let Some(tsm) = Tsm::mount(Provider::Signed(signer))? else {
            return Ok(());
        };
        let mut ccel = b"CCEL".to_vec();
        ccel.resize(56, 0);
        ccel[36] = 2;
        tsm.folder().write("tables/CCEL", ccel)?;
        let log = made.evidence.event_log.as_deref().context("no log")?;
        let area = [log, &[0xff; 4096]].concat();
        tsm.folder().write("tables/data/CCEL", area)?;
        let machine = Machine {
            reports: Some(tsm.reports().to_owned()),
            acpi_tables: Some(tsm.folder().join("tables")),
            ..Machine::default()
        };
        let lines = "tee = \"tdx\"\n[tdx]\nevent-log = \"required\"";
        let helper = Helper::start(&machine, lines)?;
        let evidence = helper.evidence("tdx", &REPORT_DATA)?;
        let primary = evidence.map_err(|status| anyhow::anyhow!("{status:?}"))?;
        let verdict = judge(
            &UnverifiedEvidence {
                tee: Tee::Tdx,
                primary: &primary.to_string(),
                additional: "",
            },
            &made.expected,
            &AttestationPolicy::parse(&made.policy, "policy.toml")?,
            &Collateral {
                intel: Some(&made.collateral),
                ..Collateral::default()
            },
            tdx::NOW_SECS,
            &mut Budget::for_one_round(),
        );
        expect_good(&verdict.map_err(|refused| anyhow::anyhow!("{refused:?}"))?);
    }
    Ok(())
}
