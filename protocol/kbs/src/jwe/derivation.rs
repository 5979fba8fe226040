//! What goes into the derivation of the key that wraps the content key, besides what is shared.

use super::HYBRID_CIPHERTEXT_LEN;
use crate::tee_key::{TeeKeyForm, X25519_ML_KEM_768_KEY_LEN};

/// The other info of the key derivation on a curve (RFC 7518, 4.6.2): algorithm, no party info, 256
/// bits.
///
/// The key encryption key is `SHA-256(00000001 || Z || other info)`, with Z the raw x-coordinate.
pub fn concat_kdf_other_info() -> Vec<u8> {
    let mut info = sized(TeeKeyForm::EcP256.algorithm().as_bytes());
    info.extend([0; 4]);
    info.extend([0; 4]);
    info.extend(256u32.to_be_bytes());
    info
}

/// The other info of the hybrid form: the parties' info is what each has sent, whole.
///
/// The key encryption key is `SHA-256(00000001 || Z || T || other info)`: Z is what ML-KEM-768 gives,
/// T what X25519 does (NIST SP 800-56C rev. 2, 2 and 4.1). `ek` and `public` bind both ciphertexts
/// and both public keys, so that nothing rests on either scheme binding its own.
pub fn hybrid_other_info(
    ek: &[u8; HYBRID_CIPHERTEXT_LEN],
    public: &[u8; X25519_ML_KEM_768_KEY_LEN],
) -> Vec<u8> {
    let mut info = sized(TeeKeyForm::X25519MlKem768.algorithm().as_bytes());
    info.extend(sized(ek));
    info.extend(sized(public));
    info.extend(256u32.to_be_bytes());
    info
}

/// The fixed info of ML-KEM-768+A192KW: algorithm and 192 bits, and no party info.
///
/// The key encryption key is `KMAC256(Z, fixed info, 192 bits, "")`, with Z the shared secret
/// (draft-ietf-jose-pqc-kem-05, 5.1, in Trustee's reading).
pub fn ml_kem_fixed_info() -> Vec<u8> {
    let mut info = sized(TeeKeyForm::MlKem768.algorithm().as_bytes());
    info.extend(192u32.to_be_bytes());
    info
}

/// With its length before it, in four bytes. Nothing here comes near 2^32 bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&len.to_be_bytes(), bytes].concat()
}
