//! What a message may hold at most. Lengths are in bytes, counts in entries.
//!
//! Decoders check these before anything is reserved or copied.

/// A whole packet, either direction.
pub const MAX_PACKET_LEN: usize = 200_000;
/// Data inside a packet: what is signed, authenticated or encrypted.
pub const MAX_INLINE_LEN: usize = 65_536;
/// What a ciphertext is longer than its plaintext at most: header 24, nonce 24, tag 16.
pub const CIPHERTEXT_OVERHEAD_LEN: usize = 64;
/// A ciphertext made of at most [`MAX_INLINE_LEN`] bytes of plaintext.
pub const MAX_CIPHERTEXT_LEN: usize = MAX_INLINE_LEN + CIPHERTEXT_OVERHEAD_LEN;
/// Additional authenticated data.
pub const MAX_AAD_LEN: usize = 4096;
/// A key's name; also the name of a gate or a service.
pub const MAX_NAME_LEN: usize = 255;
/// A word that identifies software, a feature, an algorithm or a TEE.
pub const MAX_LABEL_LEN: usize = 64;
/// A `secret` key's bytes.
pub const MAX_SECRET_LEN: usize = 16_384;
/// Random bytes in one reply.
pub const MAX_RANDOM_LEN: usize = 65_536;
/// A signature.
pub const MAX_SIGNATURE_LEN: usize = 8192;
/// A message authentication code.
pub const MAX_TAG_LEN: usize = 64;
/// A SubjectPublicKeyInfo in DER.
pub const MAX_PUBLIC_KEY_LEN: usize = 4096;
/// Keys in one listing.
pub const MAX_LIST_LEN: usize = 256;
/// Versions in one description.
pub const MAX_VERSIONS_LEN: usize = 64;
/// Features in a welcome.
pub const MAX_FEATURES_LEN: usize = 32;
/// Gates in a status.
pub const MAX_GATES_LEN: usize = 256;
/// Warnings in a status.
pub const MAX_WARNINGS_LEN: usize = 64;
/// Lists of signers in a status.
pub const MAX_SIGNER_LISTS_LEN: usize = 16;
/// A service's challenge.
pub const MAX_NONCE_LEN: usize = 1024;
/// An attestation result.
pub const MAX_TOKEN_LEN: usize = 131_072;
/// Each part of the evidence; the whole packet has [`MAX_PACKET_LEN`].
pub const MAX_EVIDENCE_LEN: usize = 131_072;
/// A TEE public key as JWK.
pub const MAX_TEE_KEY_LEN: usize = 2048;
/// Forms of TEE key that a service offers.
pub const MAX_TEE_KEY_FORMS: usize = 16;
/// A resource as it was served, encrypted.
pub const MAX_JWE_LEN: usize = 131_072;
/// A resource that the agent has read: no key's envelope is as long.
pub const MAX_PLAINTEXT_LEN: usize = 65_536;
/// Resources that one round fetches.
pub const MAX_RESOURCES_PER_ROUND: usize = 64;
/// A resource's path or a key's source URI.
pub const MAX_PATH_LEN: usize = 512;
/// A reason or a warning for people.
pub const MAX_REASON_LEN: usize = 512;
/// What evidence is asked over: SHA-384.
pub const REPORT_DATA_LEN: usize = 48;
/// What tells a platform which of its sealing keys is meant.
pub const MAX_PLATFORM_PARAMS_LEN: usize = 4096;
/// A platform's part of the sealing key.
pub const PLATFORM_SECRET_LEN: usize = 32;
/// A round's id.
pub const ROUND_ID_LEN: usize = 16;
/// A wrapped key: what travels with it, its material and the padding. The longest secret fits with
/// the longest policy that a file may state.
pub const MAX_WRAPPED_LEN: usize = 45_056;
/// HKDF's salt.
pub const MAX_SALT_LEN: usize = 64;
/// HKDF's info.
pub const MAX_INFO_LEN: usize = 1024;
/// What a key encapsulation gives; ML-KEM-768 has 1,088 bytes.
pub const MAX_ENCAPSULATED_LEN: usize = 2048;
/// What `attest` binds evidence to.
pub const MAX_ATTEST_DATA_LEN: usize = 64;
/// Wrapping keys that a key names.
pub const MAX_WRAPPABLE_BY_LEN: usize = 8;
/// Operations in one batch.
pub const MAX_BATCH_LEN: usize = 128;
/// Faults of a policy, and reasons of a decision.
pub const MAX_REASONS_LEN: usize = 32;
/// A policy file.
pub const MAX_POLICY_TEXT_LEN: usize = 131_072;
/// A part of a backup.
pub const MAX_SEALED_LEN: usize = 131_072;
/// Where a backup goes on.
pub const MAX_CURSOR_LEN: usize = 64;
/// Buffers that a connection may have registered.
pub const MAX_BUFFERS_LEN: usize = 4;
/// A raw nonce beside a ciphertext without a header.
pub const RAW_NONCE_LEN: usize = 12;
/// A digest of the audit's chain: SHA-256.
pub const AUDIT_DIGEST_LEN: usize = 32;
/// Plaintext in each chunk of the chunked format, the last one excepted.
pub const CHUNK_LEN: usize = 65_536;
/// What precedes the chunks: header 24, salt 32.
pub const CHUNKED_HEADER_LEN: usize = 56;
/// What each chunk is longer than its plaintext.
pub const CHUNK_TAG_LEN: usize = 16;

/// How long `plaintext_len` bytes become in the chunked format; `None` past 2^64. An empty
/// plaintext has one chunk, the last, with nothing in it.
pub const fn chunked_len(plaintext_len: u64) -> Option<u64> {
    let chunks = match plaintext_len.div_ceil(CHUNK_LEN as u64) {
        0 => 1,
        chunks => chunks,
    };
    let added = chunks * CHUNK_TAG_LEN as u64 + CHUNKED_HEADER_LEN as u64;
    plaintext_len.checked_add(added)
}
