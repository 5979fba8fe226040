//! From a pinned root to an attestation key: checks 3 to 7. The chain comes with the evidence; which
//! root it ends at is all that the policy has to know.

use super::TpmRefusal;
use crate::authenticity::{Bench, Refusal};
use crate::budget::Budget;
use crate::checks::tpm as checks;
use crate::ledger::Ledger;
use crate::verdict::Anchor;
use crate::x509::Certificate;
use der::Decode;
use der::asn1::ObjectIdentifier;
use der::oid::AssociatedOid;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

/// tcg-kp-AIKCertificate (TCG Credential Profile for TPM 2.0 Attestation Keys).
const ATTESTATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.3");
const LEAF: &str = "certificate";
const INTERMEDIATE: &str = "intermediate certificate";
const ROOT: &str = "root certificate";

/// The root's digest, and what it is to the policy.
pub(super) fn verify(
    chain: &[Vec<u8>],
    spki: &[u8],
    bench: &Bench<'_>,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Result<([u8; 32], Anchor), Refusal> {
    let last = chain.len().saturating_sub(1);
    let which = |index: usize| match index {
        0 => LEAF,
        index if index == last => ROOT,
        _ => INTERMEDIATE,
    };
    let mut parsed = Vec::new();
    for (index, der) in chain.iter().enumerate() {
        let certificate = Certificate::parse(der, budget)
            .map_err(|fault| TpmRefusal::Certificate(which(index), fault));
        parsed.push((which(index), ledger.before(checks::AK_BOUND, certificate)?));
    }
    let pinned = pinned(&parsed, bench);
    let (root, anchor) = ledger.check(checks::AK_BOUND, pinned)?;
    ledger.check(checks::AK_CHAIN, signatures(&parsed, budget))?;
    ledger.check(checks::AK_AUTHORITIES, authorities(&parsed))?;
    let late = parsed.iter().find(|(_, c)| !c.is_valid_at(bench.now_secs));
    let dates = late.map_or(Ok(()), |(which, _)| Err(TpmRefusal::Dates(which)));
    ledger.check(checks::AK_DATES, dates)?;
    let is_of_key = parsed.first().is_some_and(|(_, leaf)| {
        leaf.may_sign()
            && may_attest(leaf)
            && leaf.authority().is_none()
            && leaf.public_key().as_spki() == spki
    });
    ledger.require(checks::AK_CERTIFICATE, is_of_key, || {
        TpmRefusal::OtherCertificate.into()
    })?;
    Ok((root, anchor))
}

/// Whether its extended key usage, where it has one, is that of attestation keys: one for servers or for
/// code says nothing of where its key is. Some clouds' certificates have none.
fn may_attest(leaf: &Certificate) -> bool {
    let usage = leaf.extension(&ExtendedKeyUsage::OID);
    usage.is_none_or(|der| {
        ExtendedKeyUsage::from_der(der).is_ok_and(|usage| usage.0.contains(&ATTESTATION))
    })
}

type Named = (&'static str, Certificate);

/// Check 3. A root alone certifies nothing but itself.
fn pinned(chain: &[Named], bench: &Bench<'_>) -> Result<([u8; 32], Anchor), TpmRefusal> {
    let root = match chain {
        [_, .., (_, root)] => *root.sha256(),
        [(_, only)] => *only.sha256(),
        [] => [0; 32],
    };
    let is_chain = chain.len() > 1;
    let is_test = bench.policy.danger_test_anchors().value.contains(&root);
    let roots = bench.policy.tpm().map(|policy| &policy.roots.value);
    if is_chain && is_test {
        Ok((root, Anchor::Test))
    } else if is_chain && roots.is_some_and(|roots| roots.contains(&root)) {
        Ok((root, Anchor::Operator))
    } else {
        let told = base16ct::lower::encode_string(&root);
        Err(TpmRefusal::RootNotPinned(told))
    }
}

/// Check 4: each by the one after it, under its name; the root by itself.
fn signatures(chain: &[Named], budget: &mut Budget) -> Result<(), TpmRefusal> {
    let issuers = chain.iter().skip(1).chain(chain.last());
    for ((which, certificate), (_, issuer)) in chain.iter().zip(issuers) {
        if certificate.issuer() != issuer.subject() {
            return Err(TpmRefusal::Issuer(which));
        }
        budget.spend_signature()?;
        let algorithm = certificate.signature_algorithm();
        algorithm
            .and_then(|algorithm| certificate.verify_signed_by(issuer, algorithm, None))
            .map_err(|fault| TpmRefusal::Chain(which, fault))?;
    }
    Ok(())
}

/// Check 5: all but the first may certify, with so many authorities below; and none asks for what is
/// not understood here.
fn authorities(chain: &[Named]) -> Result<(), TpmRefusal> {
    for (below, (which, certificate)) in (0u8..).zip(chain.iter().skip(1)) {
        let is_authority = certificate
            .authority()
            .is_some_and(|path| path.allows(below));
        if !is_authority || !certificate.may_sign_certificates() {
            return Err(TpmRefusal::NotAuthority(which));
        }
    }
    let understood: [ObjectIdentifier; 2] = [BasicConstraints::OID, KeyUsage::OID];
    for (which, certificate) in chain {
        // Of the key's own, check 7 asks what it is for.
        let is_read = |oid: &ObjectIdentifier| {
            understood.contains(oid) || (*which == LEAF && *oid == ExtendedKeyUsage::OID)
        };
        if let Some(oid) = certificate.critical_extensions().find(|oid| !is_read(oid)) {
            return Err(TpmRefusal::CriticalExtension {
                which,
                oid: oid.to_string(),
            });
        }
    }
    Ok(())
}
