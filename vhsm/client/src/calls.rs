//! The verbs of the application and the admin socket, written once for both clients.

/// Defines every verb on a client. `$me` is `self`, taken by reference, `$mutable` or not;
/// `$asynchronous` is `async` or nothing, `$wait` `.await` or nothing.
macro_rules! typed_calls {
    ($client:ty, $me:ident, [$($mutable:tt)?], [$($asynchronous:tt)?], [$($wait:tt)*]) => {
        use $crate::replies as reply;
        use nitride_protocol::{
            KeyName, KeyType, MaterialFormat, OperationSet, SignScheme, admin, application,
        };

        /// The verbs. Each fails with [`ClientError::Name`] for what is no key name, with
        /// [`ClientError::Refused`] where vhsmd says no, and otherwise as its transport does.
        impl $client {
            /// Has the vault draw a new key and returns its version.
            ///
            /// `operations`: what it may be used for; `None` is all that its type can do.
            pub $($asynchronous)? fn generate(
                & $($mutable)? $me,
                key: &str,
                key_type: KeyType,
                operations: Option<OperationSet>,
            ) -> Result<u32, ClientError> {
                let key = KeyName::parse(key)?;
                let request = application::Generate {
                    key,
                    key_type,
                    operations,
                    wrappable_by: Vec::new(),
                };
                $me.call(&request, |reply| reply.version) $($wait)*
            }

            /// Gives the vault a key's material and returns the version (admin socket).
            ///
            /// `material`: the bytes of an AES or HMAC key, a P-256 scalar of 32 bytes, an Ed25519
            /// seed of 32 bytes, or a secret's bytes. The caller erases its own copy.
            pub $($asynchronous)? fn import(
                & $($mutable)? $me,
                key: &str,
                key_type: KeyType,
                operations: Option<OperationSet>,
                material: &[u8],
            ) -> Result<u32, ClientError> {
                let key = KeyName::parse(key)?;
                let request = admin::Import {
                    key,
                    key_type,
                    operations,
                    material,
                    format: MaterialFormat::Raw,
                    wrapping_key: None,
                    wrappable_by: Vec::new(),
                };
                $me.call(&request, |reply| reply.version) $($wait)*
            }

            /// What a key is and which versions it has.
            pub $($asynchronous)? fn describe(& $($mutable)? $me, key: &str) -> Result<reply::Description, ClientError> {
                let key = KeyName::parse(key)?;
                $me.call(&application::Describe { key }, |reply| reply.into()) $($wait)*
            }

            /// A page of the keys whose names start with `prefix`, after the name `after`, at most
            /// `max` of them. [`Listing::more`](reply::Listing::more) says whether to ask on.
            pub $($asynchronous)? fn list(
                & $($mutable)? $me,
                prefix: &str,
                after: Option<&str>,
                max: u32,
            ) -> Result<reply::Listing, ClientError> {
                let after = after.map(KeyName::parse).transpose()?;
                let request = application::List { prefix, after, max };
                $me.call(&request, |reply| reply.into()) $($wait)*
            }

            /// A key's public half; `version` `None` is the newest not destroyed.
            pub $($asynchronous)? fn public_key(
                & $($mutable)? $me,
                key: &str,
                version: Option<u32>,
            ) -> Result<reply::PublicKey, ClientError> {
                let key = KeyName::parse(key)?;
                $me.call(&application::PublicKey { key, version }, |reply| reply.into()) $($wait)*
            }

            /// Signs a message (not its digest) with the newest version that is not destroyed;
            /// `scheme` `None` is the default of the key's type.
            pub $($asynchronous)? fn sign(
                & $($mutable)? $me,
                key: &str,
                scheme: Option<SignScheme>,
                message: &[u8],
            ) -> Result<reply::Signature, ClientError> {
                let key = KeyName::parse(key)?;
                let request = application::Sign { key, scheme, message, prehashed: false };
                $me.call(&request, |reply| reply.into()) $($wait)*
            }

            /// Checks a signature: `Ok` only if it is genuine, else
            /// [`Status::VerificationFailed`](nitride_protocol::Status::VerificationFailed).
            pub $($asynchronous)? fn verify(
                & $($mutable)? $me,
                key: &str,
                version: Option<u32>,
                scheme: Option<SignScheme>,
                message: &[u8],
                signature: &[u8],
            ) -> Result<(), ClientError> {
                let key = KeyName::parse(key)?;
                let request = application::Verify {
                    key,
                    version,
                    scheme,
                    message,
                    prehashed: false,
                    signature,
                };
                $me.call(&request, drop) $($wait)*
            }

            /// Encrypts under a nonce that the vault draws. `aad` is authenticated and not kept in
            /// the ciphertext.
            pub $($asynchronous)? fn encrypt(
                & $($mutable)? $me,
                key: &str,
                plaintext: &[u8],
                aad: &[u8],
            ) -> Result<Vec<u8>, ClientError> {
                let key = KeyName::parse(key)?;
                let request = application::Encrypt { key, scheme: None, plaintext, aad };
                $me.call(&request, |reply| reply.ciphertext.to_vec()) $($wait)*
            }

            /// Decrypts what [`encrypt`](Self::encrypt) made.
            pub $($asynchronous)? fn decrypt(
                & $($mutable)? $me,
                key: &str,
                ciphertext: &[u8],
                aad: &[u8],
            ) -> Result<Zeroizing<Vec<u8>>, ClientError> {
                let key = KeyName::parse(key)?;
                let request = application::Decrypt {
                    key,
                    version: None,
                    scheme: None,
                    ciphertext,
                    aad,
                    nonce: None,
                };
                $me.call(&request, |reply| Zeroizing::new(reply.plaintext.to_vec())) $($wait)*
            }

            /// Makes a message authentication code with the newest version not destroyed.
            pub $($asynchronous)? fn mac(& $($mutable)? $me, key: &str, data: &[u8]) -> Result<reply::Tag, ClientError> {
                let key = KeyName::parse(key)?;
                $me.call(&application::Mac { key, data }, |reply| reply.into()) $($wait)*
            }

            /// Checks a message authentication code: `Ok` only if it is genuine, else
            /// [`Status::VerificationFailed`](nitride_protocol::Status::VerificationFailed).
            pub $($asynchronous)? fn verify_mac(
                & $($mutable)? $me,
                key: &str,
                version: Option<u32>,
                data: &[u8],
                tag: &[u8],
            ) -> Result<(), ClientError> {
                let key = KeyName::parse(key)?;
                let request = application::VerifyMac { key, version, data, tag };
                $me.call(&request, drop) $($wait)*
            }

            /// `len` random bytes from the vault's generator, at most 65,536.
            pub $($asynchronous)? fn random(& $($mutable)? $me, len: u32) -> Result<Zeroizing<Vec<u8>>, ClientError> {
                let request = application::Random { len };
                $me.call(&request, |reply| Zeroizing::new(reply.bytes.to_vec())) $($wait)*
            }

            /// A `secret` key's bytes, where policy names the caller; `version` `None` is the newest
            /// not destroyed.
            pub $($asynchronous)? fn release(
                & $($mutable)? $me,
                key: &str,
                version: Option<u32>,
            ) -> Result<reply::Released, ClientError> {
                let key = KeyName::parse(key)?;
                $me.call(&application::Release { key, version }, |reply| reply.into()) $($wait)*
            }

            /// Makes a key (`version` `None`) or a version usable again.
            pub $($asynchronous)? fn enable(& $($mutable)? $me, key: &str, version: Option<u32>) -> Result<(), ClientError> {
                let key = KeyName::parse(key)?;
                $me.call(&application::Enable { key, version }, drop) $($wait)*
            }

            /// Makes a key (`version` `None`) or a version unusable until it is enabled.
            pub $($asynchronous)? fn disable(& $($mutable)? $me, key: &str, version: Option<u32>) -> Result<(), ClientError> {
                let key = KeyName::parse(key)?;
                $me.call(&application::Disable { key, version }, drop) $($wait)*
            }

            /// Erases the material of a key (`version` `None`) or a version for good (admin socket).
            pub $($asynchronous)? fn destroy(& $($mutable)? $me, key: &str, version: Option<u32>) -> Result<(), ClientError> {
                let key = KeyName::parse(key)?;
                $me.call(&admin::Destroy { key, version }, drop) $($wait)*
            }

            /// How the vault is.
            pub $($asynchronous)? fn status(& $($mutable)? $me) -> Result<reply::VaultStatus, ClientError> {
                let request = application::StatusRequest {
                    also_signers: $me.server().knows(application::SIGNER_LISTS_FEATURE),
                };
                $me.call(&request, |reply| reply.into()) $($wait)*
            }

            /// Has the policy read anew and returns the generation in force (admin socket).
            pub $($asynchronous)? fn reload(& $($mutable)? $me) -> Result<u64, ClientError> {
                $me.call(&admin::Reload, |reply| reply.policy_generation) $($wait)*
            }
        }
    };
}

pub(crate) use typed_calls;
