//! From a pinned root to the key that signed the report: checks 5 to 10 and 12.
//!
//! ```text
//!  ARK ──signs──▶ ASK ──signs──▶ VCEK        ARK: pinned by its bytes, one a product
//!   │└───signs──▶ ASVK ─signs──▶ VLEK        which intermediate, KEY_INFO says
//!   └────signs──▶ CRL (names revoked intermediates)
//! ```

use super::{SnpRefusal, vek};
use crate::authenticity::{Bench, Refusal};
use crate::budget::Budget;
use crate::checks::snp as checks;
use crate::collateral::{AMD_ROOTS, AmdCollateral};
use crate::evidence::{Certificates, SnpProduct, SnpReport};
use crate::ledger::Ledger;
use crate::policy::{SigningKey, SnpPolicy, Wanted};
use crate::verdict::Anchor;
use crate::x509::{Certificate, Crl, SignatureAlgorithm};

const ROOT: &str = "ARK";

/// A chain that leads from a pinned root to the VEK. It has no constructor but the check.
pub(super) struct Chain {
    pub(super) product: SnpProduct,
    pub(super) anchor: Anchor,
    pub(super) vek: Certificate,
}

/// The certificates before anything about them is known.
struct Parts<'a> {
    root: Certificate,
    intermediate: Certificate,
    vek: Certificate,
    published: Option<&'a AmdCollateral>,
}

impl Chain {
    pub(super) fn verify(
        certificates: &Certificates,
        report: &SnpReport,
        signing_key: SigningKey,
        policy: &SnpPolicy,
        bench: &Bench<'_>,
        budget: &mut Budget,
        ledger: &mut Ledger,
    ) -> Result<Self, Refusal> {
        let names = Names::of(signing_key);
        let alleged = vek_of(certificates, signing_key, budget)?;
        let product = match report.version {
            // Version 2 does not say; the certificate does, and check 13 holds it to what its
            // chain leads to.
            2 => match &alleged {
                Some(vek) => vek::product(vek),
                None => product_published(report, bench, names.vek, budget)?,
            },
            _ => product_of(report),
        };
        let [family, model, _] = report.cpuid;
        let product = product.ok_or(SnpRefusal::Product { family, model });
        let product = ledger.check(checks::PRODUCT, product)?;

        let published = bench
            .collateral
            .amd
            .iter()
            .find(|entry| entry.product == product);
        let parts = Parts {
            root: named(
                ROOT,
                published
                    .map(|p| p.ark.as_slice())
                    .or(certificates.ark.as_deref()),
                budget,
            )?,
            intermediate: named(
                names.intermediate,
                published
                    .and_then(|p| names.published(p))
                    .or(certificates.ask.as_deref()),
                budget,
            )?,
            vek: match alleged {
                Some(vek) => vek,
                None => published_vek(published, report, product, names.vek, budget)?,
            },
            published,
        };
        let anchor = anchor_of(&parts.root, product, bench, ledger)?;
        parts.signatures_above_vek(bench, budget, ledger)?;
        parts.intermediate_is(&names.common_name(product), ledger)?;
        parts.vek_signature(bench, budget, ledger)?;
        parts.dates(bench.now_secs, ledger)?;
        vek::form(&parts.vek, names.vek_common_name, ledger)?;
        parts.revocation(policy, bench, budget, ledger)?;
        Ok(Self {
            product,
            anchor,
            vek: parts.vek,
        })
    }
}

/// What the certificates of a signing key are called.
struct Names {
    vek: &'static str,
    vek_common_name: &'static str,
    intermediate: &'static str,
    signing_key: SigningKey,
}

impl Names {
    const fn of(signing_key: SigningKey) -> Self {
        let (vek, vek_common_name, intermediate) = match signing_key {
            SigningKey::Vcek => ("VCEK", "SEV-VCEK", "ASK"),
            SigningKey::Vlek => ("VLEK", "SEV-VLEK", "ASVK"),
        };
        Self {
            vek,
            vek_common_name,
            intermediate,
            signing_key,
        }
    }

    fn published<'a>(&self, published: &'a AmdCollateral) -> Option<&'a [u8]> {
        match self.signing_key {
            SigningKey::Vcek => published.ask.as_deref(),
            SigningKey::Vlek => published.asvk.as_deref(),
        }
    }

    /// AMD 57230: the ASK is `SEV-Milan`, the ASVK `SEV-VLEK-Milan`.
    fn common_name(&self, product: SnpProduct) -> String {
        match self.signing_key {
            SigningKey::Vcek => format!("SEV-{product}"),
            SigningKey::Vlek => format!("SEV-VLEK-{product}"),
        }
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

    /// Check 10.
    fn dates(&self, now_secs: u64, ledger: &mut Ledger) -> Result<(), Refusal> {
        let parts = [
            (ROOT, &self.root),
            ("intermediate", &self.intermediate),
            ("VEK", &self.vek),
        ];
        let outdated = parts.into_iter().find(|(_, c)| !c.is_valid_at(now_secs));
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

    /// Check 12. A list that is at hand is believed whether the policy wants one or not; only that
    /// there is none, and that it is old, the policy may waive.
    fn revocation(
        &self,
        policy: &SnpPolicy,
        bench: &Bench<'_>,
        budget: &mut Budget,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let wanted = &policy.crl_max_age_secs;
        let at_hand = self.published.and_then(|p| Some((p, p.crl.as_deref()?)));
        let Some((published, crl)) = at_hand else {
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
        };
        let crl = Crl::parse(crl, budget).map_err(SnpRefusal::Crl);
        let crl = ledger.check(checks::CRL_PRESENT, crl)?;
        budget.spend_signature()?;
        let signed = crl.verify_signed_by(
            &self.root,
            SignatureAlgorithm::RsaPssSha384,
            bench.collateral.memo,
        );
        ledger.check(
            checks::CRL_SIGNATURE,
            signed.map_err(SnpRefusal::CrlSignature),
        )?;
        match &wanted.value {
            Wanted::Any => ledger.waive(checks::CRL_FRESH, wanted.line),
            Wanted::Is(max_age_secs) => ledger.check(
                checks::CRL_FRESH,
                fresh(
                    &crl,
                    published.obtained_at_secs,
                    *max_age_secs,
                    bench.now_secs,
                ),
            )?,
        }
        ledger.require(
            checks::NOT_REVOKED,
            !crl.revokes(&self.intermediate),
            || SnpRefusal::Revoked("intermediate").into(),
        )
    }
}

/// Check 5 for reports that say what they are of.
fn product_of(report: &SnpReport) -> Option<SnpProduct> {
    let [family, model, _] = report.cpuid;
    SnpProduct::of_cpuid(family, model)
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

/// The VEK that came with the evidence, of the kind that KEY_INFO names.
fn vek_of(
    certificates: &Certificates,
    signing_key: SigningKey,
    budget: &mut Budget,
) -> Result<Option<Certificate>, Refusal> {
    let (name, der) = match signing_key {
        SigningKey::Vcek => ("VCEK", &certificates.vcek),
        SigningKey::Vlek => ("VLEK", &certificates.vlek),
    };
    der.as_deref()
        .map(|der| named(name, Some(der), budget))
        .transpose()
}

/// The VEK among the collateral that this report's chip and TCB need.
fn published_vek(
    published: Option<&AmdCollateral>,
    report: &SnpReport,
    product: SnpProduct,
    name: &'static str,
    budget: &mut Budget,
) -> Result<Certificate, Refusal> {
    for der in published.map_or(&[][..], |published| &published.veks) {
        let vek = named(name, Some(der), budget)?;
        if vek::is_for(&vek, report, product) {
            return Ok(vek);
        }
    }
    Err(SnpRefusal::CertificateMissing(name).into())
}

/// The product of a report of version 2 that came without its VEK.
fn product_published(
    report: &SnpReport,
    bench: &Bench<'_>,
    name: &'static str,
    budget: &mut Budget,
) -> Result<Option<SnpProduct>, Refusal> {
    for entry in bench.collateral.amd {
        for der in &entry.veks {
            let vek = named(name, Some(der), budget)?;
            if vek::is_for(&vek, report, entry.product) {
                return Ok(Some(entry.product));
            }
        }
    }
    Ok(None)
}

fn named(
    which: &'static str,
    der: Option<&[u8]>,
    budget: &mut Budget,
) -> Result<Certificate, Refusal> {
    let der = der.ok_or(SnpRefusal::CertificateMissing(which))?;
    Certificate::parse(der, budget).map_err(|fault| SnpRefusal::Certificate { which, fault }.into())
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
    let age_secs = now_secs.saturating_sub(obtained_at_secs);
    if age_secs > max_age_secs {
        let reason = format!("fetched {age_secs} s ago, at most {max_age_secs} are wanted");
        return Err(SnpRefusal::CrlNotFresh(reason));
    }
    Ok(())
}
