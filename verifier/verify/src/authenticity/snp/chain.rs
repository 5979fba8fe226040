//! From a pinned root to the key that signed the report: checks 5 to 10 and 12.
//!
//! ```text
//!  ARK ──signs──▶ ASK ──signs──▶ VCEK        ARK: pinned by its bytes, one a product
//!   │└───signs──▶ ASVK ─signs──▶ VLEK        which intermediate, KEY_INFO says
//!   └────signs──▶ CRL (names revoked intermediates)
//! ```

use super::sources::{Names, ROOT, Sources};
use super::{SnpRefusal, vek};
use crate::authenticity::{Bench, Refusal};
use crate::budget::Budget;
use crate::checks::snp as checks;
use crate::collateral::{AMD_ROOTS, AmdCollateral, AmdCrl};
use crate::evidence::{Certificates, SnpProduct, SnpReport, Tee};
use crate::ledger::Ledger;
use crate::policy::{SigningKey, Wanted};
use crate::verdict::Anchor;
use crate::x509::{Certificate, Crl, SignatureAlgorithm};
use der::asn1::ObjectIdentifier;
use der::oid::AssociatedOid;
use std::sync::Arc;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

/// The critical extensions that check 8 looks at. AMD has no other.
const UNDERSTOOD: [ObjectIdentifier; 2] = [BasicConstraints::OID, KeyUsage::OID];

/// A chain that leads from a pinned root to the VEK. It has no constructor but the check.
pub(super) struct Chain {
    pub(super) product: SnpProduct,
    pub(super) anchor: Anchor,
    pub(super) vek: Arc<Certificate>,
}

/// The certificates before anything about them is known.
struct Parts<'a> {
    root: Arc<Certificate>,
    intermediate: Arc<Certificate>,
    vek: Arc<Certificate>,
    published: Option<&'a AmdCollateral>,
}

impl Chain {
    pub(super) fn verify(
        certificates: &Certificates,
        report: &SnpReport,
        signing_key: SigningKey,
        bench: &Bench<'_>,
        budget: &mut Budget,
        ledger: &mut Ledger,
    ) -> Result<Self, Refusal> {
        let names = Names::of(signing_key);
        let sources = Sources {
            certificates,
            report,
            bench,
            names: &names,
        };
        let alleged = ledger.before(checks::VEK_SIGNATURE, sources.alleged_vek(budget))?;
        let product = sources.product(alleged.as_deref());
        let [family, model, _] = report.cpuid;
        let product = product.ok_or(SnpRefusal::Product { family, model });
        let product = ledger.check(checks::PRODUCT, product)?;
        let published = sources.published(product);
        let parts = Parts {
            root: ledger.before(checks::ROOT_PINNED, sources.root(published, budget))?,
            intermediate: ledger.before(
                checks::INTERMEDIATE_SIGNATURE,
                sources.intermediate(published, budget),
            )?,
            vek: match alleged {
                Some(vek) => vek,
                None => ledger.before(
                    checks::VEK_SIGNATURE,
                    sources.published_vek(published, product, budget),
                )?,
            },
            published,
        };
        let anchor = anchor_of(&parts.root, product, bench, ledger)?;
        parts.signatures_above_vek(bench, budget, ledger)?;
        parts.intermediate_is(&names.common_name(product), ledger)?;
        parts.vek_signature(bench, budget, ledger)?;
        parts.critical_extensions(ledger)?;
        parts.dates(bench.now_secs, ledger)?;
        vek::form(&parts.vek, names.vek_common_name, ledger)?;
        parts.revocation(bench, budget, ledger)?;
        Ok(Self {
            product,
            anchor,
            vek: parts.vek,
        })
    }
}

impl Parts<'_> {
    /// Check 7. That the pinned root signs itself is implied by its bytes, and asked all the same:
    /// a test anchor is pinned by whoever wrote the policy.
    fn signatures_above_vek(
        &self,
        bench: &Bench<'_>,
        budget: &mut Budget,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        for (name, which, certificate) in [
            (checks::ROOT_SELF_SIGNED, ROOT, &self.root),
            (
                checks::INTERMEDIATE_SIGNATURE,
                "intermediate",
                &self.intermediate,
            ),
        ] {
            let signed = signed_by(certificate, &self.root, which, bench, budget);
            ledger.check(name, signed)?;
        }
        Ok(())
    }

    /// Check 8.
    fn intermediate_is(&self, wanted: &str, ledger: &mut Ledger) -> Result<(), Refusal> {
        let found = self.intermediate.common_name().unwrap_or_default();
        ledger.require(checks::INTERMEDIATE_KIND, found == wanted, || {
            let wanted = wanted.to_owned();
            SnpRefusal::IntermediateKind { found, wanted }.into()
        })?;
        let root = self.root.authority().is_some_and(|path| path.allows(1));
        let intermediate = self.intermediate.authority();
        let intermediate = intermediate.is_some_and(|path| path.allows(0));
        ledger.require(checks::INTERMEDIATE_AUTHORITY, root && intermediate, || {
            let which = if root { "intermediate" } else { ROOT };
            SnpRefusal::NotAuthority(which).into()
        })?;
        let root = self.root.may_sign_certificates();
        let both = root && self.intermediate.may_sign_certificates();
        ledger.require(checks::INTERMEDIATE_KEY_USAGE, both, || {
            SnpRefusal::KeyUsage(if root { "intermediate" } else { ROOT }).into()
        })
    }

    /// Check 9.
    fn vek_signature(
        &self,
        bench: &Bench<'_>,
        budget: &mut Budget,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let signed = signed_by(&self.vek, &self.intermediate, "VEK", bench, budget);
        ledger.check(checks::VEK_SIGNATURE, signed)
    }

    /// Check 9: what its issuer calls critical has to be understood (RFC 5280, 4.2).
    fn critical_extensions(&self, ledger: &mut Ledger) -> Result<(), Refusal> {
        let unknown = self.all().into_iter().find_map(|(which, certificate)| {
            let mut critical = certificate.critical_extensions();
            let oid = critical.find(|oid| !UNDERSTOOD.contains(oid))?;
            Some(SnpRefusal::CriticalExtension {
                which,
                oid: oid.to_string(),
            })
        });
        ledger.check(checks::CRITICAL_EXTENSIONS, unknown.map_or(Ok(()), Err))
    }

    fn all(&self) -> [(&'static str, &Certificate); 3] {
        [
            (ROOT, &self.root),
            ("intermediate", &self.intermediate),
            ("VEK", &self.vek),
        ]
    }

    /// Check 10.
    fn dates(&self, now_secs: u64, ledger: &mut Ledger) -> Result<(), Refusal> {
        let outdated = self
            .all()
            .into_iter()
            .find(|(_, c)| !c.is_valid_at(now_secs));
        let result = outdated.map_or(Ok(()), |(which, certificate)| {
            let (from_secs, to_secs) = certificate.validity_secs();
            Err(SnpRefusal::Dates {
                which,
                from_secs,
                to_secs,
                now_secs,
            })
        });
        ledger.check(checks::DATES, result)
    }

    /// Check 12. Every list that is at hand is believed whether the policy wants one or not; only that
    /// there is none, and that one is old, the policy may waive.
    fn revocation(
        &self,
        bench: &Bench<'_>,
        budget: &mut Budget,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let policy = bench.policy.snp();
        let policy = policy.ok_or(Refusal::NotInPolicy { tee: Tee::Snp })?;
        let wanted = &policy.crl_max_age_secs;
        let at_hand = self.published.map_or(&[][..], |p| p.crls.as_slice());
        if at_hand.is_empty() {
            if wanted.value.value().is_some() {
                let refusal = SnpRefusal::CrlMissing { line: wanted.line };
                return ledger.check(checks::CRL_PRESENT, Err(refusal));
            }
            for name in [
                checks::CRL_PRESENT,
                checks::CRL_SIGNATURE,
                checks::CRL_FRESH,
                checks::NOT_REVOKED,
            ] {
                ledger.waive(name, wanted.line);
            }
            return Ok(());
        }
        let memo = bench.collateral.memo;
        let mut lists = Vec::with_capacity(at_hand.len());
        for AmdCrl { der, .. } in at_hand {
            let list = match memo {
                Some(memo) => memo.crl(der, budget),
                None => Crl::parse(der, budget).map(Arc::new),
            };
            lists.push(ledger.before(checks::CRL_PRESENT, list.map_err(SnpRefusal::Crl))?);
        }
        ledger.pass(checks::CRL_PRESENT);
        for list in &lists {
            ledger.before(checks::CRL_SIGNATURE, budget.spend_signature())?;
            let signed = list.verify_signed_by(&self.root, SignatureAlgorithm::RsaPssSha384, memo);
            let signed = signed.map_err(SnpRefusal::CrlSignature);
            ledger.before(checks::CRL_SIGNATURE, signed)?;
        }
        ledger.pass(checks::CRL_SIGNATURE);
        match &wanted.value {
            Wanted::Any => ledger.waive(checks::CRL_FRESH, wanted.line),
            Wanted::Is(max_age_secs) => {
                let mut all = lists.iter().zip(at_hand);
                let all = all.try_for_each(
                    |(
                        list,
                        AmdCrl {
                            obtained_at_secs, ..
                        },
                    )| {
                        fresh(list, *obtained_at_secs, *max_age_secs, bench.now_secs)
                    },
                );
                ledger.check(checks::CRL_FRESH, all)?;
            }
        }
        let is_revoked = lists.iter().any(|list| list.revokes(&self.intermediate));
        ledger.require(checks::NOT_REVOKED, !is_revoked, || {
            SnpRefusal::Revoked("intermediate").into()
        })
    }
}

/// Check 6.
fn anchor_of(
    root: &Certificate,
    product: SnpProduct,
    bench: &Bench<'_>,
    ledger: &mut Ledger,
) -> Result<Anchor, Refusal> {
    let is_vendor = AMD_ROOTS.contains(&(product, *root.sha256()));
    let test_anchors = &bench.policy.danger_test_anchors().value;
    let anchor = match (is_vendor, test_anchors.contains(root.sha256())) {
        (true, _) => Ok(Anchor::Vendor),
        (false, true) => Ok(Anchor::Test),
        (false, false) => Err(SnpRefusal::RootNotPinned {
            product,
            sha256: base16ct::lower::encode_string(root.sha256()),
        }),
    };
    ledger.check(checks::ROOT_PINNED, anchor)
}

/// AMD signs all certificates alike: RSASSA-PSS, SHA-384, salt 48.
fn signed_by(
    certificate: &Certificate,
    issuer: &Certificate,
    which: &'static str,
    bench: &Bench<'_>,
    budget: &mut Budget,
) -> Result<(), Refusal> {
    budget.spend_signature()?;
    let memo = bench.collateral.memo;
    certificate
        .verify_signed_by(issuer, SignatureAlgorithm::RsaPssSha384, memo)
        .map_err(|fault| SnpRefusal::CertificateSignature { which, fault }.into())
}

/// Two machines' clocks differ by less.
const MAX_CLOCK_SKEW_SECS: u64 = 300;

/// Fresh by its own dates, and by when it was fetched: AMD promises the next list years ahead.
fn fresh(
    crl: &Crl,
    obtained_at_secs: u64,
    max_age_secs: u64,
    now_secs: u64,
) -> Result<(), SnpRefusal> {
    if !crl.is_fresh_at(now_secs) {
        let reason = format!("its dates do not include {now_secs}");
        return Err(SnpRefusal::CrlNotFresh(reason));
    }
    // It would stay young until that time has come.
    if obtained_at_secs > now_secs.saturating_add(MAX_CLOCK_SKEW_SECS) {
        let ahead_secs = obtained_at_secs - now_secs;
        let reason = format!("said to be fetched {ahead_secs} s in the future");
        return Err(SnpRefusal::CrlNotFresh(reason));
    }
    let age_secs = now_secs.saturating_sub(obtained_at_secs);
    if age_secs > max_age_secs {
        let reason = format!("fetched {age_secs} s ago, at most {max_age_secs} are wanted");
        return Err(SnpRefusal::CrlNotFresh(reason));
    }
    Ok(())
}
