//! What the collectors give, judged, and what they refuse.

use crate::imds::{self, Answers};
use crate::paravisor::{Fault, Hardware, MEASURED, Paravisor, port_of};
use crate::relay;
use crate::tpm_commands::{Tpm, measured_once};
use anyhow::{Context, Result, ensure};
use base64ct::{Base64UrlUnpadded, Encoding};
use nitride_evidence::az::{AzureHardware, AzureSettings, UserData};
use nitride_evidence::{CollectError, Collector, Evidence, KernelPaths, OpenError, Settings};
use nitride_support::folder::Folder;
use nitride_vectors::{snp, tdx};
use nitride_verify::{
    AttestationPolicy, Budget, Collateral, Expected, Refused, Tee, UnverifiedEvidence, Verdict,
    judge,
};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const REPORT_DATA: [u8; 48] = [9; 48];

/// `[azure]` up to the hardware's sections, for what the stand-in boots.
pub(crate) fn azure_policy(user_data: &str) -> String {
    let pcrs = [0, 2, 4, 8, 9, 12].map(|index| match MEASURED.contains(&index) {
        true => format!("{index} = \"{}\"", measured_once()),
        false => format!("{index} = \"{}\"", "00".repeat(32)),
    });
    format!(
        "[azure]\nuser-data = {user_data}\ninit-data = \"any\"\nsecure-boot = true\nconsole = false\n\
         vm-ids = [\"A\"]\nrequires-coverage = [\"kernel\", \"initrd\", \"command-line\"]\n\
         [[azure.reference]]\nname = \"image\"\npcrs = {{ {} }}\n\
         covers = [\"kernel\", \"initrd\", \"command-line\"]\n",
        pcrs.join(", ")
    )
}

/// The policy for the hardware alone, put below Azure's.
pub(crate) fn below(policy: &str, section: &str, user_data: &str) -> Result<String> {
    let cut = format!("[{section}]");
    let (head, rest) = policy.split_once(&cut).context("the hardware's section")?;
    let rest = rest.replace(&format!("[{section}."), &format!("[azure.{section}."));
    let own = azure_policy(user_data);
    Ok(format!("{head}{own}[azure.{section}]{rest}"))
}

/// SEV-SNP of the test PKI, and what it is judged by. No revocation list: its age is by a real clock.
pub(crate) fn snp_hardware() -> (snp::Vector, Hardware) {
    let mut draft = snp::Draft::good();
    draft.chain.crl = None;
    draft.policy.waive("crl-max-age-secs");
    let vector = draft.build();
    let report = draft.report;
    let hardware = move |data: &[u8; 64]| {
        let mut report = report.clone();
        report.report_data = *data;
        report.sign()
    };
    (vector, Arc::new(hardware))
}

pub(crate) fn snp_metadata(vector: &snp::Vector) -> Result<Answers> {
    let vcek = vector.allegation.certificates.vcek.as_deref();
    let said = imds::certification(vcek.context("a VCEK")?);
    Ok(Arc::new(move |asked| {
        let is_asked = asked.starts_with("GET /metadata/THIM/amd/certification HTTP/1.1\r\n");
        is_asked.then(|| said.clone())
    }))
}

/// As TDX is on Azure: there is no event log of the registers, and the bit is clear.
pub(crate) fn tdx_of_azure(mut spec: tdx::Spec) -> tdx::Spec {
    spec.event_log = None;
    spec.quote.td_attributes &= !(1 << 28);
    spec.policy = spec
        .policy
        .replace("event-log = \"replayed\"", "event-log = \"any\"")
        .replace("sept-ve-disable = true", "sept-ve-disable = false");
    spec
}

/// The report data that a quote is wanted over, and the answer with that quote.
pub(crate) fn tdx_metadata(
    quote: impl Fn([u8; 64]) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> Answers {
    Arc::new(move |asked| {
        let report = imds::td_report(asked.strip_prefix("POST /acc/tdquote HTTP/1.1\r\n")?)?;
        let data = report.get(128..192)?.try_into().ok()?;
        let quote = Base64UrlUnpadded::encode_string(&quote(data)?);
        Some(serde_json::json!({ "quote": quote }).to_string())
    })
}

/// A TDREPORT: what of it is read here.
pub(crate) fn tdx_hardware() -> Hardware {
    Arc::new(|data| {
        let mut report = vec![0; 1024];
        report[128..192].copy_from_slice(data);
        report
    })
}

struct Machine {
    folder: Folder,
    paravisor: Paravisor,
    settings: AzureSettings,
}

impl Machine {
    fn start(kind: AzureHardware, hardware: Hardware, answers: Option<Answers>) -> Result<Self> {
        let folder = Folder::new()?;
        let number = if kind == AzureHardware::Snp { 2 } else { 4 };
        let paravisor = Paravisor::start(&folder, number, hardware)?;
        let socket = folder.join("imds.sock");
        if let Some(answers) = answers {
            let listener = UnixListener::bind(&socket)?;
            let connections = std::iter::from_fn(move || listener.accept().ok());
            imds::serve(connections.map(|(stream, _)| stream), answers);
        }
        let settings = settings(kind, &paravisor, UserData::Bound, socket)?;
        Ok(Self {
            folder,
            paravisor,
            settings,
        })
    }

    fn snp() -> Result<(Self, snp::Vector)> {
        let (vector, hardware) = snp_hardware();
        let answers = snp_metadata(&vector)?;
        Ok((
            Self::start(AzureHardware::Snp, hardware, Some(answers))?,
            vector,
        ))
    }

    fn collector(&self) -> Result<Collector, OpenError> {
        open(self.settings.clone())
    }

    fn with(&self, user_data: UserData) -> Result<Collector> {
        let socket = self.folder.join("imds.sock");
        let kind = self.settings.hardware();
        Ok(open(settings(kind, &self.paravisor, user_data, socket)?)?)
    }
}

fn settings(
    kind: AzureHardware,
    paravisor: &Paravisor,
    user_data: UserData,
    socket: PathBuf,
) -> Result<AzureSettings> {
    Ok(AzureSettings::new(
        kind,
        paravisor.tcti(),
        user_data,
        socket,
    )?)
}

fn open(settings: AzureSettings) -> Result<Collector, OpenError> {
    Collector::open(Settings::Azure(settings), &KernelPaths::of_this_machine())
}

fn judged(
    evidence: &Evidence,
    policy: &str,
    collateral: &Collateral<'_>,
    now_secs: u64,
) -> Result<Result<Verdict, Refused>> {
    let evidence = UnverifiedEvidence {
        tee: Tee::parse(evidence.tee.as_str()).context("a TEE")?,
        primary: &evidence.primary_evidence,
        additional: &evidence.additional_evidence,
    };
    let policy = AttestationPolicy::parse(policy, "policy.toml")?;
    let expected = Expected::of(REPORT_DATA);
    let mut budget = Budget::for_one_round();
    Ok(judge(
        &evidence,
        &expected,
        &policy,
        collateral,
        now_secs,
        &mut budget,
    ))
}

#[test]
fn evidence_of_sev_snp_passes_every_check() -> Result<()> {
    let (machine, vector) = Machine::snp()?;
    let policy = below(&vector.policy, "snp", "\"bound\"")?;
    let collateral = Collateral {
        amd: std::slice::from_ref(&vector.collateral),
        ..Collateral::default()
    };
    let mut collector = machine.collector()?;
    let evidence = collector.collect(&REPORT_DATA)?;
    let verdict = judged(&evidence, &policy, &collateral, vector.now_secs)??;
    ensure!(verdict.failures().next().is_none(), "{verdict:?}");
    // The challenge is in what the hardware reports as well, since the paravisor was made to renew it.
    ensure!(machine.paravisor.renewals() > 1);
    machine.paravisor.extend(9)?;
    let evidence = collector.collect(&REPORT_DATA)?;
    let verdict = judged(&evidence, &policy, &collateral, vector.now_secs)??;
    let failed: Vec<&str> = verdict.failures().map(|(name, _)| name).collect();
    ensure!(failed == ["az-snp.pcrs"], "{failed:?}");
    Ok(())
}

#[test]
fn a_report_as_it_is_is_given_at_once_as_evidence_of_version_1() -> Result<()> {
    let (machine, vector) = Machine::snp()?;
    let collateral = Collateral {
        amd: std::slice::from_ref(&vector.collateral),
        ..Collateral::default()
    };
    let began = Instant::now();
    let evidence = machine.with(UserData::AsItIs)?.collect(&REPORT_DATA)?;
    println!("collected in {:?}", began.elapsed());
    let policy = below(&vector.policy, "snp", "\"any\"")?;
    let verdict = judged(&evidence, &policy, &collateral, vector.now_secs)??;
    ensure!(verdict.failures().next().is_none(), "{verdict:?}");
    let policy = below(&vector.policy, "snp", "\"bound\"")?;
    let verdict = judged(&evidence, &policy, &collateral, vector.now_secs)??;
    let failed: Vec<&str> = verdict.failures().map(|(name, _)| name).collect();
    ensure!(failed == ["az-snp.user-data-wanted"], "{failed:?}");
    Ok(())
}

#[test]
fn evidence_of_tdx_passes_every_check() -> Result<()> {
    let spec = tdx_of_azure(tdx::Spec::good());
    let last: Arc<Mutex<Option<tdx::Made>>> = Arc::default();
    let made = Arc::clone(&last);
    let answers = tdx_metadata(move |data| {
        let mut spec = spec.clone();
        spec.quote.report_data = data;
        let quoted = spec.make().ok()?;
        let quote = quoted.evidence.quote.clone();
        *made.lock().ok()? = Some(quoted);
        Some(quote)
    });
    let machine = Machine::start(AzureHardware::Tdx, tdx_hardware(), Some(answers))?;
    let evidence = machine.collector()?.collect(&REPORT_DATA)?;
    let made = last.lock().ok().and_then(|mut made| made.take());
    let made = made.context("no quote was asked for")?;
    let collateral = Collateral {
        intel: Some(&made.collateral),
        ..Collateral::default()
    };
    let policy = below(&made.policy, "tdx", "\"bound\"")?;
    let verdict = judged(&evidence, &policy, &collateral, tdx::NOW_SECS)??;
    ensure!(verdict.failures().next().is_none(), "{verdict:?}");
    Ok(())
}

#[test]
fn a_quote_of_another_report_is_not_passed_on() -> Result<()> {
    let answers: Answers = Arc::new(|_| {
        let made = tdx::Spec::good().make().ok()?;
        let quote = Base64UrlUnpadded::encode_string(&made.evidence.quote);
        Some(serde_json::json!({ "quote": quote }).to_string())
    });
    let machine = Machine::start(AzureHardware::Tdx, tdx_hardware(), Some(answers))?;
    let refused = machine.collector()?.collect(&REPORT_DATA);
    ensure!(
        matches!(refused, Err(CollectError::OtherData { .. })),
        "{refused:?}"
    );
    Ok(())
}

#[test]
fn a_report_that_does_not_come_to_say_it_is_not_passed_on() -> Result<()> {
    let (machine, _) = Machine::snp()?;
    machine.paravisor.commit(Fault::NeverRenews);
    let began = Instant::now();
    let refused = machine.collector()?.collect(&REPORT_DATA);
    ensure!(
        matches!(refused, Err(CollectError::OtherData { .. })),
        "{refused:?}"
    );
    ensure!(began.elapsed().as_secs() < 60);
    Ok(())
}

#[test]
fn the_paravisor_is_waited_for_no_longer_than_somebody_waits() -> Result<()> {
    let (machine, _) = Machine::snp()?;
    let mut collector = machine.collector()?;
    machine.paravisor.commit(Fault::NeverRenews);
    let began = Instant::now();
    let refused = collector.collect_by(&REPORT_DATA, began + Duration::from_secs(1));
    ensure!(
        matches!(refused, Err(CollectError::OtherData { .. })),
        "{refused:?}"
    );
    // It would be eight.
    let taken = began.elapsed();
    ensure!(taken < Duration::from_secs(6), "{taken:?}");
    Ok(())
}

#[test]
fn a_vcek_is_kept_only_if_it_is_the_chips() -> Result<()> {
    let (vector, hardware) = snp_hardware();
    let own = snp_metadata(&vector)?;
    let mut other = snp::Draft::good();
    let hardware_id = "1.3.6.1.4.1.3704.1.4";
    other.chain.vek.set_extension(hardware_id, vec![0xC2; 64]);
    let other = snp_metadata(&other.build())?;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let answers: Answers = Arc::new(move |question| match count.fetch_add(1, Ordering::SeqCst) {
        0 => other(question),
        _ => own(question),
    });
    let machine = Machine::start(AzureHardware::Snp, hardware, Some(answers))?;
    // Who looks whether anybody listens asks nothing.
    let mut collector = machine.with(UserData::AsItIs)?;
    let before = asked.load(Ordering::SeqCst);
    let mut warned = Vec::new();
    for _ in 0..3 {
        warned.push(collector.collect(&REPORT_DATA)?.warnings.len());
    }
    ensure!(warned == [1, 0, 0], "{warned:?}");
    ensure!(asked.load(Ordering::SeqCst) - before == 2);
    Ok(())
}

#[test]
fn a_key_that_the_report_does_not_name_is_not_quoted_by() -> Result<()> {
    let (machine, _) = Machine::snp()?;
    let mut collector = machine.collector()?;
    machine.paravisor.commit(Fault::OtherKey);
    let refused = collector.collect(&REPORT_DATA).err().context("refused")?;
    ensure!(
        refused.to_string().contains("is not the one that"),
        "{refused}"
    );
    Ok(())
}

/// As when another test's program inherits libtss2's connection.
#[test]
fn a_connection_that_stays_open_keeps_nobody_from_the_tpm() -> Result<()> {
    let (machine, _) = Machine::snp()?;
    let tcti = machine.paravisor.tcti();
    let port = tcti.rsplit('=').next().context("a port")?.parse()?;
    let kept = Tpm::connect(port)?;
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(30));
        drop(kept);
    });
    let began = Instant::now();
    machine.with(UserData::AsItIs)?.collect(&REPORT_DATA)?;
    ensure!(began.elapsed() < Duration::from_secs(20));
    Ok(())
}

#[test]
fn what_is_configured_and_missing_is_an_error_that_says_what_there_is() -> Result<()> {
    let (vector, hardware) = snp_hardware();
    let machine = Machine::start(AzureHardware::Snp, hardware, None)?;
    let told = |opened: Result<Collector, OpenError>| match opened {
        Ok(_) => "it opens".to_owned(),
        Err(error) => error.to_string(),
    };
    let no_service = told(machine.collector());
    ensure!(no_service.contains("nitride-imds.socket"), "{no_service}");
    let socket = machine.folder.join("imds.sock");
    let other = settings(
        AzureHardware::Tdx,
        &machine.paravisor,
        UserData::Bound,
        socket,
    )?;
    let other = told(open(other));
    ensure!(other.contains("this is az-snp-vtpm"), "{other}");
    drop(vector);

    // A TPM that no paravisor is behind.
    let folder = Folder::new()?;
    let tpm = nitride_support::swtpm::Swtpm::start(&folder)?;
    let tcti = relay::start(port_of(&tpm)?, |_, _| Ok(()))?;
    let socket = folder.join("imds.sock");
    let alone = AzureSettings::new(AzureHardware::Snp, &tcti, UserData::Bound, socket)?;
    let alone = told(open(alone));
    ensure!(alone.contains("at 0x01400001: not Azure's"), "{alone}");
    Ok(())
}

#[test]
fn detection_says_which_paravisor_there_is() -> Result<()> {
    let look = |tcti: &str| {
        let paths = KernelPaths {
            tpm: tcti.to_owned(),
            ..KernelPaths::of_this_machine()
        };
        let found = nitride_evidence::detect(&paths);
        let found = found.iter().map(ToString::to_string);
        found.collect::<Vec<_>>().join("\n")
    };
    let machine = Machine::start(AzureHardware::Tdx, tdx_hardware(), None)?;
    let said = look(machine.paravisor.tcti());
    ensure!(
        said.contains(": az-tdx-vtpm: it keeps a report of Azure's paravisor"),
        "{said}"
    );
    ensure!(said.contains(": nothing: the TPM at"), "{said}");
    let said = look("device:/nowhere");
    ensure!(
        !said.contains("vtpm") && said.contains("/nowhere"),
        "{said}"
    );
    Ok(())
}
