//! Whether a header is to be opened by: the rules, each with its own fault.

use super::Header;
use super::fault::HeaderFault;
use super::metadata::{Digest, Kdf, Keyslot, Segment};
use nitride_kbs::disk::DiskExpectation;

/// Ciphers of the data: with what integrity, and with how many bytes of key. What is not here is
/// refused, cryptsetup's defaults are.
const DATA_CIPHERS: [(&str, Option<&str>, &[u64]); 5] = [
    ("aes-xts-plain64", None, &[32, 64]),
    ("aes-xts-plain64", Some("hmac(sha256)"), &[64, 96]),
    ("aes-xts-plain64", Some("hmac(sha512)"), &[96, 128]),
    ("aes-xts-random", Some("hmac(sha256)"), &[64, 96]),
    ("aes-xts-random", Some("hmac(sha512)"), &[96, 128]),
];
/// The cipher of a slot's material.
const SLOT_CIPHER: &str = "aes-xts-plain64";
const SLOT_KEY_LENS: [u64; 2] = [32, 64];
/// What cryptsetup splits a slot's key into, always.
const STRIPES: u64 = 4000;
const HASHES: [&str; 2] = ["sha256", "sha512"];
/// cryptsetup's own least. A passphrase that the vault or the service made needs no stretching.
const LEAST_ITERATIONS: u64 = 1000;
const LEAST_PASSES: u64 = 4;
const LEAST_MEMORY_KIB: u64 = 32;
/// What takes more is a denial of service: minutes of work, or more memory than an initrd has.
const MOST_ITERATIONS: u64 = 100_000_000;
const MOST_PASSES: u64 = 1000;
const MOST_MEMORY_KIB: u64 = 4 << 20;
const MOST_THREADS: u64 = 4;
const LEAST_SALT_LEN: usize = 16;
/// As of SHA-256.
const LEAST_DIGEST_LEN: usize = 32;
const SECTOR_LENS: [u64; 4] = [512, 1024, 2048, 4096];
/// Areas begin at pages.
const AREA_ALIGNMENT: u64 = 4096;

/// What a volume's header may say; each "don't care" is spelt out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) expected: Expected,
    /// Types of tokens that may stand in the header.
    pub(crate) tokens: Vec<String>,
    /// Persistent flags that may stand in the header.
    pub(crate) flags: Vec<String>,
}

/// Which volume it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// One of these.
    These(Vec<DiskExpectation>),
    /// Any with a sound header: whoever holds the disk can put another one in its place.
    DangerAny,
}

/// A header that may be opened by. Only [`CheckedHeader::of`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckedHeader {
    header: Header,
    is: DiskExpectation,
}

impl CheckedHeader {
    /// Applies every rule; the first that is broken is the fault.
    pub(crate) fn of(
        header: Header,
        device_len: u64,
        wanted: &Wanted,
    ) -> Result<Self, HeaderFault> {
        let segment = only_segment(&header)?;
        check_segment(&header, segment, device_len)?;
        let key_len = check_keyslots(&header)?;
        check_data_cipher(segment, key_len)?;
        let digest = check_digest(&header)?;
        check_extras(&header, wanted)?;
        let is = DiskExpectation {
            uuid: header.uuid.clone(),
            cipher: segment.cipher.clone(),
            // Both are out of short lists.
            key_bits: u32::try_from(8 * key_len).unwrap_or(u32::MAX),
            sector_len: u32::try_from(segment.sector_len).unwrap_or(u32::MAX),
            offset: segment.offset,
            len: segment.len,
            integrity: segment.integrity.clone(),
            digest: digest.fingerprint,
        };
        if let Expected::These(volumes) = &wanted.expected {
            compare(&is, volumes)?;
        }
        Ok(Self { header, is })
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// What an envelope states of this volume.
    pub(crate) fn is(&self) -> &DiskExpectation {
        &self.is
    }
}

fn only_segment(header: &Header) -> Result<&Segment, HeaderFault> {
    match header.metadata.segments.as_slice() {
        [segment] if segment.number == 0 => Ok(segment),
        segments => Err(HeaderFault::Segments {
            found: segments.len(),
        }),
    }
}

fn check_segment(header: &Header, segment: &Segment, device: u64) -> Result<(), HeaderFault> {
    if let Some(name) = segment.flags.first() {
        let place = "segment 0".to_owned();
        return Err(
            match name.contains("reencrypt") || name.starts_with("backup") {
                true => HeaderFault::Reencryption { place },
                false => HeaderFault::SegmentFlag { name: name.clone() },
            },
        );
    }
    if segment.iv_tweak != 0 {
        let found = segment.iv_tweak;
        return Err(HeaderFault::IvTweak { found });
    }
    check_not_null("segment 0", &segment.cipher)?;
    if !SECTOR_LENS.contains(&segment.sector_len) {
        let found = segment.sector_len;
        return Err(HeaderFault::SectorLen { found });
    }
    if segment.offset < header.len() {
        return Err(HeaderFault::SegmentInHeader {
            offset: segment.offset,
            header: header.len(),
        });
    }
    let len = segment.len.unwrap_or(segment.sector_len);
    let end = segment.offset.saturating_add(len);
    let is_whole = |bytes: u64| bytes.is_multiple_of(segment.sector_len);
    if len == 0 || !is_whole(len) || !is_whole(segment.offset) {
        let found = segment.sector_len;
        return Err(HeaderFault::SectorLen { found });
    }
    match end <= device {
        true => Ok(()),
        false => Err(HeaderFault::SegmentBeyondDevice { end, device }),
    }
}

/// Every slot holds a key of one length, which is returned.
fn check_keyslots(header: &Header) -> Result<u64, HeaderFault> {
    let slots = &header.metadata.keyslots;
    let Some(first) = slots.first() else {
        return Err(HeaderFault::NoKeyslot);
    };
    for (at, slot) in slots.iter().enumerate() {
        check_keyslot(header, slot)?;
        if slot.key_len != first.key_len {
            return Err(HeaderFault::KeyLen {
                place: format!("keyslot {}", slot.number),
                found: slot.key_len.saturating_mul(8),
            });
        }
        let overlaps = |other: &&Keyslot| {
            let (one, two) = (&slot.area, &other.area);
            one.offset < two.offset + two.len && two.offset < one.offset + one.len
        };
        if let Some(other) = slots[..at].iter().find(overlaps) {
            return Err(HeaderFault::AreasOverlap {
                number: slot.number,
                other: other.number,
            });
        }
    }
    Ok(first.key_len)
}

fn check_keyslot(header: &Header, slot: &Keyslot) -> Result<(), HeaderFault> {
    let (number, area) = (slot.number, &slot.area);
    let place = format!("keyslot {number}");
    check_not_null(&place, &area.cipher)?;
    if area.cipher != SLOT_CIPHER {
        let found = area.cipher.clone();
        return Err(HeaderFault::Cipher { place, found });
    }
    if !SLOT_KEY_LENS.contains(&area.key_len) {
        let found = area.key_len.saturating_mul(8);
        return Err(HeaderFault::KeyLen { place, found });
    }
    if slot.stripes != STRIPES {
        let what = format!("{} stripes", slot.stripes);
        return Err(HeaderFault::Split { number, what });
    }
    if !HASHES.contains(&slot.split_hash.as_str()) {
        let what = slot.split_hash.clone();
        return Err(HeaderFault::Split { number, what });
    }
    let end = area.offset.checked_add(area.len);
    let is_within = area.offset >= 2 * header.size as u64
        && end.is_some_and(|end| end <= header.len())
        && area.offset.is_multiple_of(AREA_ALIGNMENT);
    if !is_within || area.len < slot.key_len.saturating_mul(STRIPES) {
        return Err(HeaderFault::Area { number });
    }
    check_kdf(place, &slot.kdf)
}

fn check_kdf(place: String, kdf: &Kdf) -> Result<(), HeaderFault> {
    let found = kdf.to_string();
    let (is_weak, is_costly) = match kdf {
        Kdf::Pbkdf2 { hash, iterations } => (
            !HASHES.contains(&hash.as_str()) || *iterations < LEAST_ITERATIONS,
            *iterations > MOST_ITERATIONS,
        ),
        Kdf::Argon2id {
            passes,
            memory_kib,
            threads,
        } => (
            *passes < LEAST_PASSES || *memory_kib < LEAST_MEMORY_KIB || *threads == 0,
            *passes > MOST_PASSES || *memory_kib > MOST_MEMORY_KIB || *threads > MOST_THREADS,
        ),
        Kdf::Other(_) => (true, false),
    };
    match (is_weak, is_costly) {
        (true, _) => Err(HeaderFault::WeakKdf { place, found }),
        (false, true) => Err(HeaderFault::CostlyKdf { place, found }),
        (false, false) => Ok(()),
    }
}

fn check_data_cipher(segment: &Segment, key_len: u64) -> Result<(), HeaderFault> {
    let place = "segment 0".to_owned();
    let with_cipher = || DATA_CIPHERS.iter().filter(|row| row.0 == segment.cipher);
    if with_cipher().next().is_none() {
        let found = segment.cipher.clone();
        return Err(HeaderFault::Cipher { place, found });
    }
    let integrity = segment.integrity.as_deref();
    let Some((_, _, key_lens)) = with_cipher().find(|row| row.1 == integrity) else {
        let found = integrity.unwrap_or("none").to_owned();
        return Err(HeaderFault::Integrity { found });
    };
    match key_lens.contains(&key_len) {
        true => Ok(()),
        false => Err(HeaderFault::KeyLen {
            place,
            found: key_len.saturating_mul(8),
        }),
    }
}

/// That one digest covers the segment and every slot.
fn check_digest(header: &Header) -> Result<&Digest, HeaderFault> {
    let digest = match header.metadata.digests.as_slice() {
        [digest] => digest,
        digests => {
            let found = digests.len();
            return Err(HeaderFault::Digests { found });
        }
    };
    if digest.segments != [0] {
        return Err(HeaderFault::DigestSegments);
    }
    let slots = &header.metadata.keyslots;
    if let Some(slot) = slots
        .iter()
        .find(|slot| !digest.keyslots.contains(&slot.number))
    {
        let number = slot.number;
        return Err(HeaderFault::DigestWithoutSlot { number });
    }
    let is_there = |number: &u8| slots.iter().any(|slot| slot.number == *number);
    if let Some(number) = digest.keyslots.iter().find(|number| !is_there(number)) {
        return Err(HeaderFault::DigestOfNoSlot { number: *number });
    }
    let kdf = Kdf::Pbkdf2 {
        hash: digest.hash.clone(),
        iterations: digest.iterations,
    };
    let place = format!("digest {}", digest.number);
    check_kdf(place.clone(), &kdf)?;
    // A short value has other keys that give it, and so is the digest of more than one.
    for (member, len, least) in [
        ("salt", digest.salt_len, LEAST_SALT_LEN),
        ("digest", digest.len, LEAST_DIGEST_LEN),
    ] {
        if len < least {
            return Err(HeaderFault::Member { place, member });
        }
    }
    Ok(digest)
}

fn check_extras(header: &Header, wanted: &Wanted) -> Result<(), HeaderFault> {
    let tokens = &header.metadata.tokens;
    if let Some(token) = tokens
        .iter()
        .find(|token| !wanted.tokens.contains(&token.kind))
    {
        return Err(HeaderFault::Token {
            number: token.number,
            found: token.kind.clone(),
        });
    }
    let mut flags = header.metadata.config.flags.iter();
    match flags.find(|flag| !wanted.flags.contains(flag)) {
        None => Ok(()),
        Some(name) => Err(HeaderFault::Flag { name: name.clone() }),
    }
}

/// cryptsetup's names of the cipher that is none, whatever mode follows.
fn check_not_null(place: &str, cipher: &str) -> Result<(), HeaderFault> {
    let is_null = cipher.is_empty() || cipher.contains("null");
    match is_null {
        false => Ok(()),
        true => Err(HeaderFault::NullCipher {
            place: place.to_owned(),
            found: cipher.to_owned(),
        }),
    }
}

/// That the volume is one of these.
fn compare(is: &DiskExpectation, volumes: &[DiskExpectation]) -> Result<(), HeaderFault> {
    if volumes.contains(is) {
        return Ok(());
    }
    let Some(meant) = volumes.iter().find(|volume| volume.uuid == is.uuid) else {
        let found = is.uuid.clone();
        return Err(HeaderFault::OtherUuid { found });
    };
    let part = |part, found: &dyn ToString, expected: &dyn ToString| {
        let (found, expected) = (found.to_string(), expected.to_string());
        (found != expected).then_some(HeaderFault::OtherSegment {
            part,
            found,
            expected,
        })
    };
    let len = |volume: &DiskExpectation| match volume.len {
        None => "dynamic".to_owned(),
        Some(len) => len.to_string(),
    };
    let integrity =
        |volume: &DiskExpectation| volume.integrity.clone().unwrap_or("none".to_owned());
    let other = part("cipher", &is.cipher, &meant.cipher)
        .or_else(|| part("number of key bits", &is.key_bits, &meant.key_bits))
        .or_else(|| part("offset", &is.offset, &meant.offset))
        .or_else(|| part("length", &len(is), &len(meant)))
        .or_else(|| part("sector size", &is.sector_len, &meant.sector_len))
        .or_else(|| part("integrity", &integrity(is), &integrity(meant)));
    Err(other.unwrap_or(HeaderFault::OtherVolumeKey))
}
