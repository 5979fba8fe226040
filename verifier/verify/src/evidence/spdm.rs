//! What an NVIDIA device signs: the SPDM 1.1 request GET_MEASUREMENTS and its answer, one behind the
//! other (DMTF DSP0274 1.1, 10.11; NVIDIA's own data stand in the opaque part).
//!
//! ```text
//!  request   37   11 e0 01 ff │ nonce 32 │ slot
//!  answer     8   11 60 .. .. │ blocks │ length of the record, 3 bytes
//!             n   record: index │ specification 1 │ length 2 │ type │ length 2 │ value
//!            32   the device's own nonce
//!         2 + m   opaque: type 2 │ length 2 │ value
//!            96   r ‖ s over everything before
//! ```
//!
//! Numbers are little-endian, but for r and s. Every length is held against the bytes that are there,
//! and nothing may be left over.

use super::cursor::Cursor;
use std::collections::BTreeMap;
use thiserror::Error;

/// No device has a longer report: NVML's buffer has 8 KiB.
pub const MAX_SPDM_LEN: usize = 16 * 1024;
/// r and s on P-384.
const SIGNATURE_LEN: usize = 96;
const SPDM_1_1: u8 = 0x11;
const GET_MEASUREMENTS: u8 = 0xe0;
const MEASUREMENTS: u8 = 0x60;
/// `GET_MEASUREMENTS`, parameter 1: the answer is signed.
const SIGNED: u8 = 1;
/// Parameter 2: all measurements.
const ALL: u8 = 0xff;
/// The DMTF's form of a measurement.
const DMTF: u8 = 1;
/// No text in the opaque part is longer.
const MAX_TEXT_LEN: usize = 64;

const DRIVER_VERSION: u16 = 3;
const VBIOS_VERSION: u16 = 6;
const CHIP_SKU: u16 = 15;
const PROJECT: u16 = 17;
const PROJECT_SKU: u16 = 18;
const FIRMWARE_ID: u16 = 20;

/// A request and its answer, whose signature is not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpdmReport<'a> {
    /// The nonce of the request: the verifier's.
    pub nonce: &'a [u8; 32],
    /// The measurements by their index.
    pub measurements: BTreeMap<u8, &'a [u8]>,
    /// All of them as they came.
    pub record: &'a [u8],
    /// What the maker adds, by its type.
    pub opaque: BTreeMap<u16, &'a [u8]>,
    /// What is signed: everything before the signature.
    pub signed: &'a [u8],
    /// r and s, 48 bytes each, big-endian.
    pub signature: &'a [u8; SIGNATURE_LEN],
}

/// Why bytes are no report.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpdmMalformed {
    /// More bytes than any report has.
    #[error("a report of {len} bytes; at most {MAX_SPDM_LEN} are read")]
    TooLong {
        /// The length.
        len: usize,
    },
    /// The first 37 bytes are no request for all measurements, signed.
    #[error("the request {0}")]
    Request(&'static str),
    /// What follows is no answer to it.
    #[error("the answer {0}")]
    Answer(&'static str),
    /// The maker's part is not of its form.
    #[error("the opaque data {0}")]
    Opaque(&'static str),
}

impl<'a> SpdmReport<'a> {
    /// Takes it apart.
    ///
    /// # Errors
    ///
    /// [`SpdmMalformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SpdmMalformed> {
        if bytes.len() > MAX_SPDM_LEN {
            return Err(SpdmMalformed::TooLong { len: bytes.len() });
        }
        let mut cursor = Cursor::new(bytes);
        let nonce = request(&mut cursor)?;
        let answer = SpdmMalformed::Answer;
        let (signed, signature) = bytes
            .split_last_chunk::<SIGNATURE_LEN>()
            .ok_or(answer("is shorter than its signature"))?;
        let short = || answer("ends early");
        let head: &[u8; 4] = cursor.array().ok_or_else(short)?;
        // The parameters say nothing that the request did not.
        let [version, code, _, _] = *head;
        if version != SPDM_1_1 {
            return Err(answer("is not of SPDM 1.1"));
        }
        if code != MEASUREMENTS {
            return Err(answer(
                "has no measurements: the device sent another message",
            ));
        }
        let [blocks] = *cursor.array::<1>().ok_or_else(short)?;
        let [low, middle, high] = *cursor.array::<3>().ok_or_else(short)?;
        let len = u32::from_le_bytes([low, middle, high, 0]);
        let len = usize::try_from(len).map_err(|_| short())?;
        let record = cursor.take(len).ok_or_else(short)?;
        let measurements = measurements(record, blocks)?;
        cursor.array::<32>().ok_or_else(short)?;
        let opaque = cursor.counted_u16().ok_or_else(short)?;
        let opaque = fields(opaque)?;
        if cursor.rest().len() != SIGNATURE_LEN {
            return Err(answer("does not end with a signature of 96 bytes"));
        }
        Ok(Self {
            nonce,
            measurements,
            record,
            opaque,
            signed,
            signature,
        })
    }

    /// The VBIOS's version as `nvidia-smi` writes it: `96.00.9F.00.01`.
    ///
    /// # Errors
    ///
    /// [`SpdmMalformed::Opaque`] if it is there in another form.
    pub fn vbios_version(&self) -> Result<Option<String>, SpdmMalformed> {
        // GPUs have a number of four bytes, last first, and one byte behind it; switches a text.
        match self.opaque.get(&VBIOS_VERSION) {
            Some([d, c, b, a, e, ..]) if self.opaque_len(VBIOS_VERSION) == 8 => {
                Ok(Some(format!("{a:02X}.{b:02X}.{c:02X}.{d:02X}.{e:02X}")))
            }
            _ => self.text(VBIOS_VERSION),
        }
    }

    /// The driver's version; a switch has none.
    ///
    /// # Errors
    ///
    /// [`SpdmMalformed::Opaque`] if it is no short text.
    pub fn driver_version(&self) -> Result<Option<String>, SpdmMalformed> {
        self.text(DRIVER_VERSION)
    }

    /// Project, project SKU and chip SKU, by which NVIDIA names its reference values.
    ///
    /// # Errors
    ///
    /// [`SpdmMalformed::Opaque`] if one of them is no short text.
    pub fn board(&self) -> Result<Option<String>, SpdmMalformed> {
        let parts = [PROJECT, PROJECT_SKU, CHIP_SKU].map(|kind| self.text(kind));
        let [project, sku, chip] = parts;
        Ok(match (project?, sku?, chip?) {
            (Some(project), Some(sku), Some(chip)) => Some(format!("{project}_{sku}_{chip}")),
            _ => None,
        })
    }

    /// What the device says that it measured as the firmware which signs.
    ///
    /// # Errors
    ///
    /// [`SpdmMalformed::Opaque`] if it is there and not 48 bytes.
    pub fn firmware_id(&self) -> Result<Option<&'a [u8; 48]>, SpdmMalformed> {
        let stated = self.opaque.get(&FIRMWARE_ID);
        stated
            .map(|id| {
                <&[u8; 48]>::try_from(*id)
                    .map_err(|_| SpdmMalformed::Opaque("have a firmware id that is not 48 bytes"))
            })
            .transpose()
    }

    fn opaque_len(&self, kind: u16) -> usize {
        self.opaque.get(&kind).map_or(0, |value| value.len())
    }

    /// ASCII, with zeros after it.
    fn text(&self, kind: u16) -> Result<Option<String>, SpdmMalformed> {
        let Some(value) = self.opaque.get(&kind) else {
            return Ok(None);
        };
        let end = value.iter().rposition(|byte| *byte != 0);
        let text = end.map_or(&[][..], |end| value.get(..=end).unwrap_or_default());
        let is_plain = text.iter().all(u8::is_ascii_graphic) && text.len() <= MAX_TEXT_LEN;
        match std::str::from_utf8(text) {
            Ok(text) if is_plain => Ok((!text.is_empty()).then(|| text.to_owned())),
            _ => Err(SpdmMalformed::Opaque("have a text that is none")),
        }
    }
}

fn request<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8; 32], SpdmMalformed> {
    let refuse = SpdmMalformed::Request;
    let head: &[u8; 4] = cursor.array().ok_or(refuse("ends early"))?;
    let nonce = cursor.array::<32>().ok_or(refuse("ends early"))?;
    let [slot] = *cursor.array::<1>().ok_or(refuse("ends early"))?;
    match *head {
        [version, ..] if version != SPDM_1_1 => Err(refuse("is not of SPDM 1.1")),
        [_, code, ..] if code != GET_MEASUREMENTS => Err(refuse("does not ask for measurements")),
        [.., SIGNED, ALL] if slot == 0 => Ok(nonce),
        _ => Err(refuse(
            "does not ask for all measurements, signed by the key of slot 0",
        )),
    }
}

fn measurements(record: &[u8], blocks: u8) -> Result<BTreeMap<u8, &[u8]>, SpdmMalformed> {
    let refuse = SpdmMalformed::Answer;
    let short = || refuse("has a measurement that ends early");
    let mut found = BTreeMap::new();
    let mut cursor = Cursor::new(record);
    for _ in 0..blocks {
        let [index, specification] = *cursor.array::<2>().ok_or_else(short)?;
        if specification != DMTF {
            return Err(refuse(
                "has a measurement of another specification than the DMTF's",
            ));
        }
        let mut block = Cursor::new(cursor.counted_u16().ok_or_else(short)?);
        // What was measured, and whether as it is or by its digest: the reference value knows.
        block.array::<1>().ok_or_else(short)?;
        let value = block.counted_u16().ok_or_else(short)?;
        if !block.rest().is_empty() {
            return Err(refuse("has a measurement with bytes left over"));
        }
        if found.insert(index, value).is_some() {
            return Err(refuse("has a measurement twice"));
        }
    }
    if cursor.rest().is_empty() {
        Ok(found)
    } else {
        Err(refuse("has more measurements than it says"))
    }
}

fn fields(opaque: &[u8]) -> Result<BTreeMap<u16, &[u8]>, SpdmMalformed> {
    let refuse = SpdmMalformed::Opaque;
    let mut found = BTreeMap::new();
    let mut cursor = Cursor::new(opaque);
    while !cursor.rest().is_empty() {
        let kind = cursor.u16().ok_or(refuse("end early"))?;
        let value = cursor.counted_u16().ok_or(refuse("end early"))?;
        if found.insert(kind, value).is_some() {
            return Err(refuse("have a field twice"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
