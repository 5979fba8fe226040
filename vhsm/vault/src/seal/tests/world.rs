use super::super::*;
use crate::policy::{KeyRule, PolicySet, SealTerms, Source};
use crate::tests::calls;
use crate::tests::world::{Answered, EVERYTHING, Not, World, kbs, key, name, policy, rule};
use crate::{Refusal, Session};
use nitride_protocol::application::{Describe, Encrypt, Generate};
use nitride_protocol::{Call, KeyType, Message, Operation};

/// What the platform gives.
pub(super) const PART: [u8; 32] = [7; 32];

/// A vault whose administrator is user 0 and that user 1 works with.
pub(super) struct Machine {
    pub(super) world: World,
    pub(super) app: Session,
    pub(super) admin: Session,
}

/// A key rule for the seal.
pub(super) fn sealed(name: &str, key_type: KeyType, source: Source) -> KeyRule {
    KeyRule {
        seal: true,
        ..key(name, key_type, source)
    }
}

pub(super) fn local(name: &str, key_type: KeyType) -> KeyRule {
    sealed(name, key_type, Source::Local)
}

pub(super) fn policy_of(is_durable: bool, keys: Vec<KeyRule>) -> PolicySet {
    PolicySet {
        seal: Some(SealTerms {
            provisioned: None,
            is_durable,
        }),
        ..policy(vec![rule(1, "**", EVERYTHING)], keys)
    }
}

impl Machine {
    /// One whose seal is open and has a counter.
    pub(super) fn new(keys: Vec<KeyRule>) -> Self {
        Self::under(policy_of(true, keys), Sealing::Open { is_durable: true })
    }

    pub(super) fn under(policy: PolicySet, sealing: Sealing) -> Self {
        let world = World::new(policy);
        world.vault.set_sealing(sealing);
        let (app, admin) = (world.application(1), world.admin(0));
        Self { world, app, admin }
    }

    /// User 1 asks.
    pub(super) fn ask<'a, C: Call + Message<'a>>(&mut self, call: &C) -> Result<Answered<C>, Not> {
        self.world.ask(&mut self.app, call)
    }

    /// The administrator asks.
    pub(super) fn admin<'a, C: Call + Message<'a>>(
        &mut self,
        call: &C,
    ) -> Result<Answered<C>, Not> {
        self.world.ask(&mut self.admin, call)
    }

    pub(super) fn generate(&mut self, key: &str, key_type: KeyType) {
        let asked: Generate<'_> = calls::generate(key, key_type);
        self.ask(&asked).unwrap();
    }

    pub(super) fn encrypt(&mut self, key: &str) -> Result<Vec<u8>, Not> {
        let asked: Encrypt<'_> = calls::encrypt(key, b"plain", b"");
        let answered = self.ask(&asked)?;
        Ok(answered.result().ciphertext.to_vec())
    }

    pub(super) fn opens(&mut self, key: &str, ciphertext: &[u8]) -> bool {
        let opened = self.ask(&calls::decrypt(key, ciphertext, b""));
        opened.is_ok_and(|opened| opened.result().plaintext == b"plain")
    }

    /// All that `describe` says, as bytes.
    pub(super) fn described(&mut self, key: &str) -> Result<Vec<u8>, Not> {
        let answered = self.admin(&Describe { key: name(key) })?;
        Ok(format!("{:?}", answered.result()).into_bytes())
    }

    pub(super) fn head(&mut self) -> Head {
        let draw = &mut self.world.draw;
        Head::new(Platform::Sample, vec![1, 2], None, Generation(5), draw).unwrap()
    }

    pub(super) fn seal(&mut self) -> Sealed {
        let head = self.head();
        let vault = &self.world.vault;
        let key = sealing_key(vault, &head);
        vault.seal(&head, &key, self.world.now).unwrap()
    }

    pub(super) fn unseal(&mut self, file: &[u8]) -> Result<u64, SealFault> {
        let (head, _) = Head::parse(file)?;
        let vault = &self.world.vault;
        let keys = vault.opening_keys(&head, &part())?;
        vault.unseal(&head, &keys, file, self.world.now, &mut self.world.draw)
    }

    /// The same policy after a reboot: nothing is there but the file.
    pub(super) fn rebooted(&mut self, file: &[u8]) -> (Self, u64) {
        let policy = self.world.vault.policy().set().clone();
        let mut next = Self::under(policy, Sealing::Closed);
        // Another boot draws other bytes, and its clock begins anew.
        next.world.draw.0 = 1_000_003;
        next.world.now.boot_ms = 5_000;
        let keys = next.unseal(file).unwrap();
        let sealing = Sealing::Open { is_durable: true };
        next.world.vault.set_sealing(sealing);
        (next, keys)
    }

    /// What the last request was refused for.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.app.refusal()
    }
}

pub(super) fn sealing_key(vault: &Vault, head: &Head) -> SealingKey {
    vault.sealing_key(head, &part()).unwrap()
}

pub(super) fn part() -> SecretBuf {
    SecretBuf::copy_of(&PART).unwrap()
}

/// A rule of a provisioned key.
pub(super) fn provisioned(name: &str) -> KeyRule {
    KeyRule {
        operations: nitride_protocol::OperationSet::of(&[Operation::Mac]),
        ..sealed(name, KeyType::HmacSha256, kbs("r/t/tag"))
    }
}
