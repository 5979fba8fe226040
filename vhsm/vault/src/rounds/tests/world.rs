//! A vault with a policy, a clock that stands until it is moved, and a courier's view of a round.

use super::service::{self, KID, OWNER, STRANGER};
use crate::policy::{
    GateRule, IssuerKey, KeyRule, PolicySet, ReleaseTo, Service, Signer, Source, TeeKeyChoice,
    Unsigned,
};
use crate::rounds::{EvidenceWanted, Order, RoundError, RoundId, Settled};
use crate::{Draw, Now, Vault, VaultLimits, Want};
use nitride_kbs::resource::ResourcePath;
use nitride_protocol::{KeyType, Operation, OperationSet};
use nitride_secmem::{ArenaSizes, BackingChoice};
use std::cell::Cell;

pub(super) const NONCE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub(super) const SIGNING: &str = "app/signing";
pub(super) const SIGNING_PATH: &str = "default/key/signing";
pub(super) const SECRET: &str = "app/secret";
pub(super) const SECRET_PATH: &str = "default/secret/one";
pub(super) const PLAIN: &str = "app/plain";
pub(super) const PLAIN_PATH: &str = "default/secret/plain";
pub(super) const ELSEWHERE: &str = "app/elsewhere";
pub(super) const GATE: &str = "trusted";

/// Counts, so that every draw differs.
#[derive(Debug, Default)]
pub(super) struct Counter(u64);

impl Draw for Counter {
    fn fill(&mut self, out: &mut [u8]) {
        self.0 += 1;
        for (to, from) in out
            .iter_mut()
            .zip(self.0.to_be_bytes().iter().rev().cycle())
        {
            *to = *from;
        }
    }
}

pub(super) struct World {
    pub(super) vault: Vault,
    pub(super) now: Cell<u64>,
    pub(super) wall_secs: Cell<u64>,
    draw: Cell<u64>,
}

/// What the courier has after its challenge was answered.
pub(super) struct Challenged {
    pub(super) order: Order,
    pub(super) evidence: EvidenceWanted,
}

impl World {
    pub(super) fn new() -> Self {
        Self::under(policy())
    }

    pub(super) fn under(policy: PolicySet) -> Self {
        install();
        let limits = VaultLimits {
            keys: 100,
            expanded_len: 256 << 10,
            keys_per_uid: 100,
        };
        Self {
            vault: Vault::new(policy, limits, Vec::new()).unwrap().0,
            now: Cell::new(1_000_000),
            wall_secs: Cell::new(1_767_225_600),
            draw: Cell::new(0),
        }
    }

    pub(super) fn now(&self) -> Now {
        Now {
            boot_ms: self.now.get(),
            wall_secs: self.wall_secs.get(),
        }
    }

    pub(super) fn wait_ms(&self, ms: u64) {
        self.now.set(self.now.get() + ms);
    }

    pub(super) fn draw(&self) -> Counter {
        self.draw.set(self.draw.get() + 1);
        Counter(self.draw.get() << 32)
    }

    pub(super) fn want(&self, want: &Want) -> Result<RoundId, crate::rounds::WantRefused> {
        self.vault.want(want, self.now(), &mut self.draw())
    }

    pub(super) fn order(&self) -> Option<Order> {
        self.vault.next_order(self.now())
    }

    /// Wants one thing, takes the order and answers the challenge.
    pub(super) fn challenged(&self, want: &Want) -> Challenged {
        self.challenged_with(want, &[])
    }

    /// The same by a service that offers these forms of TEE key.
    pub(super) fn challenged_with(&self, want: &Want, offered: &[&str]) -> Challenged {
        self.want(want).unwrap();
        let order = self.order().unwrap();
        let evidence = self
            .vault
            .challenge(&order.round, NONCE, offered, self.now())
            .unwrap();
        Challenged { order, evidence }
    }

    /// Encrypts `plaintext` to the round and delivers it as `path`.
    pub(super) fn deliver(
        &self,
        round: &Challenged,
        path: &str,
        plaintext: &[u8],
    ) -> Result<(), RoundError> {
        let jwe = service::encrypt(&round.evidence.tee_pubkey_jwk, plaintext);
        self.deliver_jwe(&round.order.round, path, &jwe)
    }

    pub(super) fn deliver_jwe(
        &self,
        round: &RoundId,
        path: &str,
        jwe: &[u8],
    ) -> Result<(), RoundError> {
        let draw = &mut self.draw();
        self.vault
            .accept_resource(round, path, jwe, self.now(), draw)
            .map(drop)
    }

    pub(super) fn finish(&self, round: &RoundId) -> Vec<Settled> {
        self.vault.finish(round, self.now())
    }

    /// The newest version of a key and its material.
    pub(super) fn held(&self, name: &str) -> Option<(u32, Vec<u8>)> {
        let key = self.vault.keys.find(name).unwrap()?;
        let body = key.read().unwrap();
        let version = body.versions.last().unwrap();
        let material = version.material()?.record().expose().to_vec();
        Some((version.number, material))
    }

    pub(super) fn is_approved(&self) -> bool {
        let gate = &policy().gates[0];
        self.vault.gates.approved(gate, self.now())
    }
}

pub(super) fn install() {
    let sizes = ArenaSizes {
        records_len: 1 << 20,
        records_max_len: 1 << 20,
        heap_len: 3 << 20,
    };
    // Another test of this process may have been first.
    let _ = nitride_secmem::install(sizes, BackingChoice::Best, Vec::new());
}

pub(super) fn key(name: &str) -> Want {
    Want::Key {
        name: name.parse().unwrap(),
    }
}

pub(super) fn gate() -> Want {
    Want::Gate { name: GATE.into() }
}

/// A valid scalar.
pub(super) const SCALAR: [u8; 32] = [0x11; 32];

/// An envelope of the signing key, genuine.
pub(super) fn signing_envelope() -> Vec<u8> {
    service::signed(&service::fields(SIGNING_PATH, &SCALAR))
}

pub(super) fn rule(name: &str, key_type: KeyType, service: &str, path: &str) -> KeyRule {
    let release_to = match key_type {
        KeyType::Secret => vec![ReleaseTo::Uid(1000)],
        _ => vec![],
    };
    KeyRule {
        name: name.parse().unwrap(),
        key_type,
        source: Source::Kbs {
            services: vec![service.into()],
            path: ResourcePath::parse(path).unwrap(),
        },
        signer: vec!["owner".into()],
        unsigned: Unsigned::Refuse,
        plaintext_courier: false,
        operations: key_type.operations(),
        gate: None,
        release_to,
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

pub(super) fn served(name: &str) -> Service {
    Service {
        name: name.into(),
        tee_key: TeeKeyChoice::default(),
        plaintext_courier: false,
    }
}

pub(super) fn policy() -> PolicySet {
    let plain = KeyRule {
        signer: vec![],
        unsigned: Unsigned::Accept,
        operations: OperationSet::of(&[Operation::Release]),
        ..rule(PLAIN, KeyType::Secret, "main", PLAIN_PATH)
    };
    PolicySet {
        keys: vec![
            rule(SIGNING, KeyType::EcP256, "main", SIGNING_PATH),
            rule(SECRET, KeyType::Secret, "main", SECRET_PATH),
            plain,
            rule(ELSEWHERE, KeyType::Secret, "other", "default/secret/two"),
        ],
        gates: vec![GateRule {
            name: GATE.into(),
            service: "main".into(),
            issuer: "https://provision.example".into(),
            issuer_keys: vec![IssuerKey::P256(service::point(service::ISSUER))],
            audience: "vault".into(),
            policy_id: "default".into(),
            tees: vec!["snp".into(), "tdx".into()],
            max_age_ms: 600_000,
            danger_accept_simulated: false,
        }],
        services: vec![served("main"), served("other")],
        signers: vec![
            Signer {
                name: "owner".into(),
                kid: KID.to_vec(),
                point: service::point(OWNER),
            },
            // Pinned, too, but not for these keys.
            Signer {
                name: "stranger".into(),
                kid: b"stranger".to_vec(),
                point: service::point(STRANGER),
            },
        ],
        ..PolicySet::default()
    }
}

/// The one thing that settled.
pub(super) fn only(mut settled: Vec<Settled>) -> Settled {
    assert_eq!(settled.len(), 1, "{settled:?}");
    settled.remove(0)
}
