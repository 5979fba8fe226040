//! A vault with one peer that may do everything, for the targets that go through its door.

use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::{
    Call, KeyName, KeyType, Message, OperationSet, Status, application::Generate, open_reply,
    open_request, write_request,
};
use nitride_secmem::{ArenaSizes, BackingChoice, install};
use nitride_vault::policy::{NamePattern, PeerMatch, PolicySet, Rule};
use nitride_vault::{Draw, Now, Outcome, Peer, Session, Socket, Vault, VaultLimits};

pub(crate) const NOW: Now = Now {
    boot_ms: 1_000_000,
    wall_secs: 1_800_000_000,
};

/// A peer's session with its vault.
pub(crate) struct Door {
    pub(crate) vault: Vault,
    pub(crate) session: Session,
    pub(crate) draw: Counted,
}

/// Bytes that repeat in no run.
pub(crate) struct Counted(u64);

impl Draw for Counted {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&self.0.to_le_bytes()[..chunk.len()]);
        }
    }
}

impl Door {
    /// Its arenas are this process's: once.
    pub(crate) fn open() -> Self {
        let sizes = ArenaSizes {
            records_len: 1 << 20,
            records_max_len: 1 << 20,
            heap_len: 4 << 20,
        };
        install(sizes, BackingChoice::Best, Vec::new()).expect("the arenas can be made");
        let rule = Rule {
            name: "all".into(),
            keys: vec![NamePattern::parse("**").expect("a pattern")],
            peers: vec![PeerMatch {
                uid: Some(1),
                ..PeerMatch::default()
            }],
            operations: OperationSet::ALL,
        };
        let policy = PolicySet {
            rules: vec![rule],
            ..PolicySet::default()
        };
        let limits = VaultLimits {
            keys: 100,
            keys_per_uid: 100,
            expanded_len: 256 << 10,
        };
        let (vault, _) = Vault::new(policy, limits, Vec::new()).expect("an empty vault");
        let peer = Peer {
            uid: 1,
            gid: 1,
            groups: Vec::new(),
            pid: 1,
            unit: None,
            cgroup: None,
            executable_digest: None,
            per_message: false,
        };
        let session = vault.session(peer, Socket::Application);
        Self {
            vault,
            session,
            draw: Counted(7),
        }
    }

    pub(crate) fn generate(&mut self, key: &str, key_type: KeyType, wrappable_by: &[&str]) {
        let generate = Generate {
            key: name(key),
            key_type,
            operations: None,
            wrappable_by: wrappable_by.iter().copied().map(name).collect(),
        };
        let (outcome, reply) = self.ask(&generate);
        assert_eq!(status(&outcome, &reply), Some(Status::Ok));
    }

    /// One request, and what it came to, with the reply's bytes.
    pub(crate) fn ask<'a, C: Call + Message<'a>>(&mut self, call: &C) -> (Outcome, Vec<u8>) {
        let mut packet = vec![0; MAX_PACKET_LEN];
        let len = write_request(&mut packet, 5, C::OPERATION, call).expect("a packet");
        let (head, params) = open_request(&packet[..len]).expect("a request");
        let mut reply = vec![0; MAX_PACKET_LEN];
        let (session, draw) = (&mut self.session, &mut self.draw);
        let outcome = self
            .vault
            .perform(session, head, params, NOW, draw, &mut reply);
        if let Outcome::Reply(len) = outcome {
            reply.truncate(len);
        }
        (outcome, reply)
    }
}

/// How it was answered, if it was.
pub(crate) fn status(outcome: &Outcome, reply: &[u8]) -> Option<Status> {
    let Outcome::Reply(len) = outcome else {
        return None;
    };
    open_reply(&reply[..*len]).ok().map(|(head, _)| head.status)
}

pub(crate) fn name(text: &str) -> KeyName<'_> {
    KeyName::parse(text).expect("a name")
}
