//! Matching of TCB levels, by the rules of Intel's "TDX enabling guide" and its quote verification
//! library: the first level, from the highest down, that the platform reaches in every component.

use crate::platform::PlatformFacts;
use dcap_qvl::{QeIdentity, TcbInfo, TcbLevel, TcbStatus};
use nitride_verify::evidence::tdx_quote::TdReport;
use thiserror::Error;

/// What the platform of a quote reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) status: TcbStatus,
    pub(crate) advisories: Vec<String>,
    /// What runs now, where it is not said by `status` already.
    pub(crate) current_status: Option<TcbStatus>,
    pub(crate) current_advisories: Vec<String>,
    pub(crate) level_date: String,
    pub(crate) evaluation_number: u32,
}

/// No level is reached.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NotReached {
    #[error("the platform reaches no TCB level: {0}")]
    Platform(String),
    #[error("the TDX module of major version {0} has no identity in the TCB information")]
    ModuleNotKnown(u8),
    #[error("the TDX module's version {minor} of major version {major} reaches no TCB level")]
    Module { major: u8, minor: u8 },
    #[error("the quoting enclave's version {0} reaches no TCB level")]
    QuotingEnclave(u16),
    #[error("the TCB level is revoked")]
    Revoked,
}

/// Matches platform, TDX module and quoting enclave.
pub(crate) fn reach(
    tcb_info: &TcbInfo,
    qe_identity: &QeIdentity,
    pck: &PlatformFacts,
    qe_isv_svn: u16,
    report: &TdReport,
) -> Result<Reached, NotReached> {
    let launch = platform(tcb_info, pck, &report.tee_tcb_svn)?;
    let mut levels = qe_identity.tcb_levels.iter();
    let qe = levels
        .find(|level| qe_isv_svn >= level.tcb.isvsvn)
        .ok_or(NotReached::QuotingEnclave(qe_isv_svn))?;
    let mut status = with_component(launch.tcb_status, qe.tcb_status);
    let mut current_advisories = Vec::new();
    let mut current_status = match &report.v15 {
        Some(v15) => {
            let level = platform(tcb_info, pck, &v15.tee_tcb_svn_2)?;
            current_advisories = level.advisory_ids;
            Some(with_component(level.tcb_status, qe.tcb_status))
        }
        None => None,
    };
    if status == TcbStatus::Revoked || current_status == Some(TcbStatus::Revoked) {
        return Err(NotReached::Revoked);
    }
    if let Some(current) = current_status {
        let at_launch = status;
        status = after_update(at_launch, current);
        // That a relaunch is advised is a word about both. Otherwise Intel's rule keeps the status of
        // the launch, and the policy judges what runs now beside it.
        if status != at_launch {
            current_status = None;
        }
    }
    let mut advisories = launch.advisory_ids;
    for advisory in &qe.advisory_ids {
        if !advisories.contains(advisory) {
            advisories.push(advisory.clone());
        }
    }
    Ok(Reached {
        status,
        advisories,
        current_status,
        current_advisories,
        level_date: launch.tcb_date,
        evaluation_number: tcb_info
            .tcb_evaluation_data_number
            .min(qe_identity.tcb_evaluation_data_number),
    })
}

/// The platform's level, with the TDX module's status, advisories and date where they are worse.
fn platform(
    tcb_info: &TcbInfo,
    pck: &PlatformFacts,
    tee_tcb_svn: &[u8; 16],
) -> Result<TcbLevel, NotReached> {
    let mut levels: Vec<&TcbLevel> = tcb_info.tcb_levels.iter().collect();
    levels.sort_by(|a, b| rank(b).cmp(&rank(a)));
    let mut reached = None;
    for level in levels {
        let short = level.shortfalls(&pck.cpu_svn, pck.pce_svn, Some(tee_tcb_svn));
        let short = short.map_err(|error| NotReached::Platform(error.to_string()))?;
        if short.is_empty() {
            reached = Some(level.clone());
            break;
        }
    }
    let none = || NotReached::Platform("a component is below every level".to_owned());
    let mut level = reached.ok_or_else(none)?;
    let [minor, major, ..] = *tee_tcb_svn;
    let Some(module) = tcb_info
        .tdx_module_identity(tee_tcb_svn)
        .map_err(|_| NotReached::ModuleNotKnown(major))?
    else {
        return Ok(level);
    };
    let mut levels = module.tcb_levels.iter();
    let module = levels
        .find(|level| level.shortfall(tee_tcb_svn).is_none())
        .ok_or(NotReached::Module { major, minor })?;
    level.tcb_status = with_component(level.tcb_status, module.tcb_status);
    for advisory in &module.advisory_ids {
        if !level.advisory_ids.contains(advisory) {
            level.advisory_ids.push(advisory.clone());
        }
    }
    // RFC 3339 in UTC with seconds, as Intel writes it, sorts as it stands.
    if module.tcb_date < level.tcb_date {
        level.tcb_date.clone_from(&module.tcb_date);
    }
    Ok(level)
}

/// Highest first: SGX components, then PCE, then TDX components.
fn rank(level: &TcbLevel) -> impl Ord {
    let svns = |components: &[dcap_qvl::TcbComponents]| {
        components
            .iter()
            .map(|component| component.svn)
            .collect::<Vec<u8>>()
    };
    let tcb = &level.tcb;
    (
        svns(&tcb.sgx_components),
        tcb.pce_svn,
        svns(&tcb.tdx_components),
    )
}

/// A component makes the platform out of date or revoked, and nothing else.
fn with_component(platform: TcbStatus, component: TcbStatus) -> TcbStatus {
    use TcbStatus::{
        ConfigurationAndSWHardeningNeeded, ConfigurationNeeded, OutOfDate,
        OutOfDateConfigurationNeeded, Revoked, SWHardeningNeeded, UpToDate,
    };
    match (component, platform) {
        (Revoked, _) => Revoked,
        (OutOfDate, UpToDate | SWHardeningNeeded) => OutOfDate,
        (OutOfDate, ConfigurationNeeded | ConfigurationAndSWHardeningNeeded) => {
            OutOfDateConfigurationNeeded
        }
        _ => platform,
    }
}

/// The module was updated under the running trust domain: what is out of date is its launch.
fn after_update(launch: TcbStatus, current: TcbStatus) -> TcbStatus {
    use TcbStatus::{
        ConfigurationAndSWHardeningNeeded, ConfigurationNeeded, OutOfDate,
        OutOfDateConfigurationNeeded, SWHardeningNeeded, TDRelaunchAdvised,
        TDRelaunchAdvisedConfigurationNeeded, UpToDate,
    };
    match (launch, current) {
        (OutOfDate, UpToDate | SWHardeningNeeded) => TDRelaunchAdvised,
        (OutOfDate, ConfigurationNeeded | ConfigurationAndSWHardeningNeeded)
        | (
            OutOfDateConfigurationNeeded,
            UpToDate | SWHardeningNeeded | ConfigurationNeeded | ConfigurationAndSWHardeningNeeded,
        ) => TDRelaunchAdvisedConfigurationNeeded,
        _ => launch,
    }
}
