//! Bounds on everything that arrives; each parser refuses more with an error of its own.

/// Bytes of an `auth` request.
pub const MAX_REQUEST_LEN: usize = 4096;
/// Bytes of a challenge.
pub const MAX_CHALLENGE_LEN: usize = 8192;
/// Bytes of an `attest` request: evidence, additional evidence, init-data and their escapes.
pub const MAX_ATTESTATION_LEN: usize = 1 << 20;
/// Bytes of an error body.
pub const MAX_ERROR_LEN: usize = 16_384;
/// Bytes of a nonce's text.
pub const MAX_NONCE_LEN: usize = 1024;
/// Bytes of the name of a TEE.
pub const MAX_TEE_LEN: usize = 64;
/// Bytes of a TEE public key's JSON: of both, X25519 and ML-KEM-768, it has 1,682.
pub const MAX_TEE_KEY_LEN: usize = 2048;
/// Bytes of a resource's path without scheme.
pub const MAX_PATH_LEN: usize = 512;
/// Resources that a token may be limited to, and bytes of their names together.
pub const MAX_WANTED_RESOURCES: usize = 64;
/// Likewise, with commas: other services' heads have 8 KiB in all.
pub const MAX_WANTED_LEN: usize = 4096;
/// Bytes of a token.
pub const MAX_TOKEN_LEN: usize = 131_072;
/// Bytes of the answer that carries a token.
pub const MAX_TOKEN_RESPONSE_LEN: usize = MAX_TOKEN_LEN + 1024;
/// Submodules of a token.
pub const MAX_SUBMODS: usize = 64;
/// Bytes of a JWE's JSON.
pub const MAX_JWE_LEN: usize = 131_072;
/// Bytes of a JWE's protected header, encoded: with a ciphertext of ML-KEM-768 it has some 2,100.
pub const MAX_JWE_HEADER_LEN: usize = 3072;
/// Bytes of an envelope.
pub const MAX_ENVELOPE_LEN: usize = 65_536;
/// Bytes of an envelope's key material.
pub const MAX_MATERIAL_LEN: usize = 16_384;
/// Bytes of a signer's key id.
pub const MAX_KID_LEN: usize = 64;
/// Bytes of a list of signers.
pub const MAX_SIGNER_LIST_LEN: usize = 8192;
/// Keys that a list of signers names.
pub const MAX_LISTED_KEYS: usize = 64;
/// Bytes of an owner's name in a list of signers.
pub const MAX_OWNER_LEN: usize = 255;
/// Bytes of a key type's name.
pub const MAX_KEY_TYPE_LEN: usize = 32;
/// Bytes of a tenant's name.
pub const MAX_TENANT_LEN: usize = 255;
/// Entries of each list in an envelope's policy.
pub const MAX_POLICY_ENTRIES: usize = 64;
/// Bytes of each text in an envelope's policy.
pub const MAX_POLICY_TEXT_LEN: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_s_cddl_states_these_bounds() {
        let cddl = include_str!("../cddl/envelope.cddl");
        for stated in [
            format!("At most {MAX_ENVELOPE_LEN} bytes in all."),
            format!("4 => bstr .size (1..{MAX_KID_LEN}),"),
            format!("key-type: tstr .size (1..{MAX_KEY_TYPE_LEN}),"),
            format!("version: 1..{},", u32::MAX),
            format!("material: bstr .size (1..{MAX_MATERIAL_LEN}),"),
            format!("release-to: [0*{MAX_POLICY_ENTRIES} release-to],"),
            format!("labels = [0*{MAX_POLICY_ENTRIES} label]"),
            format!("label = tstr .size (1..{MAX_POLICY_TEXT_LEN})"),
            format!("; at most {MAX_PATH_LEN} bytes"),
            format!("; at most {MAX_POLICY_TEXT_LEN} bytes"),
        ] {
            assert!(cddl.contains(&stated), "{stated}");
        }
        assert_eq!(MAX_TENANT_LEN, MAX_POLICY_TEXT_LEN, "both are a label");
    }
}
