//! PE images: the digest that firmware measures when it loads one, and its sections.
//!
//! The digest is Authenticode's (Microsoft, "Windows Authenticode Portable Executable Signature
//! Format", "Calculating the PE Image Hash") as edk2's `DxeTpm2MeasureBootLib` computes it: the file
//! but for its checksum, the directory's entry for certificates and the certificates. Programs that
//! sign pad a file to whole eight bytes; the firmware does not, and neither does this.

use crate::little_endian::{array_at, slice_at, u16_at, u32_at, usize_at};
use sha2::Digest;
use thiserror::Error;

/// The most sections that an image may have (PE format, "COFF File Header").
pub const MAX_PE_SECTIONS: usize = 96;

const PE_POINTER_AT: usize = 0x3c;
const COFF_HEADER_LEN: usize = 20;
const SECTION_HEADER_LEN: usize = 40;
/// Offsets in the optional header, the same in both of its forms.
const HEADERS_LEN_AT: usize = 60;
const CHECKSUM_AT: usize = 64;
const CHECKSUM_LEN: usize = 4;
/// Where the number of directory entries stands: PE32, PE32+.
const DIRECTORY_COUNT_AT: [usize; 2] = [92, 108];
const MAGIC_PE32: u16 = 0x10b;
const MAGIC_PE32_PLUS: u16 = 0x20b;
/// The directory's entry for certificates, and its length.
const CERTIFICATES: usize = 4;
const DIRECTORY_ENTRY_LEN: usize = 8;

/// Why an image cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PeFault {
    /// It has none of the marks.
    #[error("it is no PE image")]
    NotPe,
    /// A header does not fit into the file, or into what says how long it is.
    #[error("a header of the PE image is cut short")]
    Headers,
    /// More than there may be.
    #[error("the PE image has {0} sections, more than 96")]
    Sections(usize),
    /// A section lies outside of the file.
    #[error("section {0} lies outside of the PE image's file")]
    SectionOutside(usize),
    /// Some of the file would be hashed again and again.
    #[error("the PE image's headers and sections are longer together than its file")]
    Overlong,
    /// Its certificates lie elsewhere than at the end.
    #[error("the PE image's certificates do not lie at its end")]
    Certificates,
}

/// One section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    name: [u8; 8],
    /// How long it is in memory, with zeros after what is in the file.
    pub(crate) memory_len: usize,
    file_at: usize,
    /// What is in the file.
    pub(crate) in_file: &'a [u8],
}

impl<'a> Section<'a> {
    /// What the section has, without what pads it in the file.
    pub(crate) fn contents(&self) -> &'a [u8] {
        let len = self.memory_len.min(self.in_file.len());
        self.in_file.get(..len).unwrap_or_default()
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        let mut padded = [0; 8];
        match padded.get_mut(..name.len()) {
            Some(start) => start.copy_from_slice(name.as_bytes()),
            None => return false,
        }
        self.name == padded
    }
}

/// An image whose headers and sections lie within its file.
#[derive(Debug)]
pub(crate) struct PeImage<'a> {
    bytes: &'a [u8],
    /// Three ranges that the digest begins with: without checksum and certificates' entry.
    hashed_headers: [&'a [u8]; 3],
    headers_len: usize,
    certificates_len: usize,
    sections: Vec<Section<'a>>,
}

impl<'a> PeImage<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, PeFault> {
        if bytes.get(..2) != Some(b"MZ") {
            return Err(PeFault::NotPe);
        }
        let pe_at = usize_at(bytes, PE_POINTER_AT).ok_or(PeFault::Headers)?;
        if array_at(bytes, pe_at) != Some(*b"PE\0\0") {
            return Err(PeFault::NotPe);
        }
        // Offsets are at most 32 bits wide, so that what is added to them here cannot overflow.
        let coff_at = pe_at + 4;
        let section_count = u16_at(bytes, coff_at + 2).ok_or(PeFault::Headers)?;
        let optional_len = u16_at(bytes, coff_at + 16).ok_or(PeFault::Headers)?;
        let optional_at = coff_at + COFF_HEADER_LEN;
        let optional = slice_at(bytes, optional_at, usize::from(optional_len));
        let optional = optional.ok_or(PeFault::Headers)?;
        let count_at = match u16_at(optional, 0) {
            Some(MAGIC_PE32) => DIRECTORY_COUNT_AT[0],
            Some(MAGIC_PE32_PLUS) => DIRECTORY_COUNT_AT[1],
            _ => return Err(PeFault::NotPe),
        };
        let headers_len = usize_at(optional, HEADERS_LEN_AT).ok_or(PeFault::Headers)?;
        let sections_at = optional_at + optional.len();
        let sections = sections(bytes, sections_at, usize::from(section_count))?;
        let sections_end = sections_at + sections.len() * SECTION_HEADER_LEN;
        // What the digest leaves out must not lie where this reads.
        if headers_len > bytes.len() || headers_len < sections_end {
            return Err(PeFault::Headers);
        }
        let entry_at = count_at + 4 + CERTIFICATES * DIRECTORY_ENTRY_LEN;
        let directory_count = u32_at(optional, count_at).ok_or(PeFault::Headers)?;
        let has_certificates_entry = directory_count > 4;
        let entry = slice_at(optional, entry_at, DIRECTORY_ENTRY_LEN);
        if has_certificates_entry && entry.is_none() {
            return Err(PeFault::Headers);
        }
        let entry = entry.filter(|_| has_certificates_entry);
        let certificates_len = certificates_len(bytes.len(), entry)?;

        let checksum_at = optional_at + CHECKSUM_AT;
        let after_checksum = checksum_at + CHECKSUM_LEN;
        let (middle_end, last_at) = match entry {
            Some(_) => {
                let at = optional_at + entry_at;
                (at, at + DIRECTORY_ENTRY_LEN)
            }
            None => (headers_len, headers_len),
        };
        let range = |from: usize, to: usize| bytes.get(from..to).ok_or(PeFault::Headers);
        let hashed_headers = [
            range(0, checksum_at)?,
            range(after_checksum, middle_end)?,
            range(last_at, headers_len)?,
        ];
        Ok(Self {
            bytes,
            hashed_headers,
            headers_len,
            certificates_len,
            sections,
        })
    }

    pub(crate) fn sections(&self) -> &[Section<'a>] {
        &self.sections
    }

    /// The digest that firmware measures.
    pub(crate) fn authenticode<D: Digest>(&self) -> Result<sha2::digest::Output<D>, PeFault> {
        // What lies after the sections, which firmware takes to begin where as many bytes end as
        // were hashed, up to the certificates. Counted before anything is hashed: sections may name
        // the same bytes, each of them all.
        let end = self.bytes.len() - self.certificates_len;
        let mut in_files = self.sections.iter().map(|section| section.in_file.len());
        let hashed = in_files.try_fold(self.headers_len, usize::checked_add);
        let hashed = hashed.filter(|hashed| *hashed <= self.bytes.len());
        let hashed = hashed.ok_or(PeFault::Overlong)?;
        let after = self.bytes.get(hashed..end).ok_or(PeFault::Certificates)?;
        let mut hasher = D::new();
        for part in self.hashed_headers {
            hasher.update(part);
        }
        let mut sections: Vec<&Section<'_>> = self.sections.iter().collect();
        // Stable, as the firmware's own sorting is.
        sections.sort_by_key(|section| section.file_at);
        for section in sections {
            hasher.update(section.in_file);
        }
        hasher.update(after);
        Ok(hasher.finalize())
    }
}

fn sections(bytes: &[u8], at: usize, count: usize) -> Result<Vec<Section<'_>>, PeFault> {
    if count > MAX_PE_SECTIONS {
        return Err(PeFault::Sections(count));
    }
    let headers = slice_at(bytes, at, count * SECTION_HEADER_LEN).ok_or(PeFault::Headers)?;
    let headers = headers.chunks_exact(SECTION_HEADER_LEN);
    headers
        .enumerate()
        .map(|(index, header)| section(bytes, header).ok_or(PeFault::SectionOutside(index)))
        .collect()
}

fn section<'a>(bytes: &'a [u8], header: &[u8]) -> Option<Section<'a>> {
    let file_len = usize_at(header, 16)?;
    let file_at = usize_at(header, 20)?;
    let in_file: &[u8] = match file_len {
        // Where nothing is in the file, the offset means nothing.
        0 => &[],
        len => slice_at(bytes, file_at, len)?,
    };
    Some(Section {
        name: array_at(header, 0)?,
        memory_len: usize_at(header, 8)?,
        file_at,
        in_file,
    })
}

/// How long the certificates are, which have to be the last in the file.
fn certificates_len(file_len: usize, entry: Option<&[u8]>) -> Result<usize, PeFault> {
    let Some(entry) = entry else { return Ok(0) };
    // This one entry holds an offset in the file and no address.
    let at = usize_at(entry, 0).ok_or(PeFault::Headers)?;
    let len = usize_at(entry, 4).ok_or(PeFault::Headers)?;
    match len {
        0 => Ok(0),
        _ if at.checked_add(len) == Some(file_len) => Ok(len),
        _ => Err(PeFault::Certificates),
    }
}
