use nitride_protocol::audit::{AuditEntry, ENTRY_HEAD_LEN, MAX_ENTRY_LEN, Trail};
use nitride_protocol::{Message, Reader};
use nitride_secmem::crypto::sha256;

/// The audit's files: an entry that is read has one spelling, and no bytes upset who verifies them,
/// as a file by itself and as two that follow one another.
pub fn audit(data: &[u8]) {
    if let Ok(entry) = AuditEntry::decode_last(Reader::new(data)) {
        let mut buffer = vec![0; ENTRY_HEAD_LEN + data.len()];
        assert_eq!(entry.write(&mut buffer), Ok(ENTRY_HEAD_LEN + data.len()));
        assert_eq!(&buffer[ENTRY_HEAD_LEN..], data);
        assert!(entry.reason.len() <= MAX_ENTRY_LEN);
    }
    let mut trail = Trail::new(sha256);
    let mut seen = 0_u64;
    let split = data.len() / 2;
    for file in [data, &data[..split], &data[split..]] {
        if trail.add(file, |_| seen += 1).is_err() {
            return;
        }
    }
    if let Ok(verified) = trail.finish() {
        assert_eq!(verified.entries, seen);
    }
}
