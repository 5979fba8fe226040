use crate::{Client, ClientError};
use nitride_ipc::memory::{MemoryError, OutOfBounds, SharedMemory};
use nitride_protocol::application::{DecryptBuffer, EncryptBuffer, RegisterBuffer, Window};
use nitride_protocol::{Call, KeyName, NameError};
use std::os::fd::AsFd;

/// Memory that this process and vhsmd share, registered on one connection.
///
/// It is ordinary memory: what is decrypted there is the application's to erase
/// ([`Buffer::erase`]), as is what is put there to be encrypted.
#[derive(Debug)]
pub struct Buffer {
    memory: SharedMemory,
    number: u32,
}

/// What a call on a buffer works on. Offsets and lengths in bytes; input and output may not
/// overlap.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Where the input begins.
    pub input_offset: u64,
    /// How long it is.
    pub input_len: u64,
    /// Where the output goes.
    pub output_offset: u64,
}

impl Span {
    fn window<'a>(
        self,
        key: &'a str,
        buffer: &Buffer,
        aad: &'a [u8],
    ) -> Result<Window<'a>, NameError> {
        Ok(Window {
            key: KeyName::parse(key)?,
            buffer: Some(buffer.number),
            input_offset: self.input_offset,
            input_len: self.input_len,
            output_offset: self.output_offset,
            aad,
        })
    }
}

impl Buffer {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.memory.len()
    }

    /// Never: there is no empty buffer.
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty()
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), OutOfBounds> {
        self.memory.read_at(offset, out)
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), OutOfBounds> {
        self.memory.write_at(offset, bytes)
    }

    /// Overwrites all of it with zeros.
    pub fn erase(&self) {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut at = 0;
        while at < self.len() {
            let len = usize::try_from(self.len() - at).map_or(ZEROS.len(), |n| n.min(ZEROS.len()));
            // In bounds by the line above.
            let _ = self.write_at(at, ZEROS.get(..len).unwrap_or_default());
            at += len as u64;
        }
    }
}

/// Data of any length, in memory that is shared with vhsmd.
impl Client {
    /// Makes memory of `len` bytes and registers it on this connection, which may have four.
    ///
    /// # Errors
    /// [`ClientError::Memory`], [`ClientError::Refused`], or why there was no answer.
    pub fn register_buffer(&mut self, len: u64) -> Result<Buffer, ClientError> {
        let operation = RegisterBuffer::VERB;
        let memory = |source: MemoryError| ClientError::Memory { operation, source };
        let (memory, descriptor) = SharedMemory::create(len).map_err(memory)?;
        self.announce_descriptors()?;
        let request = RegisterBuffer { len };
        let number = self.call_with(&request, &[descriptor.as_fd()], |reply| reply.buffer)?;
        Ok(Buffer { memory, number })
    }

    /// Encrypts part of the buffer into another part of it, in the chunked format, and returns the
    /// output's length.
    ///
    /// # Errors
    /// [`ClientError::Refused`], or why there was no answer.
    pub fn encrypt_buffer(
        &mut self,
        key: &str,
        buffer: &Buffer,
        span: Span,
        aad: &[u8],
    ) -> Result<u64, ClientError> {
        let request = EncryptBuffer(span.window(key, buffer, aad)?);
        self.call(&request, |reply| reply.output_len)
    }

    /// Decrypts what [`encrypt_buffer`](Self::encrypt_buffer) made and returns the output's
    /// length. Where it is refused, the output holds nothing.
    ///
    /// # Errors
    /// [`ClientError::Refused`], or why there was no answer.
    pub fn decrypt_buffer(
        &mut self,
        key: &str,
        buffer: &Buffer,
        span: Span,
        aad: &[u8],
    ) -> Result<u64, ClientError> {
        let request = DecryptBuffer(span.window(key, buffer, aad)?);
        self.call(&request, |reply| reply.output_len)
    }
}
