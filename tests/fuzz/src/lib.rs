//! What each fuzz target does with its bytes.
//!
//! A decoder is right when any bytes give a value or an error, never a panic, and when what it
//! accepts has one spelling: encoded again, a message is the bytes it was read from.
#![forbid(unsafe_code)]

mod audit;
mod bulk;
mod gpu;
mod key_files;
mod luks2;
mod measure;
mod openbao;
mod policy;
mod resource_policy;
mod seal;
mod snp;
mod tdx;
mod tpm;
mod vault;
mod wire;
mod wrapped_key;

use nitride_kbs::envelope::UnverifiedEnvelope;
use nitride_kbs::jwe::{self, Jwe};
use nitride_kbs::messages;
use nitride_kbs::nonce::{self, UnverifiedNonce};
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::signer_list::UnverifiedSignerList;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_kbs::token::{self, UnverifiedToken};
use nitride_kbs::wanted;
use nitride_verify::{AttestationPolicy, Budget, Collateral, Expected, Tee, UnverifiedEvidence};

pub use audit::audit;
pub use bulk::bulk;
pub use gpu::gpu;
pub use key_files::key_files;
pub use luks2::luks2;
pub use measure::{firmware, pe};
pub use openbao::openbao;
pub use policy::policy;
pub use resource_policy::resource_policy;
pub use seal::seal;
pub use snp::{snp, x509};
pub use tdx::{event_log, tdx};
pub use tpm::tpm;
pub use wire::{agent_message, vhsm_reply, vhsm_request};
pub use wrapped_key::wrapped_key;

/// The CBOR reader, driven by the bytes after the first 0xff as a script of calls.
pub fn cbor(data: &[u8]) {
    let split = data.iter().position(|byte| *byte == 0xff);
    let (input, script) = data.split_at(split.unwrap_or(data.len()));
    let mut reader = nitride_cbor::Reader::new(input);
    for call in script.iter().skip(1) {
        let before = reader.position();
        let _ = match call % 8 {
            0 => reader.u64().map(drop),
            1 => reader.i64().map(drop),
            2 => reader.bool().map(drop),
            3 => reader.bytes().map(drop),
            4 => reader.text().map(drop),
            5 => reader.array().map(drop),
            6 => reader.optional(|reader| reader.u32("n")).map(drop),
            _ => reader.tag(18, "tag"),
        };
        assert!(before <= reader.position() && reader.position() <= input.len());
    }
    let left = input.len() - reader.position();
    assert_eq!(reader.finish().is_ok(), left == 0);
}

/// Every JSON message of the KBS protocol.
pub fn kbs_json(data: &[u8]) {
    if let Ok(request) = messages::parse_request(data) {
        let again = messages::parse_request(request.to_json().as_bytes());
        assert_eq!(again.ok(), Some(request));
    }
    if let Ok(challenge) = messages::parse_challenge(data) {
        let again = messages::parse_challenge(challenge.to_json().as_bytes());
        assert_eq!(again.ok(), Some(challenge));
    }
    if let Ok(attestation) = messages::parse_attestation(data) {
        let json = attestation.to_json();
        let again = messages::parse_attestation(json.as_bytes()).map(|again| again.to_json());
        assert_eq!(again.ok(), Some(json));
    }
    let _ = messages::parse_attestation_response(data);
    let _ = messages::parse_error_information(data);
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(key) = TeePublicKey::parse(text) {
            assert_eq!(TeePublicKey::parse(&key.to_jwk_json()).ok(), Some(key));
        }
        if let Ok(resources) = wanted::parse(text) {
            let again = wanted::write(&resources).map(|text| wanted::parse(&text));
            assert_eq!(again, Some(Ok(resources)));
        }
        if let Ok(path) = ResourcePath::parse(text) {
            assert_eq!(ResourcePath::parse(&path.to_string()).ok(), Some(path));
        }
    }
}

/// What a restart finds of a key: the public part of its record, or of a version's.
pub fn records(data: &[u8]) {
    if let Some(again) = nitride_vault::record_written_again(data) {
        assert_eq!(again, data);
    }
}

/// A JWE in flattened JSON.
pub fn jwe(data: &[u8]) {
    if let Ok(jwe) = Jwe::parse(data) {
        assert!(jwe.ciphertext().len() <= data.len());
        assert!(!jwe.aad().is_empty());
        // Whatever the header looked like, what it says is written in one way, which reads the same.
        let protected = jwe::protected_header(jwe.header());
        let key = jwe.encrypted_key();
        let written = jwe::to_json(&protected, key, jwe.iv(), jwe.ciphertext(), jwe.tag());
        let again = Jwe::parse(written.as_bytes()).ok();
        assert_eq!(again.as_ref().map(Jwe::header), Some(jwe.header()));
    }
}

/// An EAR JWT; its claims too, as if its signature were good.
pub fn jwt(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(token) = UnverifiedToken::parse(text) {
        let refused = token.verified_by(|_, _| false);
        assert!(refused.is_err(), "a refused signature gave claims");
    }
    if let Ok(token) = UnverifiedToken::parse(text) {
        let (signed, algorithm) = (token.signing_input(), token.algorithm());
        let mut signature = Vec::new();
        let read = token.verified_by(|_, found| {
            signature = found.to_vec();
            true
        });
        assert_eq!(signature.len(), algorithm.signature_len());
        assert_eq!(token::assemble(signed, &signature), text, "a signature has two spellings");
        let _ = read.map(|token| token.claims().to_json());
    }
}

/// A nonce that authenticates itself; its contents too, as if its tag were good.
pub fn challenge(data: &[u8]) {
    let Some(nonce) = std::str::from_utf8(data).ok() else {
        return;
    };
    let Ok(parsed) = UnverifiedNonce::parse(nonce) else {
        return;
    };
    let refused = parsed.clone().verified_by(|_, _| false);
    assert!(refused.is_err(), "a refused tag gave contents");
    let (key_id, mut tag) = (parsed.key_id(), [0; nonce::TAG_LEN]);
    let read = parsed.verified_by(|_, found| {
        tag = *found;
        true
    });
    let read = read.expect("its tag was accepted");
    let body = nonce::to_be_tagged(key_id, read.issued_secs(), read.random(), read.tee());
    assert_eq!(nonce::assemble(body, &tag), nonce, "a nonce has two spellings");
}

/// A signed envelope; its payload too, as if its signature were good.
pub fn envelope(data: &[u8]) {
    let Ok(envelope) = UnverifiedEnvelope::parse(data) else {
        return;
    };
    let kid = envelope.kid().to_vec();
    let signature = *envelope.signature();
    if let Ok(envelope) = envelope.verified_by(|_, _| true) {
        let again = nitride_kbs::envelope::assemble(&kid, envelope.fields(), &signature);
        assert_eq!(
            again.ok().as_deref(),
            Some(data),
            "an envelope has two spellings"
        );
    }
}

/// A signed list of signers; its payload too, as if its signature were good.
pub fn signer_list(data: &[u8]) {
    let Ok(list) = UnverifiedSignerList::parse(data) else {
        return;
    };
    let kid = list.kid().to_vec();
    let (Ok(list), Some(signature)) = (list.verified_by(|_, _| true), data.last_chunk()) else {
        return;
    };
    let again = nitride_kbs::signer_list::assemble(&kid, &list, signature);
    assert_eq!(
        again.ok().as_deref(),
        Some(data),
        "a list of signers has two spellings"
    );
}

/// Evidence as a service receives it, judged against a policy that wants svn 1.
pub fn evidence(data: &[u8]) {
    let Ok(primary) = std::str::from_utf8(data) else {
        return;
    };
    let policy = "version = 1\ndanger-accept-sample = true\ndanger-test-anchors = []\n[sample]\nsvn = [\"1\"]\n";
    let policy = AttestationPolicy::parse(policy, "policy.toml").expect("the policy is good");
    let evidence = UnverifiedEvidence {
        tee: Tee::Sample,
        primary,
        additional: "",
    };
    let expected = Expected::of([7; 48]);
    let collateral = Collateral::default();
    let mut budget = Budget::for_one_round();
    if let Ok(verdict) = nitride_verify::judge(&evidence, &expected, &policy, &collateral, 0, &mut budget) {
        assert!(verdict.is_simulated());
        assert_eq!(verdict.report_data().as_bytes(), [7; 48]);
    }
}

/// An attestation policy's TOML.
pub fn policy_toml(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = AttestationPolicy::parse(text, "policy.toml");
    }
}
