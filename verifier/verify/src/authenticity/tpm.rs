//! A TPM 2.0 alone: did a TPM that is known say it, over this challenge?
//!
//! ```text
//!  pinned name ── is the digest of ──┐
//!  pinned digest ── of ──────────────┼─▶ AK ──signs──▶ nonce and PCRs
//!  pinned root ─▶ .. ─▶ certificate ─┘
//! ```
//!
//! A name is worth the most: it holds what the TPM enforces of the key, and an enrolment has proved that
//! the key is in the TPM of a certain endorsement key (docs/decisions/0025).

mod certificates;

use super::tpm_quote::{self, NonceForm, QuoteFacts, SignedBy};
use super::{Bench, Facts, Found, Refusal};
use crate::budget::{Budget, BudgetExceeded};
use crate::checks::tpm as checks;
use crate::evidence::tpms_attest::{SignatureMalformed, TpmSignature};
use crate::evidence::{PublicMalformed, Tee, TpmAllegation, TpmPublic, tpm_name};
use crate::ledger::Ledger;
use crate::policy::TpmPolicy;
use crate::verdict::Anchor;
use crate::x509::{CertificateFault, PublicKey, SignatureAlgorithm, SignatureFault};
use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;

/// What authentic evidence of a TPM alone says.
#[derive(Debug)]
pub(crate) struct TpmFacts {
    /// The TPM's name of its attestation key, where its public area came.
    pub(crate) key_name: Option<[u8; 34]>,
    /// The SHA-256 of that key.
    pub(crate) key_sha256: [u8; 32],
    /// What binds the key.
    pub(crate) bound_by: BoundBy,
    /// What is signed by it.
    pub(crate) quote: QuoteFacts,
    /// Whether init-data came, and PCR 8 is extended by them alone.
    pub(crate) binds_init_data: bool,
    /// The firmware's event log, alleged until it replays.
    pub(crate) event_log: Option<Vec<u8>>,
}

/// What binds an attestation key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BoundBy {
    /// Its name is pinned.
    Name,
    /// The key itself is pinned.
    Key,
    /// It is certified under a pinned root, whose SHA-256 this is.
    Certificate { root: [u8; 32] },
}

/// Why a TPM's attestation key is none that is known.
#[derive(Debug, Error)]
pub enum TpmRefusal {
    /// It cannot be read.
    #[error("the attestation key's public area is not of its form")]
    Area(#[from] PublicMalformed),
    /// The public area is another key's.
    #[error("the attestation key is not the one of its public area")]
    OtherKey,
    /// It may sign what is not the TPM's, or leave it.
    #[error("the key is no attestation key: {0}")]
    Attributes(&'static str),
    /// It is not pinned, and no certificates came.
    #[error("the attestation key {0} is not pinned, and came without certificates")]
    NotPinned(String),
    /// Nobody says what its TPM enforces.
    #[error("a certified attestation key came without its public area")]
    AreaMissing,
    /// The root is none that is pinned.
    #[error("the attestation key's certificates end at a root that is not pinned: {0}")]
    RootNotPinned(String),
    /// A certificate cannot be read.
    #[error("the {0} of the attestation key cannot be read")]
    Certificate(&'static str, #[source] CertificateFault),
    /// A certificate is signed by another key.
    #[error("the {0} of the attestation key is not signed by the one after it")]
    Chain(&'static str, #[source] SignatureFault),
    /// A certificate names another issuer.
    #[error("the {0} of the attestation key names another issuer than the one after it")]
    Issuer(&'static str),
    /// It may not certify.
    #[error("the {0} of the attestation key is no authority for what is below it")]
    NotAuthority(&'static str),
    /// Out of its time.
    #[error("the {0} of the attestation key is out of its dates")]
    Dates(&'static str),
    /// It certifies something else.
    #[error("the certificate is for another use than a TPM's signing, or for another key")]
    OtherCertificate,
    /// An extension that has to be understood is not.
    #[error("the {which} of the attestation key has the critical extension {oid}")]
    CriticalExtension {
        /// Which certificate.
        which: &'static str,
        /// The extension.
        oid: String,
    },
    /// The signature is of no scheme that is known.
    #[error("the quote's signature is not of its form")]
    Signature(#[from] SignatureMalformed),
    /// The budget is spent.
    #[error(transparent)]
    OverBudget(#[from] BudgetExceeded),
}

/// The alleged key, in every form in which it came.
struct AttestationKey<'a> {
    spki: &'a [u8],
    sha256: [u8; 32],
    name: Option<[u8; 34]>,
}

/// Makes the checks in order.
pub(super) fn verify(
    evidence: TpmAllegation,
    bench: &Bench<'_>,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Result<Found, Refusal> {
    let Some(policy) = bench.policy.tpm() else {
        return Err(Refusal::NotInPolicy { tee: Tee::Tpm });
    };
    let key = AttestationKey::read(&evidence, ledger)?;
    let (bound_by, anchor) = key.bound(&evidence, policy, bench, budget, ledger)?;
    let signature = TpmSignature::parse(&evidence.quote.signature).map_err(TpmRefusal::from);
    let signature = ledger.before(checks::QUOTE.signature, signature)?;
    let (algorithm, signature): (SignatureAlgorithm, &[u8]) = match &signature {
        TpmSignature::Rsassa(bytes) => (SignatureAlgorithm::RsaPkcs1Sha256, *bytes),
        TpmSignature::Ecdsa(fixed) => (SignatureAlgorithm::EcdsaP256Fixed, fixed.as_slice()),
    };
    let by = SignedBy {
        key: PublicKey::of_spki(key.spki),
        algorithm,
        signature,
        // One attester pads it, as a report of SEV-SNP has it.
        nonce: NonceForm::BareOrPadded,
    };
    let names = &checks::QUOTE;
    let quote = tpm_quote::verify(&evidence.quote, &by, names, bench, budget, ledger)?;
    let binds_init_data = match &bench.expected.init_data {
        None => {
            ledger.not_applicable(checks::INIT_DATA);
            false
        }
        Some(init_data) => {
            ledger.require(checks::INIT_DATA, quote.binds(init_data), || {
                Refusal::InitDataUnbound { tee: Tee::Tpm }
            })?;
            true
        }
    };
    let (key_name, key_sha256) = (key.name, key.sha256);
    Ok(Found {
        anchor,
        facts: Facts::Tpm(Box::new(TpmFacts {
            key_name,
            key_sha256,
            bound_by,
            quote,
            binds_init_data,
            event_log: evidence.event_log,
        })),
    })
}

impl<'a> AttestationKey<'a> {
    /// Checks 1 and 2.
    fn read(evidence: &'a TpmAllegation, ledger: &mut Ledger) -> Result<Self, Refusal> {
        let mut key = Self {
            spki: &evidence.key,
            sha256: [0; 32],
            name: None,
        };
        key.sha256
            .copy_from_slice(digest(&SHA256, key.spki).as_ref());
        let Some(area) = &evidence.public_area else {
            ledger.not_applicable(checks::AK_AREA);
            ledger.not_applicable(checks::AK_ATTRIBUTES);
            return Ok(key);
        };
        let public = TpmPublic::parse(area).map_err(TpmRefusal::from);
        let public = ledger.before(checks::AK_AREA, public)?;
        ledger.require(checks::AK_AREA, public.spki() == key.spki, || {
            TpmRefusal::OtherKey.into()
        })?;
        let is_one = public.signs_for_its_tpm_alone();
        ledger.check(
            checks::AK_ATTRIBUTES,
            is_one.map_err(TpmRefusal::Attributes),
        )?;
        key.name = Some(tpm_name(area));
        Ok(key)
    }

    /// Checks 3 to 8.
    fn bound(
        &self,
        evidence: &TpmAllegation,
        policy: &TpmPolicy,
        bench: &Bench<'_>,
        budget: &mut Budget,
        ledger: &mut Ledger,
    ) -> Result<(BoundBy, Anchor), Refusal> {
        let pins = &policy.keys.value;
        let named = self.name.is_some_and(|name| pins.names.contains(&name));
        if named || pins.keys.contains(&self.sha256) {
            ledger.pass(checks::AK_BOUND);
            for name in [
                checks::AK_CHAIN,
                checks::AK_AUTHORITIES,
                checks::AK_DATES,
                checks::AK_CERTIFICATE,
                checks::AK_REVOCATION,
            ] {
                ledger.not_applicable(name);
            }
            let bound_by = if named { BoundBy::Name } else { BoundBy::Key };
            return Ok((bound_by, Anchor::Operator));
        }
        if evidence.certificates.is_empty() {
            let told = self.told();
            return ledger.check(checks::AK_BOUND, Err(TpmRefusal::NotPinned(told)));
        }
        // What its TPM enforces is the guest's word all the same: nothing that is pinned signs the area.
        // It has to be said, so that a key which may sign anything is not taken by oversight.
        ledger.before(checks::AK_BOUND, self.name.ok_or(TpmRefusal::AreaMissing))?;
        let (root, anchor) =
            certificates::verify(&evidence.certificates, self.spki, bench, budget, ledger)?;
        // It has no other value.
        ledger.waive(checks::AK_REVOCATION, policy.revocation.line);
        Ok((BoundBy::Certificate { root }, anchor))
    }

    /// What an operator would pin.
    fn told(&self) -> String {
        match &self.name {
            Some(name) => base16ct::lower::encode_string(name),
            None => base16ct::lower::encode_string(&self.sha256),
        }
    }
}
