//! One quote against the collateral at hand.

use crate::blame::{self, check_of, is_about_attributes};
use crate::collateral::{IntelCollateral, PlatformCollateral};
use crate::crypto::AwsLc;
use crate::levels::{self, NotReached, Reached};
use crate::platform::PlatformFacts;
use base64ct::{Base64, Encoding};
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteClaims, QuotePolicy, TcbStatus};
use nitride_verify::checks::tdx::{
    BY_COLLATERAL, COLLATERAL, PCK_CHAIN, PCK_CRL, QE_IDENTITY_SIGNATURE, QE_LEVEL, ROOT, ROOT_CRL,
    TCB_INFO_PLATFORM, TCB_INFO_SIGNATURE, TCB_LEVEL, TCB_REVOKED,
};
use nitride_verify::evidence::tdx_quote::TdReport;
use nitride_verify::x509::{Certificate, Crl, SignatureAlgorithm};
use nitride_verify::{
    Allowance, Anchor, Budget, CheckName, Ledger, Refusal, TcbFacts, TdxCollateral, TdxEvidence,
    TdxRefusal, TdxTrust,
};
use std::time::Duration;

/// What the library verifies for one quote: two revocation lists, the signer of TCB information and
/// QE identity, both of these, PCK CA, PCK, and again the QE's report and the quote.
pub const SIGNATURES_OF_THE_LIBRARY: u32 = 9;
/// Two more where a chain does not hold and is looked for.
const SIGNATURES: u32 = SIGNATURES_OF_THE_LIBRARY + 2;
/// What it parses: two revocation lists and three chains; here, what it takes to look for a chain that
/// does not hold.
const CERTIFICATES: usize = 9 + BROKEN_CHAIN.certificates;
/// What looking for a chain that does not hold may take; it is paid for with the rest.
const BROKEN_CHAIN: Allowance = Allowance {
    bytes: 0,
    json_depth: 0,
    certificates: 6,
    signatures: 2,
    events: 0,
};
/// The end of a certificate in PEM.
const END: &str = "-----END CERTIFICATE-----";
/// Of the PCK certificate's extension: standard, scalable, and scalable with integrity.
const SGX_TYPES: std::ops::RangeInclusive<u8> = 0..=2;

impl TdxCollateral for IntelCollateral {
    fn judge(
        &self,
        evidence: &TdxEvidence<'_>,
        trust: &TdxTrust<'_>,
        now_secs: u64,
        budget: &mut Budget,
        ledger: &mut Ledger,
    ) -> Result<TcbFacts, Refusal> {
        for _ in 0..SIGNATURES {
            ledger.before(COLLATERAL, budget.spend_signature())?;
        }
        for _ in 0..CERTIFICATES {
            ledger.before(COLLATERAL, budget.spend_certificate())?;
        }
        let [_, _, root] = evidence.pck_chain;
        let said = PlatformFacts::of(evidence.pck);
        let said = said.or_else(|fault| refuse(ledger, PCK_CHAIN, fault.to_string()))?;
        let Some(platform) = self.of(&said.fmspc) else {
            let fmspc = base16ct::lower::encode_string(&said.fmspc);
            let reason = format!("Intel's collateral for the FMSPC {fmspc} is not at hand");
            return refuse(ledger, COLLATERAL, reason);
        };
        ledger.pass(COLLATERAL);
        let Some(anchor) = trust.anchor(root) else {
            return refuse(
                ledger,
                ROOT,
                "the root of the PCK certificate chain is not pinned",
            );
        };
        // The library's policy asks it too, which is not reached where it dislikes an attribute.
        if !SGX_TYPES.contains(&said.sgx_type) {
            let reason = format!("the PCK certificate is of the SGX type {}", said.sgx_type);
            return refuse(ledger, PCK_CHAIN, reason);
        }
        let claims = verify(evidence, platform, now_secs)
            .or_else(|(name, reason)| refuse(ledger, name, reason))?;
        lists_are_of_now(platform, now_secs)
            .or_else(|(name, reason)| refuse(ledger, name, reason))?;
        let reached = reach(evidence, platform, &said)
            .or_else(|(name, reason)| refuse(ledger, name, reason))?;
        if let Some(claims) = claims
            && !agree(&claims, &reached, &said, &evidence.quote.report)
        {
            return refuse(
                ledger,
                TCB_LEVEL,
                "two readings of the quote or its TCB level differ",
            );
        }
        for name in BY_COLLATERAL.iter().filter(|name| **name != COLLATERAL) {
            ledger.pass(*name);
        }
        facts(anchor, said, reached).or_else(|reason| refuse(ledger, TCB_REVOKED, reason))
    }
}

/// Takes every status but `Revoked` at any age, and every platform: the verifier's policy judges these.
/// All of it is said, so that nothing is left to the library's defaults.
fn every_status(now_secs: u64) -> QuotePolicy {
    let statuses = [
        TcbStatus::UpToDate,
        TcbStatus::SWHardeningNeeded,
        TcbStatus::ConfigurationNeeded,
        TcbStatus::ConfigurationAndSWHardeningNeeded,
        TcbStatus::OutOfDate,
        TcbStatus::OutOfDateConfigurationNeeded,
        TcbStatus::TDRelaunchAdvised,
        TcbStatus::TDRelaunchAdvisedConfigurationNeeded,
    ];
    let policy = QuotePolicy::strict(now_secs)
        .platform_grace_period(Duration::MAX)
        .qe_grace_period(Duration::MAX)
        .min_tcb_eval_data_number(0)
        .allow_dynamic_platform(true)
        .allow_cached_keys(true)
        .allow_smt(true)
        .accepted_sgx_types(&[0, 1, 2]);
    statuses.into_iter().fold(policy, QuotePolicy::allow_status)
}

/// Whether the clock is within both revocation lists' dates: the library looks at their ends alone.
fn lists_are_of_now(
    platform: &PlatformCollateral,
    now_secs: u64,
) -> Result<(), (CheckName, String)> {
    for (name, list) in [(ROOT_CRL, &platform.root_crl), (PCK_CRL, &platform.pck_crl)] {
        let list = list.as_ref().map_err(|fault| (name, fault.to_string()))?;
        if !list.is_fresh_at(now_secs) {
            let reason = format!("the revocation list's dates do not include {now_secs}");
            return Err((name, reason));
        }
    }
    Ok(())
}

/// By the library. `None` if everything holds but what it thinks of the trust domain's attributes.
fn verify(
    evidence: &TdxEvidence<'_>,
    platform: &PlatformCollateral,
    now_secs: u64,
) -> Result<Option<QuoteClaims>, (CheckName, String)> {
    let [pck, authority, root] = evidence.pck_chain;
    let mut collateral = platform.signed.clone();
    // Whoever signs is the root's own, and the root is the pinned one: its copies are not read again.
    for chain in [
        &mut collateral.tcb_info_issuer_chain,
        &mut collateral.qe_identity_issuer_chain,
    ] {
        if let Some(at) = chain.find(END) {
            chain.truncate(at + END.len());
        }
    }
    // The chain as the verifier has read it, so that no second reading of the quote's PEM differs.
    collateral.pck_certificate_chain = Some([pem(pck), pem(authority)].concat());
    let verified = QuoteVerifier::<AwsLc>::new_with_config(root.clone())
        .allow_debug(true)
        .allow_service_td(true)
        .verify_with_policy(evidence.raw, collateral, now_secs, &every_status(now_secs));
    match verified.map_err(|error| format!("{error:#}")) {
        Ok(claims) => Ok(Some(claims)),
        Err(told) if is_about_attributes(&told, &evidence.quote.report) => Ok(None),
        Err(told) => {
            let mut name = check_of(&told);
            if told.contains(blame::CHAIN) {
                name = broken_chain(platform, root, now_secs).unwrap_or(name);
            }
            Err((name, told))
        }
    }
}

/// The library does not say which chain does not hold. If it is one of the two that are Intel's own,
/// this finds it; otherwise it is the PCK's, also where this cannot tell.
fn broken_chain(platform: &PlatformCollateral, root: &[u8], now_secs: u64) -> Option<CheckName> {
    let signed = &platform.signed;
    let mut paid = Budget::new(BROKEN_CHAIN);
    [
        (&signed.tcb_info_issuer_chain, TCB_INFO_SIGNATURE),
        (&signed.qe_identity_issuer_chain, QE_IDENTITY_SIGNATURE),
    ]
    .into_iter()
    .find_map(|(chain, name)| {
        let holds = is_signer(chain, &signed.root_ca_crl, root, now_secs, &mut paid);
        (holds == Some(false)).then_some(name)
    })
}

/// Whether the first certificate of a PEM chain is the root's, valid and not revoked.
fn is_signer(
    chain: &str,
    crl: &[u8],
    root: &[u8],
    now_secs: u64,
    budget: &mut Budget,
) -> Option<bool> {
    let text = chain
        .trim_ascii()
        .strip_prefix("-----BEGIN CERTIFICATE-----")?;
    let (text, _) = text.split_once(END)?;
    let text: String = text.split_ascii_whitespace().collect();
    let signer = Certificate::parse(&Base64::decode_vec(&text).ok()?, budget).ok()?;
    let root = Certificate::parse(root, budget).ok()?;
    let crl = Crl::parse(crl, budget).ok()?;
    budget.spend_signature().ok()?;
    let signature = signer.verify_signed_by(&root, SignatureAlgorithm::EcdsaP256, None);
    Some(signature.is_ok() && signer.is_valid_at(now_secs) && !crl.revokes(&signer))
}

/// By our own matching, over what the library has found to be signed.
fn reach(
    evidence: &TdxEvidence<'_>,
    platform: &PlatformCollateral,
    said: &PlatformFacts,
) -> Result<Reached, (CheckName, String)> {
    let PlatformCollateral {
        tcb_info,
        qe_identity,
        ..
    } = platform;
    // The library compares the FMSPC alone.
    let pce_id = base16ct::mixed::decode_vec(&tcb_info.pce_id).unwrap_or_default();
    if pce_id.is_empty() || pce_id != said.pce_id {
        let reason = format!(
            "the TCB information is of the PCEID {}, the platform of {}",
            tcb_info.pce_id,
            base16ct::lower::encode_string(&said.pce_id)
        );
        return Err((TCB_INFO_PLATFORM, reason));
    }
    let report = &evidence.quote.report;
    let isv_svn = evidence.quote.qe_isv_svn();
    levels::reach(tcb_info, qe_identity, said, isv_svn, report).map_err(|fault| {
        let name = match fault {
            NotReached::Platform(_) | NotReached::ModuleNotKnown(_) | NotReached::Module { .. } => {
                TCB_LEVEL
            }
            NotReached::QuotingEnclave(_) => QE_LEVEL,
            NotReached::Revoked => TCB_REVOKED,
        };
        (name, fault.to_string())
    })
}

/// Whether library and verifier have read the same.
fn agree(claims: &QuoteClaims, reached: &Reached, said: &PlatformFacts, report: &TdReport) -> bool {
    let Some(read) = claims.report.as_td10() else {
        return false;
    };
    read.mr_td == report.mr_td
        && read.report_data == report.report_data
        && read.td_attributes == report.td_attributes.to_le_bytes()
        && [read.rt_mr0, read.rt_mr1, read.rt_mr2, read.rt_mr3] == report.rtmr
        && claims.report.as_td15().is_some() == report.v15.is_some()
        && said.agree_with(&claims.platform.pck)
        && claims.tcb.status == reached.status
        && claims.tcb.advisory_ids == reached.advisories
        && claims.tcb.eval_data_number == reached.evaluation_number
}

fn facts(anchor: Anchor, said: PlatformFacts, reached: Reached) -> Result<TcbFacts, String> {
    let revoked = || NotReached::Revoked.to_string();
    let current_status = match reached.current_status {
        Some(status) => Some(told(status).ok_or_else(revoked)?),
        None => None,
    };
    Ok(TcbFacts {
        anchor,
        status: told(reached.status).ok_or_else(revoked)?,
        advisories: reached.advisories,
        current_status,
        current_advisories: reached.current_advisories,
        evaluation_number: reached.evaluation_number,
        level_date: reached.level_date,
        fmspc: said.fmspc,
        platform_instance: said.instance,
        smt: said.smt,
        dynamic_platform: said.dynamic_platform,
        cached_keys: said.cached_keys,
    })
}

/// In the verifier's words, which has none for what is revoked.
fn told(status: TcbStatus) -> Option<nitride_verify::TcbStatus> {
    use nitride_verify::TcbStatus as Found;
    match status {
        TcbStatus::UpToDate => Some(Found::UpToDate),
        TcbStatus::SWHardeningNeeded => Some(Found::SwHardeningNeeded),
        TcbStatus::ConfigurationNeeded => Some(Found::ConfigurationNeeded),
        TcbStatus::ConfigurationAndSWHardeningNeeded => {
            Some(Found::ConfigurationAndSwHardeningNeeded)
        }
        TcbStatus::OutOfDate => Some(Found::OutOfDate),
        TcbStatus::OutOfDateConfigurationNeeded => Some(Found::OutOfDateConfigurationNeeded),
        TcbStatus::TDRelaunchAdvised => Some(Found::TdRelaunchAdvised),
        TcbStatus::TDRelaunchAdvisedConfigurationNeeded => {
            Some(Found::TdRelaunchAdvisedConfigurationNeeded)
        }
        TcbStatus::Revoked => None,
    }
}

fn refuse<T>(
    ledger: &mut Ledger,
    name: CheckName,
    reason: impl Into<String>,
) -> Result<T, Refusal> {
    ledger.check(name, Err(TdxRefusal::ByCollateral(reason.into())))
}

fn pem(der: &[u8]) -> String {
    let body = Base64::encode_string(der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}
