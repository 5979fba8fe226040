//! No way out by combination: every sequence of allowed steps that would make a key readable, or
//! one of its uses wider, ends in a refusal that is named. The peer here is granted everything on
//! every name, and the administrator helps.

use super::calls::{
    agree, decapsulate, derive, encapsulate, encrypt, generate, import, mac, unwrap, wrap,
};
use super::world::{EVERYTHING, Not, World, kbs, key, name, policy, rule, secret_for};
use crate::policy::{KeyRule, Rate, ReleaseTo, Source};
use crate::{Refusal, Session};
use nitride_protocol::admin::{Import, Rotate, SetPolicy};
use nitride_protocol::application::{Decrypt, Release};
use nitride_protocol::{KeyPolicy, KeyType, MaterialFormat, Operation, OperationSet};

const KWP: KeyType = KeyType::Aes256Kwp;
const HMAC: KeyType = KeyType::HmacSha256;
const SECRET: KeyType = KeyType::Secret;

/// Everything that an attempt may use.
struct Thief {
    world: World,
    app: Session,
    admin: Session,
}

/// What is tried, and why it has to fail.
struct WayOut {
    attempt: &'static str,
    steps: fn(&mut Thief) -> Not,
    refusal: Refusal,
}

const fn forbids(operation: Operation) -> Refusal {
    Refusal::KeyForbids { operation }
}

const fn wrong_type(key_type: KeyType, operation: Operation) -> Refusal {
    Refusal::WrongKeyType {
        key_type,
        operation,
    }
}

#[rustfmt::skip]
const WAYS_OUT: &[WayOut] = &[
    // A wrapping key whose bytes somebody knows opens all that it wraps.
    WayOut { attempt: "import a wrapping key of one's own", refusal: Refusal::WrappingKeyNotOurs,
        steps: |t| t.admin(&import("new", KWP, &[1; 32])) },
    WayOut { attempt: "import a wrapping key wrapped", refusal: Refusal::WrappingKeyNotOurs,
        steps: |t| t.import_wrapped("new", KWP, &[1; 40]) },
    WayOut { attempt: "derive a wrapping key of a key that is known", refusal: Refusal::WrappingKeyNotOurs,
        steps: |t| t.app(&derive("known", "new", KWP)) },
    WayOut { attempt: "agree on a wrapping key with oneself", refusal: Refusal::WrappingKeyNotOurs,
        steps: |t| t.app(&agree("x25519", &[9; 32], "new", KWP)) },
    WayOut { attempt: "encapsulate a wrapping key", refusal: Refusal::WrappingKeyNotOurs,
        steps: |t| t.app(&encapsulate("kem", "new", KWP)) },
    WayOut { attempt: "decapsulate a wrapping key that one encapsulated", refusal: Refusal::WrappingKeyNotOurs,
        steps: |t| t.app(&decapsulate("kem", &[9; 1088], "new", KWP)) },
    // A wrapping key that decrypts is one that shows what it wrapped.
    WayOut { attempt: "decrypt a wrapped key with its wrapping key", refusal: wrong_type(KWP, Operation::Decrypt),
        steps: |t| { let wrapped = t.wrapped("gcm"); t.app(&Decrypt { nonce: Some(&[0; 12]), ..open("kek", &wrapped) }) } },
    WayOut { attempt: "encrypt with a wrapping key", refusal: wrong_type(KWP, Operation::Encrypt),
        steps: |t| t.app(&encrypt("kek", b"p", b"")) },
    WayOut { attempt: "derive of a wrapping key", refusal: wrong_type(KWP, Operation::Derive),
        steps: |t| t.app(&derive("kek", "new", HMAC)) },
    WayOut { attempt: "generate a wrapping key that derives", refusal: wrong_type(KWP, Operation::Derive),
        steps: |t| { let mut asked = generate("new", KWP); asked.operations = Some(OperationSet::of(&[Operation::Derive])); t.app(&asked) } },
    WayOut { attempt: "wrap with a key that also encrypts", refusal: wrong_type(KeyType::Aes256Gcm, Operation::Wrap),
        steps: |t| t.app(&wrap("gcm", "known")) },
    WayOut { attempt: "unwrap with a key that also encrypts", refusal: wrong_type(KeyType::Aes256Gcm, Operation::Unwrap),
        steps: |t| { let wrapped = t.of("gcm", &[0; 40]); t.app(&unwrap("gcm", &wrapped, "new", HMAC)) } },
    // Only the keys that a key names wrap it.
    WayOut { attempt: "wrap with another wrapping key", refusal: Refusal::NotWrappable,
        steps: |t| t.app(&wrap("own-kek", "gcm")) },
    WayOut { attempt: "wrap a key that names none", refusal: Refusal::NotWrappable,
        steps: |t| t.app(&wrap("kek", "known")) },
    WayOut { attempt: "wrap a wrapping key with itself", refusal: Refusal::NotWrappable,
        steps: |t| t.app(&wrap("kek", "kek")) },
    WayOut { attempt: "wrap a child whose parent names none", refusal: Refusal::NotWrappable,
        steps: |t| { t.done(&derive("known", "child", HMAC)); t.app(&wrap("kek", "child")) } },
    WayOut { attempt: "let an administrator widen who wraps a child", refusal: Refusal::WouldWiden,
        steps: |t| { t.done(&derive("known", "child", HMAC)); t.admin(&wrappable("child")) } },
    WayOut { attempt: "let an administrator widen who wraps a provisioned key", refusal: Refusal::WouldWiden,
        steps: |t| t.admin(&wrappable("fetched")) },
    // What a service provisions, nobody here makes up.
    WayOut { attempt: "import a key of one's own as one that is provisioned", refusal: forbids(Operation::Import),
        steps: |t| t.admin(&import("fetched-too", HMAC, &[1; 32])) },
    WayOut { attempt: "agree on a key that is provisioned", refusal: forbids(Operation::Import),
        steps: |t| t.app(&agree("x25519", &[9; 32], "fetched-too", HMAC)) },
    WayOut { attempt: "encapsulate a key that is provisioned", refusal: forbids(Operation::Import),
        steps: |t| t.app(&encapsulate("kem", "fetched-too", HMAC)) },
    WayOut { attempt: "decapsulate a key that is provisioned", refusal: forbids(Operation::Import),
        steps: |t| t.app(&decapsulate("kem", &[9; 1088], "fetched-too", HMAC)) },
    WayOut { attempt: "import over a key that is there", refusal: Refusal::KeyExists,
        steps: |t| { t.done(&mac("hmac", b"d")); t.done(&generate("own", HMAC)); t.admin(&import("own", HMAC, &[1; 32])) } },
    WayOut { attempt: "agree over a key that is there", refusal: Refusal::KeyExists,
        steps: |t| t.app(&agree("x25519", &[9; 32], "known", HMAC)) },
    WayOut { attempt: "rotate a copy to one that counts nonces", refusal: Refusal::NotGeneratedHere,
        steps: |t| { let wrapped = t.wrapped("chacha"); t.done(&unwrap("kek", &wrapped, "copy", KeyType::ChaCha20Poly1305)); t.admin(&Rotate { key: name("copy") }) } },
    WayOut { attempt: "rotate a child to one that its parent does not make", refusal: Refusal::NotGeneratedHere,
        steps: |t| { t.done(&derive("hmac", "child", HMAC)); t.admin(&Rotate { key: name("child") }) } },
    // A wrapped key is that key again, and nothing else.
    WayOut { attempt: "unwrap a key as a secret", refusal: Refusal::WrappedOtherwise { key_type: KeyType::Aes256Gcm },
        steps: |t| { let wrapped = t.wrapped("gcm"); t.app(&unwrap("kek", &wrapped, "new", SECRET)) } },
    WayOut { attempt: "unwrap a key as one of another type", refusal: Refusal::WrappedOtherwise { key_type: KeyType::Aes256Gcm },
        steps: |t| { let wrapped = t.wrapped("gcm"); t.app(&unwrap("kek", &wrapped, "new", HMAC)) } },
    WayOut { attempt: "import a wrapped key as material", refusal: Refusal::VerificationFailed,
        steps: |t| { let wrapped = t.wrapped("gcm"); t.import_wrapped("new", HMAC, &wrapped[24..]) } },
    WayOut { attempt: "import a wrapped key as a secret", refusal: Refusal::SecretNotOurs,
        steps: |t| { let wrapped = t.wrapped("gcm"); t.import_wrapped("new", SECRET, &wrapped[24..]) } },
    WayOut { attempt: "import foreign material as a secret", refusal: Refusal::SecretNotOurs,
        steps: |t| t.import_wrapped("new", SECRET, &[1; 40]) },
    WayOut { attempt: "unwrap foreign material as a key", refusal: Refusal::VerificationFailed,
        steps: |t| { let foreign = t.foreign(); let foreign = t.of("kek", &foreign); t.app(&unwrap("kek", &foreign, "new", HMAC)) } },
    WayOut { attempt: "unwrap under the name of a key that is provisioned", refusal: forbids(Operation::Import),
        steps: |t| { let wrapped = t.wrapped("hmac"); t.app(&unwrap("kek", &wrapped, "fetched-too", HMAC)) } },
    WayOut { attempt: "unwrap over a key that is there", refusal: Refusal::KeyExists,
        steps: |t| { let wrapped = t.wrapped("hmac"); t.app(&unwrap("kek", &wrapped, "known", HMAC)) } },
    // A copy does not begin to count anew.
    WayOut { attempt: "wrap a key with max-uses", refusal: Refusal::CountedKey,
        steps: |t| t.app(&wrap("kek", "counted")) },
    WayOut { attempt: "wrap a key with a lease", refusal: Refusal::CountedKey,
        steps: |t| t.app(&wrap("kek", "leased")) },
    // What comes out, comes out of secrets alone, and to whom policy names.
    WayOut { attempt: "release a key", refusal: wrong_type(KeyType::Aes256Gcm, Operation::Release),
        steps: |t| t.app(&release("gcm")) },
    WayOut { attempt: "release a secret to somebody else", refusal: Refusal::NotReleasedToPeer,
        steps: |t| t.app(&release("secret")) },
    WayOut { attempt: "release a secret of one's own making", refusal: Refusal::NotReleasedToPeer,
        steps: |t| { t.done(&generate("mine", SECRET)); t.app(&release("mine")) } },
    WayOut { attempt: "derive a secret of a key", refusal: Refusal::SecretNotOurs,
        steps: |t| t.app(&derive("hmac", "new", SECRET)) },
    WayOut { attempt: "derive a secret of a secret, under a rule that releases it", refusal: Refusal::SecretNotOurs,
        steps: |t| t.app(&derive("secret", "released-to-me", SECRET)) },
    WayOut { attempt: "agree on a secret", refusal: Refusal::SecretNotOurs,
        steps: |t| t.app(&agree("x25519", &[9; 32], "released-to-me", SECRET)) },
    WayOut { attempt: "encapsulate a secret", refusal: Refusal::SecretNotOurs,
        steps: |t| t.app(&encapsulate("kem", "released-to-me", SECRET)) },
    WayOut { attempt: "decapsulate a secret", refusal: Refusal::SecretNotOurs,
        steps: |t| t.app(&decapsulate("kem", &[9; 1088], "released-to-me", SECRET)) },
    WayOut { attempt: "take a secret out of its rule by wrapping it", refusal: Refusal::NotReleasedToPeer,
        steps: |t| { let wrapped = t.wrapped("secret"); t.done(&unwrap("kek", &wrapped, "released-to-me", SECRET)); t.app(&release("released-to-me")) } },
    WayOut { attempt: "take a secret that no rule releases to a rule that does", refusal: Refusal::NotReleasedToPeer,
        steps: |t| { let mut mine = generate("mine", SECRET); mine.wrappable_by = vec![name("kek")]; t.done(&mine);
            let wrapped = t.wrapped("mine"); t.done(&unwrap("kek", &wrapped, "released-to-me", SECRET)); t.app(&release("released-to-me")) } },
    // Nothing comes of a key that is wider than it.
    WayOut { attempt: "let an administrator widen a copy", refusal: Refusal::WouldWiden,
        steps: |t| { let wrapped = t.wrapped("tags"); t.done(&unwrap("kek", &wrapped, "copy", HMAC));
            t.admin(&set_policy("copy", |policy| policy.operations = Some(OperationSet::of(&[Operation::Mac, Operation::Derive])))) } },
    WayOut { attempt: "use a key faster by its copy", refusal: Refusal::RateLimited,
        steps: |t| { let wrapped = t.wrapped("rated"); t.done(&mac("rated", b"d")); t.done(&unwrap("kek", &wrapped, "copy", HMAC)); t.app(&mac("copy", b"d")) } },
    WayOut { attempt: "derive a key that may what its parent may not", refusal: Refusal::WouldWiden,
        steps: |t| { let mut asked = derive("verifies", "new", HMAC); asked.child.operations = Some(OperationSet::of(&[Operation::Mac])); t.app(&asked) } },
    WayOut { attempt: "let an administrator widen a child", refusal: Refusal::WouldWiden,
        steps: |t| { t.done(&derive("verifies", "child", HMAC)); t.admin(&set_policy("child", |policy| policy.operations = Some(OperationSet::of(&[Operation::Mac, Operation::VerifyMac])))) } },
    WayOut { attempt: "derive of a key that may not", refusal: forbids(Operation::Derive),
        steps: |t| t.app(&derive("tags", "new", HMAC)) },
    WayOut { attempt: "derive of a copy of a key that may not", refusal: forbids(Operation::Derive),
        steps: |t| { let wrapped = t.wrapped("tags"); t.done(&unwrap("kek", &wrapped, "copy", HMAC)); t.app(&derive("copy", "new", HMAC)) } },
    WayOut { attempt: "derive an asymmetric key", refusal: Refusal::NotDerived { key_type: KeyType::Ed25519 },
        steps: |t| t.app(&derive("hmac", "new", KeyType::Ed25519)) },
    WayOut { attempt: "derive under the name of a key that is provisioned", refusal: forbids(Operation::Import),
        steps: |t| t.app(&derive("hmac", "fetched-too", HMAC)) },
    WayOut { attempt: "derive over the parent", refusal: Refusal::KeyExists,
        steps: |t| t.app(&derive("known", "known", HMAC)) },
    // Nonces do not repeat under keys that others hold.
    WayOut { attempt: "count nonces under a copy", refusal: Refusal::SharedKey { key_type: KeyType::ChaCha20Poly1305 },
        steps: |t| { let wrapped = t.wrapped("chacha"); t.done(&unwrap("kek", &wrapped, "copy", KeyType::ChaCha20Poly1305)); t.app(&encrypt("copy", b"p", b"")) } },
    WayOut { attempt: "count nonces under a key that is derived twice", refusal: Refusal::SharedKey { key_type: KeyType::Aes128Gcm },
        steps: |t| { t.done(&derive("hmac", "child", KeyType::Aes128Gcm)); t.app(&encrypt("child", b"p", b"")) } },
    WayOut { attempt: "choose the nonce under a copy of a key of the vault's", refusal: Refusal::RawUnderOwnKey,
        steps: |t| { let wrapped = t.wrapped("gcm"); t.done(&unwrap("kek", &wrapped, "copy", KeyType::Aes256Gcm)); t.app(&Decrypt { nonce: Some(&[0; 12]), ..open("copy", &[0; 32]) }) } },
    WayOut { attempt: "choose the nonce under a key of the vault's", refusal: Refusal::RawUnderOwnKey,
        steps: |t| t.app(&Decrypt { nonce: Some(&[0; 12]), ..open("gcm", &[0; 32]) }) },
];

#[test]
fn every_way_out_ends_in_its_refusal() {
    for way in WAYS_OUT {
        let mut thief = Thief::new();
        thief.world.now.boot_ms += 1;
        let not = (way.steps)(&mut thief);
        assert_eq!(not, Not::Done(way.refusal.status()), "{}", way.attempt);
        let refused = [thief.app.refusal(), thief.admin.refusal()];
        assert!(
            refused.contains(&Some(way.refusal)),
            "{}: {refused:?}",
            way.attempt
        );
        assert!(thief.world.vault.keys.find("new").unwrap().is_none());
    }
}

/// Whoever has the other side of an agreement has the key, too.
#[test]
fn a_key_that_was_agreed_on_is_none_that_a_rule_says_to_generate() {
    let mut thief = Thief::new();
    thief.done(&agree("x25519", &[9; 32], "planted", HMAC));
    let generated = key("planted", HMAC, Source::Generate);
    let set = policy(vec![rule(1, "**", EVERYTHING)], vec![generated]);
    let world = &mut thief.world;
    world.vault.replace_policy(set, world.now).unwrap();
    world
        .ask(&mut thief.app, &mac("planted", b"d"))
        .unwrap_err();
    assert_eq!(thief.app.refusal(), Some(Refusal::RuleContradicts));
}

impl Thief {
    fn new() -> Self {
        let wrappable = |rule: KeyRule| KeyRule {
            wrappable_by: vec!["kek".parse().unwrap()],
            ..rule
        };
        let only = |name, operations| KeyRule {
            operations: OperationSet::of(operations),
            ..key(name, HMAC, Source::Generate)
        };
        let secret = secret_for("secret", Source::Generate, ReleaseTo::Uid(2));
        let keys = vec![
            key("kek", KWP, kbs("r/t/kek")),
            key("own-kek", KWP, Source::Generate),
            wrappable(key("gcm", KeyType::Aes256Gcm, Source::Generate)),
            wrappable(key("chacha", KeyType::ChaCha20Poly1305, Source::Generate)),
            wrappable(key("hmac", HMAC, Source::Generate)),
            wrappable(secret),
            wrappable(only("tags", &[Operation::Mac])),
            wrappable(KeyRule {
                rate: Some(Rate {
                    uses: 2,
                    per_secs: 3600,
                }),
                ..key("rated", HMAC, Source::Generate)
            }),
            only("verifies", &[Operation::VerifyMac, Operation::Derive]),
            wrappable(KeyRule {
                max_uses: Some(9),
                ..key("counted", HMAC, Source::Generate)
            }),
            wrappable(KeyRule {
                lease_secs: Some(60),
                ..key("leased", HMAC, kbs("r/t/leased"))
            }),
            key("fetched", HMAC, kbs("r/t/fetched")),
            key("fetched-too", HMAC, kbs("r/t/fetched-too")),
            key("x25519", KeyType::X25519, Source::Generate),
            key("kem", KeyType::MlKem768, Source::Generate),
            secret_for("released-to-me", Source::Local, ReleaseTo::Uid(1)),
        ];
        let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], keys));
        for name in ["kek", "leased", "fetched"] {
            world.deliver(name, &[9; 32]);
        }
        let (app, mut admin) = (world.application(1), world.admin(0));
        let mut known = import("known", HMAC, &[1; 32]);
        known.wrappable_by = vec![name("own-kek"), name("gcm")];
        world.ask(&mut admin, &known).unwrap();
        Self { world, app, admin }
    }

    /// What has to fail.
    fn app<'a, C: nitride_protocol::Call + nitride_protocol::Message<'a>>(
        &mut self,
        call: &C,
    ) -> Not {
        self.world.ask(&mut self.app, call).unwrap_err()
    }

    fn admin<'a, C: nitride_protocol::Call + nitride_protocol::Message<'a>>(
        &mut self,
        call: &C,
    ) -> Not {
        self.world.ask(&mut self.admin, call).unwrap_err()
    }

    /// A step on the way that is allowed.
    fn done<'a, C: nitride_protocol::Call + nitride_protocol::Message<'a>>(&mut self, call: &C) {
        self.world.ask(&mut self.app, call).unwrap();
    }

    fn wrapped(&mut self, key: &str) -> Vec<u8> {
        let wrapped = self.world.ask(&mut self.app, &wrap("kek", key)).unwrap();
        wrapped.result().wrapped.to_vec()
    }

    fn import_wrapped(&mut self, key: &str, key_type: KeyType, material: &[u8]) -> Not {
        self.admin(&Import {
            key: name(key),
            key_type,
            operations: None,
            material,
            format: MaterialFormat::Raw,
            wrapping_key: Some(name("kek")),
            wrappable_by: Vec::new(),
        })
    }

    /// What another program that knows the wrapping key wrapped.
    fn foreign(&self) -> Vec<u8> {
        let mut wrapped = vec![0; 40];
        let kek = nitride_secmem::crypto::Kwp::new(&[9; 32]).unwrap();
        kek.wrap(&[3; 32], &mut wrapped).unwrap();
        wrapped
    }

    /// `body` as if `key` had wrapped it.
    fn of(&mut self, key: &str, body: &[u8]) -> Vec<u8> {
        // A key with a rule is made at its first use.
        let _ = self.world.ask(&mut self.app, &encrypt(key, b"", b""));
        let held = self.world.vault.keys.find(key).unwrap().unwrap();
        let id = held.read().unwrap().id;
        [b"NW\x01\0", &id[..], &1_u32.to_be_bytes(), body].concat()
    }
}

fn release(key: &str) -> Release<'_> {
    Release {
        key: name(key),
        version: None,
    }
}

fn open<'a>(key: &'a str, ciphertext: &'a [u8]) -> Decrypt<'a> {
    super::calls::decrypt(key, ciphertext, b"")
}

fn set_policy<'a>(key: &'a str, change: impl FnOnce(&mut KeyPolicy<'a>)) -> SetPolicy<'a> {
    let mut policy = KeyPolicy::default();
    change(&mut policy);
    SetPolicy {
        key: name(key),
        policy,
    }
}

fn wrappable(key: &str) -> SetPolicy<'_> {
    set_policy(key, |policy| policy.wrappable_by = Some(vec![name("kek")]))
}
