//! The verbs that take a whole message, that make keys of keys, and that administer.

/// Defines these verbs on a client; the arguments are those of `typed_calls`.
macro_rules! typed_calls_of_keys {
    ($client:ty, $me:ident, [$($mutable:tt)?], [$($asynchronous:tt)?], [$($wait:tt)*]) => {
        use nitride_protocol::application::{Batch, BatchItem};
        use nitride_protocol::{KeyPolicy, Operation as OperationName};
        use $crate::replies_of_keys as owned;

        /// Verbs that take a whole message of the protocol, for what the shorter ones leave out.
        impl $client {
            /// Has the vault draw a new key, with the wrapping keys that may wrap it.
            pub $($asynchronous)? fn generate_with(
                & $($mutable)? $me,
                request: &application::Generate<'_>,
            ) -> Result<u32, ClientError> {
                $me.call(request, |reply| reply.version) $($wait)*
            }

            /// Gives the vault a key in any form (admin socket). The caller erases its own copy.
            pub $($asynchronous)? fn import_with(
                & $($mutable)? $me,
                request: &admin::Import<'_>,
            ) -> Result<u32, ClientError> {
                $me.call(request, |reply| reply.version) $($wait)*
            }

            /// Signs a message or a digest.
            pub $($asynchronous)? fn sign_with(
                & $($mutable)? $me,
                request: &application::Sign<'_>,
            ) -> Result<reply::Signature, ClientError> {
                $me.call(request, |reply| reply.into()) $($wait)*
            }

            /// Checks a signature over a message or a digest.
            pub $($asynchronous)? fn verify_with(
                & $($mutable)? $me,
                request: &application::Verify<'_>,
            ) -> Result<(), ClientError> {
                $me.call(request, drop) $($wait)*
            }

            /// Encrypts in any scheme.
            pub $($asynchronous)? fn encrypt_with(
                & $($mutable)? $me,
                request: &application::Encrypt<'_>,
            ) -> Result<Vec<u8>, ClientError> {
                $me.call(request, |reply| reply.ciphertext.to_vec()) $($wait)*
            }

            /// Decrypts in any scheme, or what another program made under a raw nonce.
            pub $($asynchronous)? fn decrypt_with(
                & $($mutable)? $me,
                request: &application::Decrypt<'_>,
            ) -> Result<Zeroizing<Vec<u8>>, ClientError> {
                $me.call(request, |reply| Zeroizing::new(reply.plaintext.to_vec())) $($wait)*
            }

            /// Does several operations in one packet; each answer stands where its item stood.
            /// An item that would wait for a round is refused at once.
            pub $($asynchronous)? fn batch(
                & $($mutable)? $me,
                items: Vec<BatchItem<'_>>,
            ) -> Result<Vec<owned::Answer>, ClientError> {
                $me.call(&Batch { items }, |reply| {
                    reply.items.into_iter().map(owned::Answer::from).collect()
                }) $($wait)*
            }
        }

        /// The verbs that make keys of keys. What comes of them is a key in the vault: no bytes of
        /// it leave.
        impl $client {
            /// Encrypts `key` under `wrapping_key`, for [`unwrap`](Self::unwrap) alone.
            pub $($asynchronous)? fn wrap(
                & $($mutable)? $me,
                wrapping_key: &str,
                key: &str,
                version: Option<u32>,
            ) -> Result<owned::Wrapped, ClientError> {
                let wrapping_key = KeyName::parse(wrapping_key)?;
                let key = KeyName::parse(key)?;
                let request = application::Wrap { wrapping_key, key, version };
                $me.call(&request, |reply| reply.into()) $($wait)*
            }

            /// Makes `new_key` of what [`wrap`](Self::wrap) gave and returns its version.
            pub $($asynchronous)? fn unwrap(
                & $($mutable)? $me,
                wrapping_key: &str,
                wrapped: &[u8],
                new_key: &str,
                key_type: KeyType,
            ) -> Result<u32, ClientError> {
                let wrapping_key = KeyName::parse(wrapping_key)?;
                let new_key = KeyName::parse(new_key)?;
                let request = application::Unwrap { wrapping_key, wrapped, new_key, key_type };
                $me.call(&request, |reply| reply.version) $($wait)*
            }

            /// Makes a key of another one by HKDF.
            pub $($asynchronous)? fn derive(
                & $($mutable)? $me,
                request: &application::Derive<'_>,
            ) -> Result<application::ChildMade, ClientError> {
                $me.call(request, |reply| reply) $($wait)*
            }

            /// Makes a key of a Diffie-Hellman agreement.
            pub $($asynchronous)? fn agree(
                & $($mutable)? $me,
                request: &application::Agree<'_>,
            ) -> Result<application::ChildMade, ClientError> {
                $me.call(request, |reply| reply) $($wait)*
            }

            /// Makes a key of a fresh shared secret, and the ciphertext that gives it again.
            pub $($asynchronous)? fn encapsulate(
                & $($mutable)? $me,
                request: &application::Encapsulate<'_>,
            ) -> Result<owned::Encapsulated, ClientError> {
                $me.call(request, |reply| reply.into()) $($wait)*
            }

            /// Makes a key of the shared secret in a ciphertext.
            pub $($asynchronous)? fn decapsulate(
                & $($mutable)? $me,
                request: &application::Decapsulate<'_>,
            ) -> Result<application::ChildMade, ClientError> {
                $me.call(request, |reply| reply) $($wait)*
            }
        }

        /// The verbs of attestation, audit and administration.
        impl $client {
            /// Fresh evidence over at most 64 bytes of the caller's.
            pub $($asynchronous)? fn attest(& $($mutable)? $me, data: &[u8]) -> Result<owned::Attested, ClientError> {
                let request = application::Attest { data, audit_head: false };
                $me.call(&request, |reply| reply.into()) $($wait)*
            }

            /// Fresh evidence over the newest entry of the audit, and at most 64 bytes of the caller's.
            pub $($asynchronous)? fn attest_audit_head(& $($mutable)? $me, data: &[u8]) -> Result<owned::Attested, ClientError> {
                let request = application::Attest { data, audit_head: true };
                $me.call(&request, |reply| reply.into()) $($wait)*
            }

            /// The newest entry of the audit's chain.
            pub $($asynchronous)? fn audit_head(& $($mutable)? $me) -> Result<owned::AuditHead, ClientError> {
                $me.call(&application::AuditHead, |reply| reply.into()) $($wait)*
            }

            /// Adds a version to a key and returns it (admin socket).
            pub $($asynchronous)? fn rotate(& $($mutable)? $me, key: &str) -> Result<u32, ClientError> {
                let key = KeyName::parse(key)?;
                $me.call(&admin::Rotate { key }, |reply| reply.version) $($wait)*
            }

            /// Changes a key's own policy (admin socket).
            pub $($asynchronous)? fn set_policy(
                & $($mutable)? $me,
                key: &str,
                policy: KeyPolicy<'_>,
            ) -> Result<(), ClientError> {
                let key = KeyName::parse(key)?;
                $me.call(&admin::SetPolicy { key, policy }, drop) $($wait)*
            }

            /// What is wrong with a policy file, which is not taken (admin socket).
            pub $($asynchronous)? fn check_policy(
                & $($mutable)? $me,
                name: &str,
                text: &str,
            ) -> Result<Vec<String>, ClientError> {
                let request = admin::CheckPolicy { name, text };
                $me.call(&request, |reply| owned::lines(&reply.faults)) $($wait)*
            }

            /// Whether a peer would be allowed an operation on a key, and why (admin socket).
            pub $($asynchronous)? fn explain(
                & $($mutable)? $me,
                key: &str,
                operation: OperationName,
                peer: admin::PeerClaim<'_>,
            ) -> Result<owned::Explained, ClientError> {
                let key = KeyName::parse(key)?;
                let request = admin::Explain { key, operation, peer };
                $me.call(&request, |reply| reply.into()) $($wait)*
            }

            /// Why a request was refused; empty where nothing is known of it any more (admin
            /// socket).
            pub $($asynchronous)? fn why(
                & $($mutable)? $me,
                connection: u64,
                request: u32,
            ) -> Result<Vec<String>, ClientError> {
                let request = admin::Why { connection, request };
                $me.call(&request, |reply| owned::lines(&reply.because)) $($wait)*
            }

            /// Erases every key for good (admin socket).
            pub $($asynchronous)? fn wipe(& $($mutable)? $me) -> Result<(), ClientError> {
                $me.call(&admin::Wipe, drop) $($wait)*
            }

            /// Leaves the phase of the boot that vhsmd belongs to, and returns whether the next one finds
            /// the keys; vhsmd serves nobody any more (admin socket).
            pub $($asynchronous)? fn end_phase(
                & $($mutable)? $me,
                protection: admin::Protection,
            ) -> Result<bool, ClientError> {
                $me.call(&admin::EndPhase { protection }, |reply| reply.kept) $($wait)*
            }

            /// A part of a backup to a recipient that the configuration pins (admin socket).
            pub $($asynchronous)? fn backup(
                & $($mutable)? $me,
                recipient: &str,
                cursor: Option<&[u8]>,
            ) -> Result<owned::BackupPart, ClientError> {
                let request = admin::Backup { recipient, cursor };
                $me.call(&request, |reply| reply.into()) $($wait)*
            }

            /// Gives back a part of a backup and returns how many keys came of it (admin socket).
            pub $($asynchronous)? fn restore(& $($mutable)? $me, sealed: &[u8]) -> Result<u64, ClientError> {
                $me.call(&admin::Restore { sealed }, |reply| reply.keys) $($wait)*
            }
        }
    };
}

pub(crate) use typed_calls_of_keys;
