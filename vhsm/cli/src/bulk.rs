//! Data that is longer than a packet carries, through memory shared with vhsmd.

use crate::caller::Caller;
use crate::failure::Failure;
use crate::input::More;
use crate::output::{Pending, Target};
use crate::progress::Progress;
use crate::segments::{self, Head, MAX_USER_AAD_LEN, Sealer, Sink, Source};
use nitride_client::{Buffer, Client, ClientError, Span};
use std::fs::File;
use std::io::{self, Read};
use zeroize::Zeroizing;

/// Encrypts into a file of segments.
pub(crate) fn encrypt(
    caller: &Caller<'_>,
    key: &str,
    aad: &[u8],
    mut from: More,
    target: &Target,
) -> Result<(), Failure> {
    let len = from.len;
    let mut to = Output::new(aad, target, "encrypting", len)?;
    let mut vault = Vault::new(caller, key)?;
    let head = Head::new(file_id()?);
    segments::encrypt(head, aad, &mut from, &mut to, &mut vault)?;
    to.pending.commit()
}

/// Decrypts a file of segments. The output appears when all of it has proved genuine.
pub(crate) fn decrypt(
    caller: &Caller<'_>,
    key: &str,
    aad: &[u8],
    mut from: More,
    target: &Target,
) -> Result<(), Failure> {
    if target.path.is_none() {
        return Err(Failure::Form(
            "a file of segments is decrypted with --out alone: nothing is given out before all of \
             it has proved genuine",
        ));
    }
    let len = from.len;
    let mut to = Output::new(aad, target, "decrypting", len)?;
    let mut vault = Vault::new(caller, key)?;
    segments::decrypt(aad, &mut from, &mut to, &mut vault)?;
    to.pending.commit()
}

struct Output {
    pending: Pending,
    progress: Progress,
}

impl Output {
    fn new(
        aad: &[u8],
        target: &Target,
        doing: &'static str,
        len: Option<u64>,
    ) -> Result<Self, Failure> {
        if target.json {
            return Err(Failure::Form("JSON carries no data of more than 64 KiB"));
        }
        if aad.len() > MAX_USER_AAD_LEN {
            return Err(Failure::TooLong {
                what: "the additional data of a file of segments",
                max_len: MAX_USER_AAD_LEN,
            });
        }
        Ok(Self {
            pending: target.pending()?,
            progress: Progress::new(doing, len),
        })
    }
}

impl Sink for Output {
    fn put(&mut self, bytes: &[u8], input_done: u64) -> Result<(), Failure> {
        self.pending.write(bytes)?;
        self.progress.show(input_done);
        Ok(())
    }
}

impl Source for More {
    fn fill(&mut self, out: &mut [u8]) -> Result<usize, Failure> {
        More::fill(self, out)
    }
}

/// `encrypt_buffer` or `decrypt_buffer`.
type BufferCall = fn(&mut Client, &str, &Buffer, Span, &[u8]) -> Result<u64, ClientError>;

/// A connection with a buffer, as long as the segments so far want it.
struct Vault<'k> {
    client: Client,
    buffer: Option<Buffer>,
    key: &'k str,
}

impl<'k> Vault<'k> {
    fn new(caller: &Caller<'_>, key: &'k str) -> Result<Self, Failure> {
        Ok(Self {
            client: caller.connect()?,
            buffer: None,
            key,
        })
    }

    /// Has vhsmd make `output_len` bytes of the input, at most.
    fn work(
        &mut self,
        input: &[u8],
        output_len: u64,
        call: BufferCall,
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let failed = |source| Failure::Vhsmd {
            key: Some(self.key.to_owned()),
            source,
        };
        let input_len = input.len() as u64;
        let wanted = input_len + output_len;
        let buffer = match self.buffer.take() {
            Some(buffer) if buffer.len() >= wanted => buffer,
            // Longer than any that follows, but for a file that was written by other hands.
            _ => self.client.register_buffer(wanted.max(1)).map_err(failed)?,
        };
        let span = Span {
            input_offset: 0,
            input_len,
            output_offset: input_len,
        };
        let out_of_bounds = |_| Failure::Form("vhsmd says more than the buffer holds");
        buffer.write_at(0, input).map_err(out_of_bounds)?;
        let made = call(&mut self.client, self.key, &buffer, span, aad);
        let outcome = made.map_err(failed).and_then(|len| {
            let len = usize::try_from(len.min(output_len)).unwrap_or(0);
            let mut output = Zeroizing::new(vec![0; len]);
            buffer
                .read_at(input_len, &mut output)
                .map_err(out_of_bounds)?;
            Ok(output)
        });
        buffer.erase();
        self.buffer = Some(buffer);
        outcome
    }
}

impl Sealer for Vault<'_> {
    fn seal(&mut self, plaintext: &[u8], aad: &[u8]) -> Result<Vec<u8>, Failure> {
        let len = nitride_protocol::limits::chunked_len(plaintext.len() as u64);
        let len = len.unwrap_or(u64::MAX / 2);
        let sealed = self.work(plaintext, len, Client::encrypt_buffer, aad)?;
        Ok(sealed.to_vec())
    }

    fn open(&mut self, sealed: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        self.work(sealed, sealed.len() as u64, Client::decrypt_buffer, aad)
    }
}

/// Sixteen bytes from the kernel: the file's name for itself, and no secret.
fn file_id() -> Result<[u8; 16], Failure> {
    let mut id = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut id))
        .map_err(|source: io::Error| Failure::Read {
            what: "randomness",
            path: Some("/dev/urandom".into()),
            source,
        })?;
    Ok(id)
}
