//! What the other side does: an owner who signs envelopes, a service that encrypts them, an issuer
//! of tokens. RustCrypto throughout, so that the vault cannot agree with itself on a mistake.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_kw::KwAes256;
use nitride_kbs::envelope::{self, EnvelopeFields, EnvelopePolicy};
use nitride_kbs::jwe;
use nitride_kbs::tee_key::{
    ML_KEM_768_KEY_LEN, TeePublicKey, X25519_ML_KEM_768_KEY_LEN, p256_point,
};
use nitride_kbs::token::{
    self, AnnotatedEvidence, EAR_PROFILE, EarClaims, EarStatus, PRIMARY_SUBMOD, RuntimeDataClaims,
    Submod, TokenAlgorithm, TokenHeader,
};
use nitride_secmem::crypto::{MlDsa65, X25519, encapsulate_ml_kem_768};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{PublicKey, SecretKey};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Test keys by number.
pub(super) fn signing_key(number: u8) -> SigningKey {
    SigningKey::from_slice(&[number; 32]).unwrap()
}

/// The uncompressed point of a test key.
pub(super) fn point(number: u8) -> [u8; 65] {
    point_of(&SecretKey::from_slice(&[number; 32]).unwrap().public_key())
}

fn point_of(key: &PublicKey) -> [u8; 65] {
    key.to_sec1_point(false).as_bytes().try_into().unwrap()
}

pub(super) const OWNER: u8 = 1;
pub(super) const STRANGER: u8 = 2;
pub(super) const ISSUER: u8 = 3;
pub(super) const KID: &[u8] = b"owner";

/// What the owner signs for an `ec-p256` key at `path`; tests change what they are about.
pub(super) fn fields<'a>(path: &'a str, material: &'a [u8]) -> EnvelopeFields<'a> {
    EnvelopeFields {
        path,
        key_type: "ec-p256",
        version: 1,
        tenant: None,
        created_secs: 1_767_225_600,
        policy: EnvelopePolicy {
            operations: vec!["sign", "public-key", "verify"],
            wrappable_by: vec![],
            release_to: vec![],
            lease_secs: None,
            not_after_secs: None,
            disk: None,
        },
        material,
    }
}

/// An envelope under any kid, signed by any test key.
pub(super) fn signed_by(number: u8, kid: &[u8], fields: &EnvelopeFields<'_>) -> Vec<u8> {
    let to_be_signed = envelope::to_be_signed(kid, fields).unwrap();
    let signature: Signature = signing_key(number).sign(&to_be_signed);
    envelope::assemble(kid, fields, &signature.to_bytes().into()).unwrap()
}

/// An envelope of the owner.
pub(super) fn signed(fields: &EnvelopeFields<'_>) -> Vec<u8> {
    signed_by(OWNER, KID, fields)
}

/// Encrypts to a round's key as a service does.
pub(super) fn encrypt(tee_pubkey_jwk: &str, plaintext: &[u8]) -> Vec<u8> {
    let (header, wrapping) = match TeePublicKey::parse(tee_pubkey_jwk).unwrap() {
        TeePublicKey::EcP256 { x, y } => on_p256(&p256_point(&x, &y)),
        TeePublicKey::X25519MlKem768(public) => hybrid(&public),
        other => panic!("the vault makes no key of {:?}", other.form()),
    };
    let wrapping = wrapping.into();
    let content = [7; 32];
    let mut encrypted_key = [0; 40];
    KwAes256::new(&wrapping)
        .wrap_key(&content, &mut encrypted_key)
        .unwrap();
    let protected = jwe::protected_header(&header);
    let iv = [5; 12];
    let payload = Payload {
        msg: plaintext,
        aad: protected.as_bytes(),
    };
    let sealed = Aes256Gcm::new(&content.into())
        .encrypt(&iv.into(), payload)
        .unwrap();
    let (ciphertext, tag) = sealed.split_at(plaintext.len());
    jwe::to_json(
        &protected,
        &encrypted_key,
        &iv,
        ciphertext,
        tag.try_into().unwrap(),
    )
    .into_bytes()
}

fn on_p256(tee: &[u8; 65]) -> (jwe::Header, [u8; 32]) {
    let tee = PublicKey::from_sec1_bytes(tee).unwrap();
    let ephemeral = SecretKey::from_slice(&[9; 32]).unwrap();
    let shared = p256::ecdh::diffie_hellman(ephemeral.to_nonzero_scalar(), tee.as_affine());
    let epk = point_of(&ephemeral.public_key());
    let info = jwe::concat_kdf_other_info();
    let wrapping = derived(&[shared.raw_secret_bytes()], &info);
    (jwe::Header::EcP256 { epk }, wrapping)
}

fn hybrid(public: &[u8; X25519_ML_KEM_768_KEY_LEN]) -> (jwe::Header, [u8; 32]) {
    let (ml_kem, x25519) = public.split_at(ML_KEM_768_KEY_LEN);
    let (ciphertext, from_ml_kem) = encapsulate_ml_kem_768(ml_kem).unwrap();
    let ephemeral = X25519::generate().unwrap();
    let from_x25519 = ephemeral.agree(x25519.try_into().unwrap()).unwrap();
    let ek = [ciphertext.as_slice(), &ephemeral.public()].concat();
    let ek: Box<[u8; jwe::HYBRID_CIPHERTEXT_LEN]> = ek.into_boxed_slice().try_into().unwrap();
    let info = jwe::hybrid_other_info(&ek, public);
    let wrapping = derived(&[from_ml_kem.expose(), from_x25519.expose()], &info);
    (jwe::Header::X25519MlKem768 { ek }, wrapping)
}

fn derived(shared: &[&[u8]], info: &[u8]) -> [u8; 32] {
    let start = Sha256::new().chain_update(1u32.to_be_bytes());
    let hash = shared
        .iter()
        .fold(start, |hash, part| hash.chain_update(part));
    hash.chain_update(info).finalize().into()
}

/// The claims of a token that opens the gate of [`super::world`].
pub(super) fn claims(tee_pubkey_jwk: &str, nonce: &str) -> EarClaims {
    let evidence = AnnotatedEvidence {
        report_data: None,
        runtime_data_claims: Some(RuntimeDataClaims {
            tee_pubkey: Some(TeePublicKey::parse(tee_pubkey_jwk).unwrap()),
            nonce: Some(nonce.to_owned()),
        }),
        tee_claims: BTreeMap::from([("snp".to_owned(), "{}".parse().unwrap())]),
    };
    EarClaims {
        eat_profile: EAR_PROFILE.into(),
        iss: "https://provision.example".into(),
        aud: Some("vault".into()),
        iat: 1_767_225_600,
        exp: 1_767_225_900,
        nbf: None,
        verifier_id: None,
        submods: BTreeMap::from([(PRIMARY_SUBMOD.to_owned(), submod(Some(evidence)))]),
        simulated: Some(false),
        debug: Some(false),
        resources: None,
    }
}

/// An affirmed submodule.
pub(super) fn submod(annotated_evidence: Option<AnnotatedEvidence>) -> Submod {
    Submod {
        status: EarStatus::Affirming,
        trustworthiness_vector: None,
        appraisal_policy_id: Some("default".into()),
        annotated_evidence,
    }
}

/// A token of these claims, signed by a test key.
pub(super) fn token_by(number: u8, claims: &EarClaims) -> String {
    let signing_input = token::to_be_signed(&header(TokenAlgorithm::Es256), claims);
    let signature: Signature = signing_key(number).sign(signing_input.as_bytes());
    token::assemble(&signing_input, &signature.to_bytes())
}

/// A token of these claims, signed with ML-DSA-65 by the vault's own library: no other is at hand.
pub(super) fn ml_dsa_token(key: &MlDsa65, claims: &EarClaims) -> String {
    let signing_input = token::to_be_signed(&header(TokenAlgorithm::MlDsa65), claims);
    let signature = key.sign(signing_input.as_bytes()).unwrap();
    token::assemble(&signing_input, &signature)
}

fn header(algorithm: TokenAlgorithm) -> TokenHeader<'static> {
    TokenHeader {
        algorithm,
        kid: Some("a name that nobody pinned"),
        certificates: &[],
    }
}

/// A token of the issuer.
pub(super) fn token(claims: &EarClaims) -> String {
    token_by(ISSUER, claims)
}

/// The same claims under another header, signed by a test key.
pub(super) fn with_header(token: &str, header: &str, number: u8) -> String {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let claims = token.split('.').nth(1).unwrap();
    let header = Base64UrlUnpadded::encode_string(header.as_bytes());
    let signing_input = format!("{header}.{claims}");
    let signature: Signature = signing_key(number).sign(signing_input.as_bytes());
    token::assemble(&signing_input, &signature.to_bytes())
}
