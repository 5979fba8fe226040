//! What the tests share: one pair of arenas, a vault, a clock that stands until it is moved.

use crate::keys::{CommitRefused, Delivered, Owner, Voucher};
use crate::policy::{
    GateRule, IssuerKey, KeyRule, NamePattern, PeerMatch, PolicySet, ReleaseTo, Rule, Source,
    Unsigned,
};
use crate::{Draw, Now, Outcome, Peer, Session, Socket, Vault, VaultLimits, Want};
use nitride_kbs::resource::ResourcePath;
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::{
    Call, KeyName, KeyType, Message, Operation, OperationSet, Status, open_reply, open_request,
    write_request,
};
use nitride_secmem::{ArenaSizes, BackingChoice, InstallError, install};
use std::marker::PhantomData;
use std::sync::Once;

/// Sets the arenas of this test process up, once.
pub(crate) fn arenas() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let sizes = ArenaSizes {
            records_len: 1 << 20,
            records_max_len: 1 << 20,
            heap_len: 4 << 20,
        };
        match install(sizes, BackingChoice::Best, Vec::new()) {
            Ok(_) | Err(InstallError::AlreadyInstalled) => {}
            Err(error) => panic!("{error}"),
        }
    });
}

/// Randomness that repeats, and never gives the same bytes twice.
#[derive(Debug, Clone)]
pub(crate) struct Sequence(pub(crate) u64);

impl Draw for Sequence {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            // splitmix64.
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let bytes = (z ^ (z >> 31)).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

pub(crate) struct World {
    pub(crate) vault: Vault,
    pub(crate) now: Now,
    pub(crate) draw: Sequence,
}

/// How a request ended, if not with a result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Not {
    Done(Status),
    Yet(Want),
}

/// A reply that was ok; still encoded, since messages borrow from it.
pub(crate) struct Answered<C> {
    packet: Vec<u8>,
    call: PhantomData<C>,
}

impl<C: Call> Answered<C> {
    pub(crate) fn result(&self) -> C::Reply<'_> {
        let (_, params) = open_reply(&self.packet).unwrap();
        C::Reply::decode_last(params).unwrap()
    }
}

impl<C> std::fmt::Debug for Answered<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answered")
    }
}

impl<C> PartialEq for Answered<C> {
    fn eq(&self, other: &Self) -> bool {
        self.packet == other.packet
    }
}

impl World {
    pub(crate) fn new(policy: PolicySet) -> Self {
        let limits = VaultLimits {
            keys: 1000,
            keys_per_uid: 100,
            expanded_len: 256 << 10,
        };
        Self::with_limits(policy, limits)
    }

    pub(crate) fn with_limits(policy: PolicySet, limits: VaultLimits) -> Self {
        arenas();
        Self {
            vault: Vault::new(policy, limits, Vec::new()).unwrap().0,
            now: Now {
                boot_ms: 1_000_000,
                wall_secs: 1_800_000_000,
            },
            draw: Sequence(7),
        }
    }

    /// A session over the application socket.
    pub(crate) fn application(&self, uid: u32) -> Session {
        self.vault.session(peer(uid), Socket::Application)
    }

    /// A session over the admin socket.
    pub(crate) fn admin(&self, uid: u32) -> Session {
        self.vault.session(peer(uid), Socket::Admin)
    }

    pub(crate) fn ask<'a, C: Call + Message<'a>>(
        &mut self,
        session: &mut Session,
        call: &C,
    ) -> Result<Answered<C>, Not> {
        ask(&self.vault, session, self.now, &mut self.draw, call)
    }

    /// Moves both clocks.
    pub(crate) fn pass_secs(&mut self, secs: u64) {
        self.now.boot_ms += secs * 1000;
        self.now.wall_secs += secs;
    }

    /// Approves a gate, as of a moment in the past.
    pub(crate) fn approve(&self, gate: &str, age_ms: u64) {
        let policy = self.vault.policy();
        let rule = policy.gate_rule(gate).unwrap();
        let gates = &self.vault.gates;
        gates.approve_unjudged(rule, self.now.boot_ms - age_ms);
    }

    /// Delivers version 1 of a key as a round does, with an envelope that narrows nothing.
    pub(crate) fn deliver(&mut self, name: &str, material: &[u8]) {
        self.deliver_with(name, material, |_| {}).unwrap();
    }

    /// Delivers a key with what `change` makes of its envelope.
    pub(crate) fn deliver_with(
        &mut self,
        name: &str,
        material: &[u8],
        change: impl FnOnce(&mut Delivered<'_>),
    ) -> Result<(), CommitRefused> {
        let policy = self.vault.policy();
        let rule = policy.key_rule(name).unwrap();
        let Source::Kbs { path, .. } = &rule.source else {
            panic!("{name} is not provisioned");
        };
        let mut delivered = Delivered {
            policy: &policy,
            rule,
            voucher: Voucher::Owner(Box::new(Owner {
                point: [4; 65],
                tenant: None,
            })),
            in_clear: false,
            version: 1,
            operations: rule.operations,
            wrappable_by: rule.wrappable_by.clone(),
            release_to: rule.release_to.clone(),
            disks: None,
            lease_secs: None,
            told_lease_secs: None,
            not_after_secs: None,
            origin_uri: path.to_uri(),
            made_boot_ms: self.now.boot_ms,
            material,
        };
        change(&mut delivered);
        let keys = &self.vault.keys;
        keys.commit_provisioned(&delivered, self.now, &mut self.draw)
    }
}

/// Sends one request through the codec and reads the reply.
pub(crate) fn ask<'a, C: Call + Message<'a>>(
    vault: &Vault,
    session: &mut Session,
    now: Now,
    draw: &mut dyn Draw,
    call: &C,
) -> Result<Answered<C>, Not> {
    let mut packet = vec![0; MAX_PACKET_LEN];
    let len = write_request(&mut packet, 77, C::OPERATION, call).unwrap();
    let (head, params) = open_request(&packet[..len]).unwrap();
    let mut reply = vec![0; MAX_PACKET_LEN];
    match vault.perform(session, head, params, now, draw, &mut reply) {
        Outcome::Reply(len) => {
            reply.truncate(len);
            let (head, _) = open_reply(&reply).unwrap();
            assert_eq!(head.id, 77);
            // The reason is there exactly when there is a refusal, and says what the wire says.
            let refused = session.refusal().map(crate::Refusal::status);
            assert_eq!(refused.unwrap_or(Status::Ok), head.status);
            match head.status {
                Status::Ok => Ok(Answered {
                    packet: reply,
                    call: PhantomData,
                }),
                status => Err(Not::Done(status)),
            }
        }
        Outcome::Park(want) => Err(Not::Yet(want)),
        outcome => panic!("unexpected outcome {outcome:?}"),
    }
}

pub(crate) fn name(text: &str) -> KeyName<'_> {
    KeyName::parse(text).unwrap()
}

pub(crate) fn peer(uid: u32) -> Peer {
    Peer {
        uid,
        gid: uid,
        groups: Vec::new(),
        pid: 4242,
        unit: Some(format!("unit-{uid}.service")),
        cgroup: Some(format!("/system.slice/unit-{uid}.service")),
        executable_digest: None,
        per_message: false,
    }
}

pub(crate) fn uid(uid: u32) -> PeerMatch {
    PeerMatch {
        uid: Some(uid),
        ..PeerMatch::default()
    }
}

/// A rule for one user.
pub(crate) fn rule(of_uid: u32, keys: &str, operations: &[Operation]) -> Rule {
    Rule {
        name: format!("uid {of_uid} on {keys}"),
        keys: vec![NamePattern::parse(keys).unwrap()],
        peers: vec![uid(of_uid)],
        operations: OperationSet::of(operations),
    }
}

/// A key rule that allows all that the type can.
pub(crate) fn key(name: &str, key_type: KeyType, source: Source) -> KeyRule {
    KeyRule {
        name: name.parse().unwrap(),
        key_type,
        signer: match source {
            Source::Kbs { .. } => vec!["owner".into()],
            Source::Generate | Source::Local => vec![],
        },
        source,
        unsigned: Unsigned::Refuse,
        plaintext_courier: false,
        operations: key_type.operations(),
        gate: None,
        release_to: vec![],
        measure_release: false,
        lease_secs: None,
        not_before: None,
        not_after: None,
        max_uses: None,
        rate: None,
        min_version: None,
        rotate_after_secs: None,
        rotate_after_uses: None,
        wrappable_by: vec![],
        prefetch: false,
        tenant: None,
        seal: false,
    }
}

pub(crate) fn kbs(path: &str) -> Source {
    Source::Kbs {
        services: vec!["main".into()],
        path: ResourcePath::parse(path).unwrap(),
    }
}

/// A `secret` that goes to one user.
pub(crate) fn secret_for(name: &str, source: Source, to: ReleaseTo) -> KeyRule {
    KeyRule {
        release_to: vec![to],
        ..key(name, KeyType::Secret, source)
    }
}

pub(crate) fn gate(name: &str, max_age_ms: u64) -> GateRule {
    GateRule {
        name: name.into(),
        service: "main".into(),
        issuer: "issuer".into(),
        issuer_keys: vec![IssuerKey::P256([4; 65])],
        audience: "nitride".into(),
        policy_id: "policy".into(),
        tees: vec!["snp".into()],
        max_age_ms,
        danger_accept_simulated: false,
    }
}

pub(crate) fn service(name: &str) -> crate::policy::Service {
    crate::policy::Service {
        name: name.into(),
        tee_key: crate::policy::TeeKeyChoice::default(),
        plaintext_courier: false,
    }
}

/// A policy with user 0 as its administrator and one service and signer to refer to.
pub(crate) fn policy(rules: Vec<Rule>, keys: Vec<KeyRule>) -> PolicySet {
    PolicySet {
        generation: 1,
        digest: [0xd1; 32],
        admins: vec![uid(0)],
        rules,
        keys,
        gates: vec![gate("vm", 60_000)],
        services: vec![service("main")],
        listed_signers: vec![],
        signers: vec![crate::policy::Signer {
            name: "owner".into(),
            kid: vec![1],
            point: [4; 65],
        }],
        seal: None,
    }
}

/// Every operation of the application socket.
pub(crate) const EVERYTHING: &[Operation] = &Operation::ALL;
