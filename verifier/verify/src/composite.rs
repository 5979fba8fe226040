//! A machine and the devices beside it: a verdict for each, under the names that a token's submodules
//! have.
//!
//! ```text
//!  primary evidence ────▶ cpu0     over report data, which hash the additional evidence too
//!  additional evidence ─▶ gpu0 …   over the device nonce
//! ```
//!
//! One that is not authentic refuses the whole round. One that is not wanted has its own verdict: what
//! a token with it opens, the resource policy says, which asks every submodule.

use crate::appraisal::appraise;
use crate::authenticity::{self, Bench, Refusal, Refused};
use crate::budget::Budget;
use crate::checks::{self, Gate};
use crate::collateral::Collateral;
use crate::evidence::{
    self, Allegation, DeviceNonce, Expected, GpuAllegation, Tee, UnverifiedEvidence, gpu,
};
use crate::ledger::Ledger;
use crate::policy::AttestationPolicy;
use crate::trust_vector::TrustVector;
use crate::verdict::Verdict;
use nitride_kbs::token::PRIMARY_SUBMOD;

/// What the evidence of a machine and that of its devices must contain.
#[derive(Debug, Clone)]
pub struct CompositeExpected {
    /// The machine.
    pub primary: Expected,
    /// Each device.
    pub device_nonce: DeviceNonce,
}

/// A verdict on a machine, and one on each device beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composite {
    primary: Verdict,
    devices: Vec<Verdict>,
}

impl Composite {
    /// The machine's.
    #[must_use]
    pub fn primary(&self) -> &Verdict {
        &self.primary
    }

    /// The devices', in the order of the evidence.
    #[must_use]
    pub fn devices(&self) -> &[Verdict] {
        &self.devices
    }

    /// The machine's, and the devices'.
    #[must_use]
    pub fn into_parts(self) -> (Verdict, Vec<Verdict>) {
        (self.primary, self.devices)
    }

    /// All of them by their names in a token: `cpu0`, `gpu0`, `gpu1` …
    pub fn submods(&self) -> impl Iterator<Item = (String, &Verdict)> {
        let devices = self.devices.iter().enumerate();
        let devices = devices.map(|(index, device)| (format!("gpu{index}"), device));
        std::iter::once((PRIMARY_SUBMOD.to_owned(), &self.primary)).chain(devices)
    }

    /// Makes one submodule's verdict as bad as `vector` says, where that is worse: what a policy beside
    /// ours found. Nothing makes a verdict better.
    pub fn worsen(&mut self, submod: &str, vector: &TrustVector) {
        let index = self.submods().position(|(name, _)| name == submod);
        let verdict = match index {
            Some(0) => Some(&mut self.primary),
            Some(index) => self.devices.get_mut(index - 1),
            None => None,
        };
        if let Some(verdict) = verdict {
            verdict.vector.worsen(vector);
        }
    }

    /// Whether no hardware vouches for some of it.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.submods().any(|(_, verdict)| verdict.is_simulated())
    }

    /// Whether the host may look into some of it.
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.submods().any(|(_, verdict)| verdict.is_debug())
    }

    /// Whether each verdict is genuine, as [`Verdict::is_genuine`] says.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        self.submods().all(|(_, verdict)| verdict.is_genuine())
    }
}

/// Verifies and appraises evidence with its `additional_evidence`.
///
/// `now_secs` is the caller's wall clock in seconds since 1970, with which dates are compared.
///
/// # Errors
///
/// [`Refused`] when the evidence of the machine or of one device is not authentic, when there are
/// devices that the policy has no section for, or fewer than it wants.
pub fn judge_composite(
    evidence: &UnverifiedEvidence<'_>,
    expected: &CompositeExpected,
    policy: &AttestationPolicy,
    collateral: &Collateral<'_>,
    now_secs: u64,
    budget: &mut Budget,
) -> Result<Composite, Refused> {
    let mut ledger = Ledger::new();
    let bench = Bench {
        expected: &expected.primary,
        policy,
        collateral,
        now_secs,
        devices_before: &[],
    };
    let received = receive(evidence, policy, budget, &mut ledger);
    let (primary, devices) = received
        .and_then(|(allegation, devices)| {
            let verified = authenticity::verify(allegation, &bench, budget, &mut ledger)?;
            Ok((verified, devices))
        })
        .map_err(|cause| crate::refused(evidence.tee, cause, &mut ledger))?;
    let primary = appraise(primary, policy, now_secs, budget, ledger);
    let expected = Expected::of(expected.device_nonce);
    let bench = Bench {
        expected: &expected,
        ..bench
    };
    let devices = judge_devices(devices, &bench, budget)?;
    Ok(Composite { primary, devices })
}

/// Nothing came beside the machine: is that wanted?
pub(crate) fn without_devices(
    policy: &AttestationPolicy,
    gate: &Gate,
    ledger: &mut Ledger,
) -> Result<(), Refusal> {
    if let Some(refusal) = too_few(policy, 0) {
        return ledger.check(gate.additional_evidence, Err(refusal));
    }
    ledger.not_applicable(gate.additional_evidence);
    Ok(())
}

fn too_few(policy: &AttestationPolicy, found: usize) -> Option<Refusal> {
    let wanted = &policy.gpu()?.min_devices;
    (found < wanted.value).then_some(Refusal::DevicesMissing {
        found,
        wanted: wanted.value,
        line: wanted.line,
    })
}

fn receive(
    evidence: &UnverifiedEvidence<'_>,
    policy: &AttestationPolicy,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Result<(Allegation, Vec<GpuAllegation>), Refusal> {
    let gate = checks::gate(evidence.tee);
    ledger.check(gate.in_policy, policy.admits(evidence.tee))?;
    let allegation = ledger.check(gate.form, evidence::read(evidence, budget))?;
    if evidence.additional.is_empty() {
        without_devices(policy, &gate, ledger)?;
        return Ok((allegation, Vec::new()));
    }
    let devices = read_devices(evidence.additional, policy, budget);
    let devices = ledger.check(gate.additional_evidence, devices)?;
    Ok((allegation, devices))
}

/// The policy is asked before a byte of it is read.
fn read_devices(
    additional: &str,
    policy: &AttestationPolicy,
    budget: &mut Budget,
) -> Result<Vec<GpuAllegation>, Refusal> {
    if policy.gpu().is_none() {
        return Err(Refusal::DevicesNotInPolicy);
    }
    let devices = gpu::read(additional, budget)?;
    if let Some(refusal) = too_few(policy, devices.len()) {
        return Err(refusal);
    }
    budget.allow_devices(devices.len());
    Ok(devices)
}

fn judge_devices(
    devices: Vec<GpuAllegation>,
    bench: &Bench<'_>,
    budget: &mut Budget,
) -> Result<Vec<Verdict>, Refused> {
    let gate = checks::gate(Tee::Nvidia);
    let mut ids: Vec<String> = Vec::with_capacity(devices.len());
    let mut verdicts = Vec::with_capacity(devices.len());
    for device in devices {
        let mut ledger = Ledger::new();
        // The machine's own checks of additional evidence found both.
        ledger.pass(gate.in_policy);
        ledger.pass(gate.form);
        ledger.not_applicable(gate.additional_evidence);
        let bench = Bench {
            devices_before: &ids,
            ..*bench
        };
        let device = Allegation::Gpu(device);
        let verified = authenticity::verify(device, &bench, budget, &mut ledger)
            .map_err(|cause| crate::refused(Tee::Nvidia, cause, &mut ledger))?;
        let id = verified.device_id().map(str::to_owned);
        verdicts.push(appraise(
            verified,
            bench.policy,
            bench.now_secs,
            budget,
            ledger,
        ));
        ids.extend(id);
    }
    Ok(verdicts)
}
