use super::{Call, Reply, with_key};
use crate::access::{Access, Grant, Wanted};
use crate::ciphertext::{Algorithm, HEADER_LEN, TAG_LEN, UnverifiedCiphertext};
use crate::keys::{Expanded, Live};
use crate::refusal::Stop;
use crate::{Draw, Outcome, Refusal, Session, Vault};
use nitride_protocol::application::{Ciphertext, Decrypt, Encrypt};
use nitride_protocol::{EncryptionScheme, KeyType, Operation, Origin};
use nitride_secmem::crypto::{AeadKey, CryptoError, HashAlgorithm, Rsa, Xaes256Gcm};

/// How a key seals, which depends on who else may hold it.
#[derive(Debug, Clone, Copy)]
enum Sealing<'l> {
    /// By this vault alone: a counter.
    Counted(&'l AeadKey, Algorithm),
    /// A drawn nonce, whose repetition tells only that messages are equal.
    Drawn(&'l AeadKey, Algorithm),
    /// A drawn nonce of 24 bytes and a key for each message.
    Extended(&'l Xaes256Gcm),
}

pub(super) fn encrypt(
    vault: &Vault,
    session: &mut Session,
    asked: &Encrypt<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let on = (Operation::Encrypt, asked.key);
    with_key(
        vault,
        session,
        on,
        Wanted::Newest,
        call,
        |access, reply, draw| {
            let live = access.live()?;
            match (live.expanded(), asked.scheme) {
                (Expanded::Rsa(key), scheme) => encrypt_oaep(key, scheme, asked, reply),
                (_, None) => seal(access, &live, asked, reply, draw),
                (_, Some(_)) => Err(Refusal::WrongScheme),
            }
        },
    )
}

pub(super) fn decrypt(
    vault: &Vault,
    session: &mut Session,
    asked: &Decrypt<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Call {
        form,
        now,
        draw,
        reply,
    } = call;
    let grant = Grant::new(session, vault, Operation::Decrypt, asked.key)?;
    let key = grant.ensure_key(vault, now, draw)?;
    let reply = Reply {
        form,
        buffer: reply,
    };
    let has_header = asked.nonce.is_none() && !is_rsa(key.read()?.key_type);
    let len = if has_header {
        let sealed = UnverifiedCiphertext::parse(asked.ciphertext)?;
        let wanted = Wanted::Maker {
            id: sealed.head.key_id,
            version: sealed.head.version,
        };
        grant.use_key(vault, &key, wanted, now, |access| {
            open(access, asked, &sealed, reply)
        })?
    } else {
        let wanted = asked.version.into();
        grant.use_key(vault, &key, wanted, now, |access| {
            let live = access.live()?;
            match (live.expanded(), asked.nonce) {
                (Expanded::Rsa(key), None) => decrypt_oaep(key, asked, reply),
                (_, Some(nonce)) if asked.scheme.is_none() => {
                    open_raw(access, &live, nonce, asked, reply)
                }
                _ => Err(Refusal::WrongScheme),
            }
        })?
    };
    Ok(Outcome::Reply(len))
}

/// Seals under the header that says with which key, which version and how.
fn seal(
    access: &Access<'_>,
    live: &Live,
    asked: &Encrypt<'_>,
    reply: Reply<'_>,
    draw: &mut dyn Draw,
) -> Result<usize, Refusal> {
    let sealing = sealing_of(access, live)?;
    let algorithm = sealing.algorithm();
    // Taken before anything can fail: a nonce is used once or not at all.
    let nonces = access.version().nonces();
    let mut drawn = [0; 24];
    let counted = match sealing {
        Sealing::Counted(..) => nonces.count()?,
        Sealing::Drawn(..) => nonces.draw(draw)?,
        Sealing::Extended(_) => {
            drawn = nonces.draw(draw)?;
            [0; 12]
        }
    };
    let nonce: &[u8] = match sealing {
        Sealing::Extended(_) => &drawn,
        _ => &counted,
    };
    let header = algorithm.header(&access.body().id, access.version().number);
    let (plaintext, aad) = (asked.plaintext, [&header[..], asked.aad]);
    reply.write_in_place(
        |writer| writer.array(1),
        plaintext.len() + algorithm.overhead_len(),
        |out| {
            let (header_out, out) = out.split_at_mut_checked(HEADER_LEN).ok_or(SHORT)?;
            let (nonce_out, out) = out.split_at_mut_checked(nonce.len()).ok_or(SHORT)?;
            header_out.copy_from_slice(&header);
            nonce_out.copy_from_slice(nonce);
            match sealing {
                Sealing::Counted(key, _) | Sealing::Drawn(key, _) => {
                    key.seal(&counted, &aad, plaintext, out)?
                }
                Sealing::Extended(key) => key.seal(&drawn, &aad, plaintext, out)?,
            };
            Ok(())
        },
    )
}

/// Opens what says that this key made it.
fn open(
    access: &Access<'_>,
    asked: &Decrypt<'_>,
    sealed: &UnverifiedCiphertext<'_>,
    reply: Reply<'_>,
) -> Result<usize, Refusal> {
    if asked.scheme.is_some() {
        return Err(Refusal::WrongScheme);
    }
    let number = access.version().number;
    if asked.version.is_some_and(|version| version != number) || sealed.head.is_chunked {
        return Err(Refusal::VerificationFailed);
    }
    let live = access.live()?;
    let (head, body) = (&sealed.head.bytes[..], sealed.ciphertext_and_tag);
    let aad = [head, asked.aad];
    reply.write_in_place(
        |writer| writer.array(1),
        body.len().saturating_sub(TAG_LEN),
        |out| {
            match (live.expanded(), sealed.head.algorithm) {
                (Expanded::Gcm256(keys), Some(Algorithm::Xaes256Gcm)) => {
                    keys.extended.open(nonce_of(sealed)?, &aad, body, out)?
                }
                (Expanded::Gcm256(keys), Some(Algorithm::Aes256Gcm)) => {
                    keys.plain.open(nonce_of(sealed)?, &aad, body, out)?
                }
                (Expanded::Aead(key), algorithm) if algorithm == plain_algorithm(access) => {
                    key.open(nonce_of(sealed)?, &aad, body, out)?
                }
                (Expanded::Gcm256(_) | Expanded::Aead(_), _) => {
                    return Err(Refusal::VerificationFailed);
                }
                _ => return Err(access.wrong_type(Operation::Decrypt)),
            };
            Ok(())
        },
    )
}

/// Opens what another program sealed under a key that it has, too. Keys that this vault generated
/// are in nobody else's hands: what comes without a header is not of them.
fn open_raw(
    access: &Access<'_>,
    live: &Live,
    nonce: &[u8; 12],
    asked: &Decrypt<'_>,
    reply: Reply<'_>,
) -> Result<usize, Refusal> {
    let key = match live.expanded() {
        Expanded::Aead(key) => key,
        Expanded::Gcm256(keys) => &keys.plain,
        _ => return Err(access.wrong_type(Operation::Decrypt)),
    };
    if !matches!(access.body().origin, Origin::Imported | Origin::Provisioned) {
        return Err(Refusal::RawUnderOwnKey);
    }
    let len = asked.ciphertext.len().checked_sub(TAG_LEN);
    reply.write_in_place(
        |writer| writer.array(1),
        len.ok_or(Refusal::NotACiphertext)?,
        |out| {
            key.open(nonce, &[asked.aad], asked.ciphertext, out)?;
            Ok(())
        },
    )
}

fn encrypt_oaep(
    key: &Rsa,
    scheme: Option<EncryptionScheme>,
    asked: &Encrypt<'_>,
    reply: Reply<'_>,
) -> Result<usize, Refusal> {
    let hash = oaep_hash(scheme)?;
    let sealed = key.encrypt_oaep(hash, asked.aad, asked.plaintext);
    reply.write(&Ciphertext {
        ciphertext: &sealed.map_err(too_long)?,
    })
}

fn decrypt_oaep(key: &Rsa, asked: &Decrypt<'_>, reply: Reply<'_>) -> Result<usize, Refusal> {
    let hash = oaep_hash(asked.scheme)?;
    let opened = key.decrypt_oaep(hash, asked.aad, asked.ciphertext);
    let opened = opened.map_err(too_long)?;
    reply.write_in_place(
        |writer| writer.array(1),
        opened.len(),
        |out| {
            out.copy_from_slice(opened.expose());
            Ok(())
        },
    )
}

/// The lengths of the plaintext and the label are the caller's.
fn too_long(error: CryptoError) -> Refusal {
    match error {
        CryptoError::BadLength => Refusal::TooLarge,
        error => error.into(),
    }
}

fn oaep_hash(scheme: Option<EncryptionScheme>) -> Result<HashAlgorithm, Refusal> {
    Ok(match scheme {
        None | Some(EncryptionScheme::RsaOaepSha256) => HashAlgorithm::Sha256,
        Some(EncryptionScheme::RsaOaepSha384) => HashAlgorithm::Sha384,
        Some(EncryptionScheme::RsaOaepSha512) => HashAlgorithm::Sha512,
        Some(_) => return Err(Refusal::WrongScheme),
    })
}

/// The reply was cut to the length that these parts have.
const SHORT: Refusal = Refusal::Internal {
    what: "the reply is shorter than the ciphertext",
};

/// A nonce of the length that the cipher has; the header said which cipher that is.
fn nonce_of<'c, const N: usize>(sealed: &UnverifiedCiphertext<'c>) -> Result<&'c [u8; N], Refusal> {
    sealed
        .nonce
        .try_into()
        .map_err(|_| Refusal::VerificationFailed)
}

impl Sealing<'_> {
    fn algorithm(self) -> Algorithm {
        match self {
            Self::Counted(_, algorithm) | Self::Drawn(_, algorithm) => algorithm,
            Self::Extended(_) => Algorithm::Xaes256Gcm,
        }
    }
}

/// Where a repeated nonce gives the key away, only a key that no other machine has counts.
fn sealing_of<'l>(access: &Access<'_>, live: &'l Live) -> Result<Sealing<'l>, Refusal> {
    let key_type = access.body().key_type;
    let is_ours = access.body().origin == Origin::Generated && !access.version().was_unsealed;
    match (live.expanded(), plain_algorithm(access)) {
        (Expanded::Gcm256(keys), _) if is_ours => {
            Ok(Sealing::Counted(&keys.plain, Algorithm::Aes256Gcm))
        }
        (Expanded::Gcm256(keys), _) => Ok(Sealing::Extended(&keys.extended)),
        (Expanded::Aead(key), Some(algorithm @ Algorithm::Aes256GcmSiv)) => {
            Ok(Sealing::Drawn(key, algorithm))
        }
        (Expanded::Aead(key), Some(algorithm)) if is_ours => Ok(Sealing::Counted(key, algorithm)),
        (Expanded::Aead(_), Some(_)) => Err(Refusal::SharedKey { key_type }),
        _ => Err(access.wrong_type(Operation::Encrypt)),
    }
}

/// The cipher of the types that have but one.
fn plain_algorithm(access: &Access<'_>) -> Option<Algorithm> {
    match access.body().key_type {
        KeyType::Aes128Gcm => Some(Algorithm::Aes128Gcm),
        KeyType::Aes256GcmSiv => Some(Algorithm::Aes256GcmSiv),
        KeyType::ChaCha20Poly1305 => Some(Algorithm::ChaCha20Poly1305),
        _ => None,
    }
}

fn is_rsa(key_type: KeyType) -> bool {
    matches!(
        key_type,
        KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096
    )
}
