//! `encrypt-buffer` and `decrypt-buffer`: the vault decides and makes the message's key, the
//! daemon moves the bytes.

mod chunks;
#[cfg(test)]
mod tests;

pub use chunks::{BULK_CHUNK_LEN, BULK_PREFIX_LEN};

use super::{Call, Form, Reply};
use crate::access::{Access, Grant, Wanted};
use crate::ciphertext::{Algorithm, UnverifiedHeader};
use crate::refusal::Stop;
use crate::{Draw, Now, Outcome, Refusal, Session, Vault};
use chunks::{Bound, Chunks, digest_of, plaintext_len};
use nitride_protocol::application::{BufferDone, DecryptBuffer, EncryptBuffer, Window};
use nitride_protocol::limits::chunked_len;
use nitride_protocol::{KeyNameBuf, KeyType, Message, Operation, Reader, write_refusal};
use nitride_secmem::crypto::AeadAlgorithm;

/// An operation on shared memory that a rule grants, and that waits for the daemon to find the
/// memory.
#[derive(Debug)]
pub struct BulkRequest {
    id: u32,
    operation: Operation,
    key: KeyNameBuf,
    buffer: Option<u32>,
    input_offset: u64,
    input_len: u64,
    output_offset: u64,
    plaintext_len: u64,
    output_len: u64,
    aad_digest: [u8; 32],
}

/// A message that is being sealed or opened, chunk by chunk. It holds a key of its own, so that
/// the key can be changed or destroyed meanwhile: what was begun ends.
#[derive(Debug)]
pub struct Bulk {
    id: u32,
    output_len: u64,
    chunks: Chunks,
}

pub(super) fn encrypt_buffer(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: &Call<'_>,
) -> Result<Outcome, Stop> {
    let EncryptBuffer(window) = EncryptBuffer::decode_last(params)?;
    let len = window.input_len;
    let output_len = chunked_len(len).ok_or(Refusal::TooLarge)?;
    let operation = Operation::EncryptBuffer;
    ask(vault, session, operation, &window, (len, output_len), call)
}

pub(super) fn decrypt_buffer(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: &Call<'_>,
) -> Result<Outcome, Stop> {
    let DecryptBuffer(window) = DecryptBuffer::decode_last(params)?;
    let len = plaintext_len(window.input_len).ok_or(Refusal::NotACiphertext)?;
    let operation = Operation::DecryptBuffer;
    ask(vault, session, operation, &window, (len, len), call)
}

/// Asks the rules, so that nobody has memory looked at for nothing.
fn ask(
    vault: &Vault,
    session: &mut Session,
    operation: Operation,
    window: &Window<'_>,
    (plaintext_len, output_len): (u64, u64),
    call: &Call<'_>,
) -> Result<Outcome, Stop> {
    Grant::new(session, vault, operation, window.key)?;
    Ok(Outcome::Bulk(BulkRequest {
        id: call.id(),
        operation,
        key: window.key.to_owned(),
        buffer: window.buffer,
        input_offset: window.input_offset,
        input_len: window.input_len,
        output_offset: window.output_offset,
        plaintext_len,
        output_len,
        aad_digest: digest_of(window.aad),
    }))
}

impl Vault {
    /// Decides on a request for shared memory, as [`Vault::perform`] does on the others.
    ///
    /// `prefix` is empty for `encrypt-buffer`, and for `decrypt-buffer` the first
    /// [`BULK_PREFIX_LEN`] bytes of the input, in memory that the peer cannot change.
    ///
    /// # Errors
    /// The outcome, where nothing can be begun: a refusal that stands in `reply`, or
    /// [`Outcome::Park`]; then perform the packet anew later.
    pub fn start_bulk(
        &self,
        session: &mut Session,
        request: &BulkRequest,
        prefix: &[u8],
        now: Now,
        draw: &mut dyn Draw,
        reply: &mut [u8],
    ) -> Result<Bulk, Outcome> {
        session.refresh(self);
        session.set_refusal(None);
        let started = request.start(self, session, prefix, now, draw);
        started.map_err(|stop| match stop {
            Stop::Wanting(want) => Outcome::Park(want),
            Stop::Refused(refusal) => {
                session.set_refusal(Some(refusal));
                refuse_bulk(request.id, refusal, reply)
            }
        })
    }
}

/// Answers a request for shared memory with a refusal.
pub fn refuse_bulk(id: u32, refusal: Refusal, reply: &mut [u8]) -> Outcome {
    write_refusal(reply, id, refusal.status()).map_or(Outcome::Close, Outcome::Reply)
}

impl BulkRequest {
    /// The request's id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether memory is encrypted; else it is decrypted.
    pub fn is_sealing(&self) -> bool {
        self.operation == Operation::EncryptBuffer
    }

    /// The registered buffer; `None` is the memfd that came with the packet.
    pub fn buffer(&self) -> Option<u32> {
        self.buffer
    }

    /// Where the input begins, in bytes.
    pub fn input_offset(&self) -> u64 {
        self.input_offset
    }

    /// How long the input is, in bytes.
    pub fn input_len(&self) -> u64 {
        self.input_len
    }

    /// Where the output goes, in bytes.
    pub fn output_offset(&self) -> u64 {
        self.output_offset
    }

    /// How long the output is, in bytes.
    pub fn output_len(&self) -> u64 {
        self.output_len
    }

    fn start(
        &self,
        vault: &Vault,
        session: &mut Session,
        prefix: &[u8],
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<Bulk, Stop> {
        let name = self.key.as_name();
        let grant = Grant::new(session, vault, self.operation, name)?;
        let chunks = if self.is_sealing() {
            let key = grant.ensure_key(vault, now, draw)?;
            grant.use_key(vault, &key, Wanted::Newest, now, |access| {
                let mut salt = [0; 32];
                draw.fill(&mut salt);
                let algorithm = algorithm_of(access, self.operation)?;
                let number = access.version().number;
                let header = algorithm.chunked_header(&access.body().id, number);
                self.chunks(access, algorithm, &header, &salt)
            })?
        } else {
            let (head, salt) = UnverifiedHeader::parse(prefix)?;
            let salt = salt.try_into().map_err(|_| Refusal::NotACiphertext)?;
            if !head.is_chunked {
                return Err(Refusal::NotACiphertext.into());
            }
            let wanted = Wanted::Maker {
                id: head.key_id,
                version: head.version,
            };
            let key = grant.ensure_key(vault, now, draw)?;
            grant.use_key(vault, &key, wanted, now, |access| {
                let algorithm = algorithm_of(access, self.operation)?;
                if head.algorithm != Some(algorithm) {
                    return Err(Refusal::VerificationFailed);
                }
                self.chunks(access, algorithm, head.bytes, salt)
            })?
        };
        Ok(Bulk {
            id: self.id,
            output_len: self.output_len,
            chunks,
        })
    }

    fn chunks(
        &self,
        access: &Access<'_>,
        algorithm: Algorithm,
        header: &[u8; 24],
        salt: &[u8; 32],
    ) -> Result<Chunks, Refusal> {
        let cipher = match algorithm {
            Algorithm::ChaCha20Poly1305 => AeadAlgorithm::ChaCha20Poly1305,
            _ => AeadAlgorithm::Aes256Gcm,
        };
        let bound = Bound {
            header,
            plaintext_len: self.plaintext_len,
            aad_digest: &self.aad_digest,
        };
        Chunks::new(cipher, access.record().expose(), salt, bound)
    }
}

impl Bulk {
    /// What the ciphertext begins with.
    pub fn prefix(&self) -> &[u8; BULK_PREFIX_LEN] {
        self.chunks.prefix()
    }

    /// Encrypts the next chunk into the start of `out`; gives the length written. Every chunk but
    /// the last has [`BULK_CHUNK_LEN`] bytes; an empty plaintext has one empty chunk.
    ///
    /// # Errors
    /// [`Refusal`]; then the message is void.
    pub fn seal_chunk(&mut self, plaintext: &[u8], out: &mut [u8]) -> Result<usize, Refusal> {
        self.chunks.seal(plaintext, out)
    }

    /// Decrypts the next chunk into the start of `out`; gives the length written. Nothing that is
    /// not authentic is left in `out`.
    ///
    /// # Errors
    /// [`Refusal::VerificationFailed`] where the chunk is not this one of this message; then no
    /// other one is opened.
    pub fn open_chunk(&mut self, sealed: &[u8], out: &mut [u8]) -> Result<usize, Refusal> {
        self.chunks.open(sealed, out)
    }

    /// Whether that was the last chunk.
    pub fn is_done(&self) -> bool {
        self.chunks.is_done()
    }

    /// Answers the request.
    pub fn write_reply(&self, reply: &mut [u8]) -> Outcome {
        let done = BufferDone {
            output_len: self.output_len,
        };
        let reply = Reply {
            form: Form::Packet { id: self.id },
            buffer: reply,
        };
        let written = reply.write(&done);
        written.map_or(Outcome::Close, Outcome::Reply)
    }
}

/// Keys of 256 bits alone: each message has a key of its own, wherever the key is from.
fn algorithm_of(access: &Access<'_>, operation: Operation) -> Result<Algorithm, Refusal> {
    match access.body().key_type {
        KeyType::Aes256Gcm => Ok(Algorithm::Aes256Gcm),
        KeyType::Aes256GcmSiv => Ok(Algorithm::Aes256GcmSiv),
        KeyType::ChaCha20Poly1305 => Ok(Algorithm::ChaCha20Poly1305),
        key_type => Err(Refusal::WrongKeyType {
            key_type,
            operation,
        }),
    }
}
