//! What Azure's and Google's firmware does to a virtual TPM, in its own commands (TPM 2.0 Library, part 3).

use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub(crate) const NV_READ: u32 = 0x14e;
pub(crate) const OWNER: u32 = 0x4000_0001;
const PLATFORM: u32 = 0x4000_000c;
const ENDORSEMENT: u32 = 0x4000_000b;

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, sign: RSASSA with SHA-256
/// and 2048 bits.
const AK_RSA: &[u8] = b"\x00\x01\x00\x0b\x00\x05\x04\x72\x00\x00\
    \x00\x10\x00\x14\x00\x0b\x08\x00\x00\x00\x00\x00\x00\x00";
/// The same by ECDSA over P-256; its unique part is empty.
pub(crate) const AK_ECC: &[u8] = b"\x00\x23\x00\x0b\x00\x05\x04\x72\x00\x00\
    \x00\x10\x00\x18\x00\x0b\x00\x03\x00\x10\x00\x00\x00\x00";

const EVENT: [u8; 32] = [7; 32];
/// TPM2_GetRandom of 8 bytes.
const GET_RANDOM: [u8; 12] = [0x80, 1, 0, 0, 0, 12, 0, 0, 0x01, 0x7b, 0, 8];

/// A PCR that was extended once from zero, in hexadecimal.
pub(crate) fn measured_once() -> String {
    let extended = [[0; 32], EVENT].concat();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &extended);
    base16ct::lower::encode_string(hash.as_ref())
}

/// One connection to the TPM, which serves one at a time.
#[derive(Debug)]
pub(crate) struct Tpm(TcpStream);

impl Tpm {
    pub(crate) fn connect(port: u16) -> Result<Self> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            // swtpm resets who connects while it ends with the one before: a command that does nothing
            // tells.
            let connected = TcpStream::connect(("127.0.0.1", port))
                .map_err(Into::into)
                .and_then(|stream| {
                    let mut tpm = Self(stream);
                    tpm.pass(&GET_RANDOM)?;
                    Ok(tpm)
                });
            match connected {
                Ok(tpm) => return Ok(tpm),
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// A command as it came from somebody else; the answer as it goes back.
    pub(crate) fn pass(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        self.0.write_all(command)?;
        message(&mut self.0)?.context("the TPM has gone")
    }

    /// A command under empty passwords, one for each handle if any; what comes after the header.
    fn ask(&mut self, code: u32, handles: &[u32], with: usize, params: &[u8]) -> Result<Vec<u8>> {
        let tag: u16 = if with == 0 { 0x8001 } else { 0x8002 };
        let mut body: Vec<u8> = handles.iter().flat_map(|h| h.to_be_bytes()).collect();
        if with > 0 {
            body.extend(u32::try_from(9 * with)?.to_be_bytes());
            for _ in 0..with {
                body.extend([0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
            }
        }
        body.extend(params);
        let mut command = tag.to_be_bytes().to_vec();
        command.extend(u32::try_from(body.len() + 10)?.to_be_bytes());
        command.extend(code.to_be_bytes());
        command.extend(body);
        let answer = self.pass(&command)?;
        ensure!(
            answer[6..10] == [0; 4],
            "the TPM refuses {code:#x}: {answer:02x?}"
        );
        Ok(answer[10..].to_vec())
    }

    /// The key of the firmware, kept at `handle`; its modulus.
    pub(crate) fn make_key(&mut self, handle: u32) -> Result<Vec<u8>> {
        let (made, area) = self.primary(AK_RSA)?;
        let to = handle.to_be_bytes();
        self.ask(0x120, &[OWNER, made], 1, &to)?;
        self.flush(made)?;
        Ok(area[area.len() - 256..].to_vec())
    }

    /// A key from its template: its handle and its public area.
    pub(crate) fn primary(&mut self, template: &[u8]) -> Result<(u32, Vec<u8>)> {
        let mut params = vec![0, 4, 0, 0, 0, 0];
        sized(&mut params, template)?;
        params.extend([0; 6]);
        let answer = self.ask(0x131, &[ENDORSEMENT], 1, &params)?;
        let handle = u32::from_be_bytes(answer[..4].try_into()?);
        let len = usize::from(u16::from_be_bytes(answer[8..10].try_into()?));
        Ok((handle, answer[10..10 + len].to_vec()))
    }

    pub(crate) fn flush(&mut self, handle: u32) -> Result<()> {
        self.ask(0x165, &[], 0, &handle.to_be_bytes()).map(drop)
    }

    /// An index of the firmware's, which the guest reads and does not write.
    pub(crate) fn define(&mut self, index: u32, len: u16) -> Result<()> {
        // By the platform to be written, by anybody to be read; nobody is locked out; made by the platform.
        let attributes: u32 = 0x4207_0001;
        let mut public = index.to_be_bytes().to_vec();
        public.extend([0, 0x0b]);
        public.extend(attributes.to_be_bytes());
        public.extend([0, 0]);
        public.extend(len.to_be_bytes());
        let mut params = vec![0, 0];
        sized(&mut params, &public)?;
        self.ask(0x12a, &[PLATFORM], 1, &params).map(drop)
    }

    pub(crate) fn write(&mut self, index: u32, bytes: &[u8]) -> Result<()> {
        for (count, part) in bytes.chunks(512).enumerate() {
            let mut params = Vec::new();
            sized(&mut params, part)?;
            params.extend(u16::try_from(512 * count)?.to_be_bytes());
            self.ask(0x137, &[PLATFORM, index], 1, &params)?;
        }
        Ok(())
    }

    pub(crate) fn read(&mut self, index: u32, len: u16) -> Result<Vec<u8>> {
        let params = [&len.to_be_bytes()[..], &[0, 0]].concat();
        let answer = self.ask(NV_READ, &[OWNER, index], 1, &params)?;
        Ok(answer[6..6 + usize::from(len)].to_vec())
    }

    /// Measures something into a PCR, the same each time.
    pub(crate) fn extend(&mut self, pcr: u32) -> Result<()> {
        let mut params = vec![0, 0, 0, 1, 0, 0x0b];
        params.extend(EVENT);
        self.ask(0x182, &[pcr], 1, &params).map(drop)
    }
}

/// A command or an answer: a tag, its length, a code, and the rest; `None` at the end.
pub(crate) fn message(from: &mut TcpStream) -> Result<Option<Vec<u8>>> {
    let mut message = vec![0; 10];
    if from.read_exact(&mut message).is_err() {
        return Ok(None);
    }
    let len = u32::from_be_bytes(message[2..6].try_into()?) as usize;
    message.resize(len, 0);
    from.read_exact(&mut message[10..])?;
    Ok(Some(message))
}

fn sized(all: &mut Vec<u8>, part: &[u8]) -> Result<()> {
    all.extend(u16::try_from(part.len())?.to_be_bytes());
    all.extend(part);
    Ok(())
}
