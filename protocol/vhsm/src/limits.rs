//! What a message may hold at most. Lengths are in bytes, counts in entries.
//!
//! Decoders check these before anything is reserved or copied.

/// A whole packet, either direction.
pub const MAX_PACKET_LEN: usize = 200_000;
/// Data inside a packet: what is signed, authenticated or encrypted.
pub const MAX_INLINE_LEN: usize = 65_536;
/// What a ciphertext is longer than its plaintext: header 24, nonce 12, tag 16.
pub const CIPHERTEXT_OVERHEAD_LEN: usize = 52;
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
/// A service's challenge.
pub const MAX_NONCE_LEN: usize = 1024;
/// An attestation result.
pub const MAX_TOKEN_LEN: usize = 131_072;
/// Each part of the evidence; the whole packet has [`MAX_PACKET_LEN`].
pub const MAX_EVIDENCE_LEN: usize = 131_072;
/// A TEE public key as JWK.
pub const MAX_TEE_KEY_LEN: usize = 1024;
/// A resource as it was served, encrypted.
pub const MAX_JWE_LEN: usize = 131_072;
/// Resources that one round fetches.
pub const MAX_RESOURCES_PER_ROUND: usize = 64;
/// A resource's path or a key's source URI.
pub const MAX_PATH_LEN: usize = 512;
/// A reason or a warning for people.
pub const MAX_REASON_LEN: usize = 512;
/// What evidence is asked over: SHA-384.
pub const REPORT_DATA_LEN: usize = 48;
/// A round's id.
pub const ROUND_ID_LEN: usize = 16;
