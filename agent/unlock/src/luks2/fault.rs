use super::json::JsonFault;
use std::fmt;
use thiserror::Error;

/// Which of the two copies of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Primary,
    Backup,
}

impl fmt::Display for Which {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        })
    }
}

/// Why a header is not to be opened by: each says which thing, and [`HeaderFault::remedy`] what to
/// do about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum HeaderFault {
    #[error("there are {len} bytes, fewer than a LUKS2 header and its data have")]
    TooShort { len: u64 },
    #[error("the {copy} header has no LUKS2 magic")]
    NotLuks2 { copy: Which },
    #[error("the {copy} header is of version {found}, not 2")]
    Version { copy: Which, found: u16 },
    #[error("the {copy} header says that it has {found} bytes")]
    Size { copy: Which, found: u64 },
    #[error("the {copy} header says that it stands at byte {found}")]
    Place { copy: Which, found: u64 },
    #[error("the {copy} header's checksum is not by SHA-256")]
    ChecksumAlgorithm { copy: Which },
    #[error("the checksum of neither header is right")]
    Checksum,
    #[error("the {copy} header's {field} is not what it may be")]
    Text { copy: Which, field: &'static str },
    #[error("the primary and the backup header disagree on {what}")]
    CopiesDisagree { what: &'static str },
    #[error("the {copy} header's JSON is followed by other bytes")]
    JsonTail { copy: Which },
    #[error("the {copy} header's JSON is not plain")]
    Json {
        copy: Which,
        #[source]
        source: JsonFault,
    },
    #[error("{member} of {place} is missing, or not what it may be")]
    Member { place: String, member: &'static str },
    #[error("{place} has the unknown member {member:?}")]
    UnknownMember { place: String, member: String },
    #[error("{place} says that the volume is being encrypted anew")]
    Reencryption { place: String },
    #[error("the header has the requirement {name:?}")]
    Requirement { name: String },
    #[error("the header has the flag {name:?}")]
    Flag { name: String },
    #[error("the header's areas would take {len} bytes")]
    AreasTooLarge { len: u64 },
    #[error("segment {number} is of the type {found:?}, not crypt")]
    SegmentType { number: u8, found: String },
    #[error("segment 0 is not the only one: there are {found}")]
    Segments { found: usize },
    #[error("segment 0 has the flag {name:?}")]
    SegmentFlag { name: String },
    #[error("segment 0 shifts its initialisation vectors by {found}")]
    IvTweak { found: u64 },
    #[error("{place} does not encrypt: its cipher is {found:?}")]
    NullCipher { place: String, found: String },
    #[error("{place} has the cipher {found:?}, which is not known to be sound")]
    Cipher { place: String, found: String },
    #[error("segment 0 has the integrity {found:?}, which is not known to be sound")]
    Integrity { found: String },
    #[error("{place} has a key of {found} bits, which its cipher does not take")]
    KeyLen { place: String, found: u64 },
    #[error("segment 0 has sectors of {found} bytes")]
    SectorLen { found: u64 },
    #[error("segment 0 begins at byte {offset}, within the header's first {header} bytes")]
    SegmentInHeader { offset: u64, header: u64 },
    #[error("segment 0 ends at byte {end}, and the device at byte {device}")]
    SegmentBeyondDevice { end: u64, device: u64 },
    #[error("there is no keyslot")]
    NoKeyslot,
    #[error("keyslot {number} is of the type {found:?}, not luks2")]
    KeyslotType { number: u8, found: String },
    #[error("the area of keyslot {number} is not within the keyslots' area, or too small")]
    Area { number: u8 },
    #[error("the areas of keyslots {number} and {other} overlap")]
    AreasOverlap { number: u8, other: u8 },
    #[error("keyslot {number} is split by {what}, which is not known to be sound")]
    Split { number: u8, what: String },
    #[error("{place} has the weak or unknown key derivation {found}")]
    WeakKdf { place: String, found: String },
    #[error("{place} has the key derivation {found}, which would take too much")]
    CostlyKdf { place: String, found: String },
    #[error("there are {found} digests, not one")]
    Digests { found: usize },
    #[error("digest 0 does not cover segment 0 alone")]
    DigestSegments,
    #[error("digest 0 does not cover keyslot {number}")]
    DigestWithoutSlot { number: u8 },
    #[error("digest 0 covers keyslot {number}, which is not there")]
    DigestOfNoSlot { number: u8 },
    #[error("token {number} is of the type {found:?}")]
    Token { number: u8, found: String },
    #[error("the volume is {found}, and another is expected")]
    OtherUuid { found: String },
    #[error("the {part} is {found}, and expected is {expected}")]
    OtherSegment {
        part: &'static str,
        found: String,
        expected: String,
    },
    #[error("the digest object is another than expected, and so is the volume key")]
    OtherVolumeKey,
    #[error("the header on the disk is no longer the one that was checked")]
    Changed,
}

const CRYPTSETUP_WRITES: &str = "cryptsetup does not write this: somebody else has, so do not \
    unlock it; restore the header from a backup of your own";
const MAKE_ANEW: &str = "if it was you, make the volume anew with cryptsetup's defaults; if not, \
    somebody has changed its header: do not unlock it";
const RESTORE: &str = "the header is damaged or was replaced: restore it from a backup of your own";
const COMPARE: &str = "it is another disk, or somebody has changed its header; if you made it anew, \
    state what nitride-unlock status prints of it, in the measured configuration";

impl HeaderFault {
    /// The fault's name, for scripts and tests.
    pub(crate) fn name(&self) -> &'static str {
        self.told().0
    }

    /// What to do about it, as a sentence without its stop.
    pub(crate) fn remedy(&self) -> &'static str {
        self.told().1
    }

    fn told(&self) -> (&'static str, &'static str) {
        match self {
            Self::TooShort { .. } => ("too-short", "name the device that the volume is on"),
            Self::NotLuks2 { .. } => ("not-luks2", "name the device that the volume is on"),
            Self::Version { .. } => ("version", "convert the volume: cryptsetup convert"),
            Self::Size { .. } => (
                "size",
                "make the volume with --luks2-metadata-size of at most 128k; if you did, somebody has \
                 changed its header: do not unlock it",
            ),
            Self::Place { .. } => ("place", CRYPTSETUP_WRITES),
            Self::ChecksumAlgorithm { .. } => ("checksum-algorithm", CRYPTSETUP_WRITES),
            Self::Checksum => ("checksum", RESTORE),
            Self::Text { .. } => ("text", CRYPTSETUP_WRITES),
            Self::CopiesDisagree { .. } => ("copies-disagree", RESTORE),
            Self::JsonTail { .. } => ("json-tail", CRYPTSETUP_WRITES),
            Self::Json { .. } => ("json", CRYPTSETUP_WRITES),
            Self::Member { .. } => ("member", CRYPTSETUP_WRITES),
            Self::UnknownMember { .. } => ("unknown-member", CRYPTSETUP_WRITES),
            Self::Reencryption { .. } => (
                "reencryption",
                "finish it on a machine that you trust: cryptsetup reencrypt --resume-only; if \
                 nobody has begun one, do not unlock the volume",
            ),
            Self::Requirement { .. } => ("requirement", MAKE_ANEW),
            Self::Flag { .. } => (
                "flag",
                "name it in `flags` of the volume if it is wanted, or take it away: cryptsetup refresh \
                 --persistent",
            ),
            Self::AreasTooLarge { .. } => ("areas-too-large", MAKE_ANEW),
            Self::SegmentType { .. } => ("segment-type", MAKE_ANEW),
            Self::Segments { .. } => ("segments", MAKE_ANEW),
            Self::SegmentFlag { .. } => ("segment-flag", MAKE_ANEW),
            Self::IvTweak { .. } => ("iv-tweak", MAKE_ANEW),
            Self::NullCipher { .. } => (
                "null-cipher",
                "somebody has changed the header so that what is written can be read: do not \
                 unlock it, and restore it from a backup of your own",
            ),
            Self::Cipher { .. } => ("cipher", MAKE_ANEW),
            Self::Integrity { .. } => ("integrity", MAKE_ANEW),
            Self::KeyLen { .. } => ("key-size", MAKE_ANEW),
            Self::SectorLen { .. } => ("sector-size", MAKE_ANEW),
            Self::SegmentInHeader { .. } => (
                "segment-in-header",
                "a detached header is not taken: make the volume with its header before the data",
            ),
            Self::SegmentBeyondDevice { .. } => (
                "segment-beyond-device",
                "name the device that the volume is on, whole",
            ),
            Self::NoKeyslot => ("no-keyslot", RESTORE),
            Self::KeyslotType { .. } => ("keyslot-type", MAKE_ANEW),
            Self::Area { .. } => ("area", CRYPTSETUP_WRITES),
            Self::AreasOverlap { .. } => ("areas-overlap", CRYPTSETUP_WRITES),
            Self::Split { .. } => ("split", MAKE_ANEW),
            Self::WeakKdf { .. } => (
                "weak-kdf",
                "convert the slot: cryptsetup luksConvertKey --pbkdf argon2id",
            ),
            Self::CostlyKdf { .. } => (
                "costly-kdf",
                "convert the slot: cryptsetup luksConvertKey --pbkdf-memory",
            ),
            Self::Digests { .. } => (
                "digests",
                "remove unbound keyslots, and whatever else has a digest of its own",
            ),
            Self::DigestSegments => ("digest-segments", MAKE_ANEW),
            Self::DigestWithoutSlot { .. } => (
                "digest-without-slot",
                "remove the slot, which does not belong to the volume",
            ),
            Self::DigestOfNoSlot { .. } => ("digest-of-no-slot", CRYPTSETUP_WRITES),
            Self::Token { .. } => (
                "token",
                "remove it with cryptsetup token remove, or name its type in `tokens` of the volume",
            ),
            Self::OtherUuid { .. } => ("other-uuid", COMPARE),
            Self::OtherSegment { .. } => ("other-segment", COMPARE),
            Self::OtherVolumeKey => ("other-volume-key", COMPARE),
            Self::Changed => (
                "changed",
                "if nobody was changing the volume's slots, somebody else changes the header while \
                 it is read: do not unlock it",
            ),
        }
    }
}
