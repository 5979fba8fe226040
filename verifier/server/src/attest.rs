//! From an attest request to verdicts: what the evidence must bind is computed here from the
//! request itself, and never taken from the evidence.

use crate::challenge::Challenge;
use crate::jwe::{JweSealError, checked_key};
use nitride_kbs::messages::Attestation;
use nitride_kbs::report_data::{device_report_data, report_data_with_head};
use nitride_kbs::token::RuntimeDataClaims;
use nitride_verify::{
    AttestationPolicy, Budget, BudgetExceeded, Collateral, Composite, CompositeExpected,
    DeviceNonce, Expected, InitDataDigest, InitDataFault, Refused, UnverifiedEvidence,
    judge_composite,
};
use thiserror::Error;

/// Why there are no verdicts.
#[derive(Debug, Error)]
pub(crate) enum AttestRefusal {
    #[error(transparent)]
    Key(#[from] JweSealError),
    #[error(transparent)]
    InitData(#[from] InitDataFault),
    #[error(transparent)]
    OverBudget(#[from] BudgetExceeded),
    #[error(transparent)]
    Evidence(#[from] Refused),
}

/// Judges the evidence of `attestation`, made for `challenge`.
pub(crate) fn attest(
    attestation: &Attestation,
    challenge: Challenge,
    policy: &AttestationPolicy,
    collateral: &Collateral<'_>,
    now_secs: u64,
) -> Result<(Composite, RuntimeDataClaims), AttestRefusal> {
    let runtime = &attestation.runtime_data;
    checked_key(&runtime.tee_pubkey)?;
    let additional = &attestation.tee_evidence.additional_evidence;
    let evidence = UnverifiedEvidence {
        tee: challenge.tee,
        primary: attestation.tee_evidence.primary_evidence.get(),
        additional,
    };
    let mut budget = Budget::for_one_round();
    let init_data = attestation.init_data.as_ref();
    if let Some(init_data) = init_data {
        budget.spend_bytes(init_data.body.len())?;
    }
    let (nonce, key) = (&runtime.nonce, &runtime.tee_pubkey);
    let device_data = device_report_data(nonce, key);
    let report_data = report_data_with_head(nonce, key, additional, runtime.audit_head.as_ref());
    let expected = CompositeExpected {
        primary: Expected {
            report_data: report_data.into(),
            init_data: init_data
                .map(|init_data| InitDataDigest::of(&init_data.format, &init_data.body))
                .transpose()?,
        },
        device_nonce: DeviceNonce::of(&device_data),
    };
    let composite = judge_composite(
        &evidence,
        &expected,
        policy,
        collateral,
        now_secs,
        &mut budget,
    )?;
    let runtime = RuntimeDataClaims {
        tee_pubkey: Some(runtime.tee_pubkey.clone()),
        nonce: Some(runtime.nonce.clone()),
    };
    Ok((composite, runtime))
}
