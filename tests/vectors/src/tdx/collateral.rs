//! TCB information and the identity of the quoting enclave, as Intel writes and signs them.

use super::pki::{FMSPC, Key, Pki};
use super::quote::QE_MR_SIGNER;
use base16ct::upper::encode_string as hex;
use serde_json::{Value, json};

/// What Intel's collateral says, and who signs it.
#[derive(Debug, Clone)]
pub struct CollateralSpec {
    /// `tcbInfo`.
    pub tcb_info: Value,
    /// `enclaveIdentity`.
    pub qe_identity: Value,
    /// Somebody else signs the TCB information.
    pub tcb_info_by_another: bool,
    /// Somebody else signs the quoting enclave's identity.
    pub qe_identity_by_another: bool,
}

impl CollateralSpec {
    /// One level that is up to date, one that is out of date, and the module of major version 1.
    #[must_use]
    pub fn good() -> Self {
        let module = json!({ "mrsigner": "00".repeat(48), "attributes": "0000000000000000", "attributesMask": "FFFFFFFFFFFFFFFF" });
        let mut identity = module.clone();
        identity["id"] = json!("TDX_01");
        identity["tcbLevels"] = json!([
            { "tcb": { "isvsvn": 4 }, "tcbDate": "2026-03-01T00:00:00Z", "tcbStatus": "UpToDate" },
        ]);
        Self {
            tcb_info: json!({
                "id": "TDX",
                "version": 3,
                "issueDate": "2026-06-01T00:00:00Z",
                "nextUpdate": "2026-07-01T00:00:00Z",
                "fmspc": hex(&FMSPC),
                "pceId": "0000",
                "tcbType": 0,
                "tcbEvaluationDataNumber": 18,
                "tdxModule": module,
                "tdxModuleIdentities": [identity],
                "tcbLevels": [level(3, 13, "UpToDate", &[])],
            }),
            qe_identity: json!({
                "id": "TD_QE",
                "version": 2,
                "issueDate": "2026-06-01T00:00:00Z",
                "nextUpdate": "2026-07-01T00:00:00Z",
                "tcbEvaluationDataNumber": 18,
                "miscselect": "00000000",
                "miscselectMask": "FFFFFFFF",
                "attributes": "11000000000000000000000000000000",
                "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
                "mrsigner": hex(&[QE_MR_SIGNER; 32]),
                "isvprodid": 2,
                "tcbLevels": [
                    { "tcb": { "isvsvn": 4 }, "tcbDate": "2026-03-01T00:00:00Z", "tcbStatus": "UpToDate" },
                ],
            }),
            tcb_info_by_another: false,
            qe_identity_by_another: false,
        }
    }

    /// The bundle.
    ///
    /// # Errors
    ///
    /// When it cannot be signed.
    pub fn make(&self, pki: &Pki) -> anyhow::Result<String> {
        let another = Key::make()?;
        let sign = |text: &str, by_another: bool| {
            let key = if by_another { &another } else { &pki.signer };
            key.sign(text.as_bytes())
        };
        let (tcb_info, qe_identity) = (self.tcb_info.to_string(), self.qe_identity.to_string());
        let tcb_info_signature = sign(&tcb_info, self.tcb_info_by_another)?;
        let qe_identity_signature = sign(&qe_identity, self.qe_identity_by_another)?;
        let bundle = json!({
            "pck_crl_issuer_chain": pki.pck_crl_chain,
            "root_ca_crl": hex(&pki.root_crl),
            "pck_crl": hex(&pki.pck_crl),
            "tcb_info_issuer_chain": pki.signer_chain,
            "tcb_info": tcb_info,
            "tcb_info_signature": hex(&tcb_info_signature),
            "qe_identity_issuer_chain": pki.signer_chain,
            "qe_identity": qe_identity,
            "qe_identity_signature": hex(&qe_identity_signature),
        });
        Ok(bundle.to_string())
    }
}

/// A TCB level: SGX components and PCE of these versions, TDX components of 0.
#[must_use]
pub fn level(sgx: u8, pce: u8, status: &str, advisories: &[&str]) -> Value {
    json!({
        "tcb": {
            "sgxtcbcomponents": vec![json!({ "svn": sgx }); 16],
            "pcesvn": pce,
            "tdxtcbcomponents": vec![json!({ "svn": 0 }); 16],
        },
        "tcbDate": "2026-03-01T00:00:00Z",
        "tcbStatus": status,
        "advisoryIDs": advisories,
    })
}
