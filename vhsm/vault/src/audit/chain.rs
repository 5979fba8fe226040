use super::line;
use crate::Now;
use nitride_protocol::audit::{
    AuditEntry, AuditKind, AuditPeer, AuditRequest, Digest, ENTRY_HEAD_LEN, chain,
};
use nitride_protocol::limits::{MAX_NAME_LEN, MAX_REASON_LEN};
use nitride_protocol::{EncodeError, KeyName, Operation, Status};
use nitride_secmem::crypto::sha256;

/// What an entry tells, but for its place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// What it is about.
    pub kind: AuditKind,
    /// Who asked; `None` is vhsmd itself.
    pub peer: Option<AuditPeer<'a>>,
    /// The key.
    pub key: Option<KeyName<'a>>,
    /// Its version.
    pub version: Option<u32>,
    /// What was asked.
    pub operation: Option<Operation>,
    /// How it ended.
    pub status: Status,
    /// Which request it was.
    pub request: Option<AuditRequest>,
    /// What the entry stands for.
    pub count: u64,
    /// Why, for people.
    pub reason: &'a str,
}

impl<'a> Event<'a> {
    /// Of vhsmd itself, done.
    pub fn own(kind: AuditKind, reason: &'a str) -> Self {
        Self {
            kind,
            peer: None,
            key: None,
            version: None,
            operation: None,
            status: Status::Ok,
            request: None,
            count: 1,
            reason,
        }
    }
}

/// The newest entry: what the next one follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chain {
    sequence: u64,
    digest: Digest,
}

impl Chain {
    /// Where a chain stands after the entry `sequence` with `digest`; the default is an empty one.
    pub fn at(sequence: u64, digest: Digest) -> Self {
        Self { sequence, digest }
    }

    /// The newest entry's number; 0 is none yet.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Its digest; zero is none yet.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Writes `event` as the next entry into `buffer`, with its length before it. Gives that
    /// length and the chain after it, which counts once the bytes are where they belong.
    ///
    /// # Errors
    /// [`EncodeError`] where the buffer is shorter than [`super::UNIT_LEN`].
    pub fn write(
        &self,
        event: &Event<'_>,
        now: Now,
        buffer: &mut [u8],
    ) -> Result<(usize, Self), EncodeError> {
        let reason = line(event.reason, MAX_REASON_LEN);
        let unit = event.peer.and_then(|peer| peer.unit);
        let unit = unit.map(|unit| line(unit, MAX_NAME_LEN));
        let unit = unit.as_deref().filter(|unit| !unit.is_empty());
        let sequence = self.sequence.saturating_add(1);
        let entry = AuditEntry {
            sequence,
            boot_ms: now.boot_ms,
            wall_secs: now.wall_secs,
            kind: event.kind,
            peer: event.peer.map(|peer| AuditPeer { unit, ..peer }),
            key: event.key,
            version: event.version,
            operation: event.operation,
            status: event.status,
            request: event.request,
            count: event.count,
            reason: &reason,
            previous: &self.digest,
        };
        let len = entry.write(buffer)?;
        let bytes = buffer.get(ENTRY_HEAD_LEN..len).unwrap_or_default();
        let digest = chain(&self.digest, bytes, sha256);
        Ok((len, Self { sequence, digest }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::UNIT_LEN;
    use super::*;
    use nitride_protocol::Message;
    use nitride_protocol::audit::{AuditFile, MAGIC};

    const NOW: Now = Now {
        boot_ms: u64::MAX,
        wall_secs: u64::MAX,
    };

    #[test]
    fn the_longest_event_fits_its_unit_and_decodes() {
        let name = "k".repeat(MAX_NAME_LEN);
        let unit = "\u{1f980}\u{7}".repeat(1000);
        let reason = "\n".repeat(10_000);
        let event = Event {
            kind: AuditKind::Denial,
            peer: Some(AuditPeer {
                uid: u32::MAX,
                pid: u32::MAX,
                unit: Some(&unit),
            }),
            key: Some(KeyName::parse(&name).unwrap()),
            version: Some(u32::MAX),
            operation: Some(Operation::RegisterBuffer),
            status: Status::PolicyInvalid,
            request: Some(AuditRequest {
                connection: u64::MAX,
                request: u32::MAX,
            }),
            count: u64::MAX,
            reason: &reason,
        };
        let mut buffer = [0; UNIT_LEN];
        let chain = Chain::at(u64::MAX - 1, [0xff; 32]);
        let (len, after) = chain.write(&event, NOW, &mut buffer).unwrap();
        let bytes = &buffer[ENTRY_HEAD_LEN..len];
        let entry = AuditEntry::decode_last(nitride_protocol::Reader::new(bytes)).unwrap();
        assert_eq!(entry.sequence, after.sequence());
        assert_eq!(entry.previous, chain.digest());
        assert!(entry.reason.chars().all(|c| c == '?'));
    }

    #[test]
    fn entries_follow_one_another() {
        let mut file = MAGIC.to_vec();
        let mut chain = Chain::default();
        for number in 0..5 {
            let reason = format!("number {number}");
            let mut buffer = [0; UNIT_LEN];
            let event = Event::own(AuditKind::Start, &reason);
            let (len, next) = chain.write(&event, NOW, &mut buffer).unwrap();
            file.extend_from_slice(&buffer[..len]);
            chain = next;
        }
        let linked: Vec<_> = AuditFile::new(&file, sha256)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(linked.len(), 5);
        assert_eq!(linked[4].digest, *chain.digest());
        assert_eq!(linked[0].entry.previous, &[0; 32]);
    }
}
