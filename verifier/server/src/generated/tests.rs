use super::identity::Unproven;
use super::making::{ChangeError, Given, place_of};
use super::*;
use crate::clock::Clock;
use crate::entropy::KernelEntropy;
use crate::key_file::Key32;
use crate::store::memory::MemoryStore;
use crate::store::{
    DirStore, Expected, Listing, Pending, Place, RecordName, Resource, Store, StoreError, Stored,
    Under, Version,
};
use crate::token::AcceptedToken;
use crate::token::tests::{NOW_SECS, issuer, reissue};
use nitride_kbs::envelope::UnverifiedEnvelope;
use nitride_kbs::token::PRIMARY_SUBMOD;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::runtime::Runtime;

mod meddled;

pub(crate) const DISKS: &str = "version = 1\nsigning-key = \"generate.key\"\n\n[[secret]]\nname = \"disks\"\n\
    resources = [\"disk/secret/root\", \"disk/secret/data\"]\n\
    identity = { tpm = [\"ak_sha256\"], snp = [\"image_id\", \"id_key_digest\"] }\n\
    danger-allow-simulated = false\ntype = \"secret\"\nform = \"passphrase\"\nbytes = 32\n\
    operations = [\"release\"]\nrelease-to = [\"volume:root\"]\nwrappable-by = []\n\
    lease-secs = 600\nmax-machines = 3\n";

fn path() -> ResourcePath {
    ResourcePath::parse("disk/secret/root").unwrap()
}

/// A token about evidence of one TEE with these claims.
fn token(tee: &str, claims: &Value, simulated: bool) -> AcceptedToken {
    let issuer = issuer();
    let token = reissue(&issuer, |ear| {
        ear.simulated = Some(simulated);
        let primary = ear.submods.get_mut(PRIMARY_SUBMOD).unwrap();
        let evidence = primary.annotated_evidence.as_mut().unwrap();
        evidence.tee_claims = [(tee.to_owned(), claims.clone())].into();
    });
    issuer.accept(&token, NOW_SECS).unwrap()
}

fn proven(tee: &str, claims: &Value) -> Result<Machine, Unproven> {
    let generation = Generation::of_text(DISKS);
    let template = generation.template(&path()).unwrap();
    Machine::proven(&token(tee, claims, false), template)
}

fn tpm(number: u8) -> Machine {
    let key = format!("{number:02x}").repeat(32);
    proven("tpm", &json!({ "ak_sha256": key })).unwrap()
}

/// A store, the generation, and what a service has beside them.
struct World<S> {
    generation: Generation,
    store: S,
    rooms: Rooms,
    hand: Arc<AtomicU64>,
}

impl<S: Store> World<S> {
    fn of(store: S) -> Self {
        Self {
            generation: Generation::of_text(DISKS),
            store,
            rooms: Rooms::default(),
            hand: Arc::new(AtomicU64::new(NOW_SECS)),
        }
    }

    async fn give(&self, machine: &Machine) -> Result<Given, MakeError> {
        let template = self.generation.template(&path()).unwrap();
        let clock = Clock::Manual(self.hand.clone());
        let to = (&self.store as &dyn Store, &self.rooms);
        give(to, template, &path(), machine, &clock, &mut KernelEntropy).await
    }

    fn given(&self, machine: &Machine) -> Given {
        block_on(self.give(machine)).unwrap()
    }

    fn rotate(&self, machine: &Machine) -> u32 {
        let template = self.generation.template(&path()).unwrap();
        let (path, draw) = (path(), &mut KernelEntropy);
        let of = (&path, machine.as_str());
        block_on(rotate(&self.store, template, of, NOW_SECS, draw)).unwrap()
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(future)
}

#[test]
fn a_machine_is_what_its_evidence_proves_and_nothing_that_a_guest_says() {
    let key = "ab".repeat(32);
    let of_tpm = proven("tpm", &json!({ "ak_sha256": key, "svn": "a guest's word" })).unwrap();
    assert_eq!(of_tpm.as_str(), format!("tpm.ak_sha256={key}"));
    // In the order of their names, whatever the file's is.
    let of_snp = proven("snp", &json!({ "id_key_digest": "0a", "image_id": "0b" })).unwrap();
    assert_eq!(of_snp.as_str(), "snp.id_key_digest=0a,snp.image_id=0b");
    let refused = |tee: &str, claims: Value| proven(tee, &claims).unwrap_err();
    let other = refused("tdx", json!({ "mr_owner": "01" }));
    assert!(matches!(other, Unproven::OtherTee { .. }), "{other}");
    assert!(other.to_string().contains("identity"));
    for claims in [json!({}), json!({ "id_key_digest": "0a" }), json!("x")] {
        let absent = refused("snp", claims);
        assert!(matches!(absent, Unproven::Absent { .. }), "{absent}");
    }
    for zero in ["0", "00000000", "00000000-0000-0000-0000-000000000000"] {
        let zero = refused("tpm", json!({ "ak_sha256": zero }));
        assert!(matches!(zero, Unproven::Zero { .. }), "{zero}");
    }
    // Nothing that could be read as two claims, or as another machine's line.
    let long = "a".repeat(257);
    for text in [
        json!("a,tpm.ak_sha256=b"),
        json!("a b"),
        json!("a\n"),
        json!("\u{1b}[2J"),
        json!(""),
        json!(7),
        json!(null),
        json!(["a"]),
        json!(long),
    ] {
        let malformed = refused("tpm", json!({ "ak_sha256": text }));
        assert!(matches!(malformed, Unproven::Malformed { .. }), "{text}");
    }
}

#[test]
fn simulated_evidence_proves_no_machine_where_nobody_said_that_it_may() {
    let generation = Generation::of_text(DISKS);
    let template = generation.template(&path()).unwrap();
    let claims = json!({ "ak_sha256": "ab" });
    for simulated in [Some(true), None] {
        let mut claimed = token("tpm", &claims, true);
        claimed = match simulated {
            Some(_) => claimed,
            None => {
                let issuer = issuer();
                let text = reissue(&issuer, |ear| ear.simulated = None);
                issuer.accept(&text, NOW_SECS).unwrap()
            }
        };
        assert_eq!(
            Machine::proven(&claimed, template),
            Err(Unproven::Simulated)
        );
    }
}

#[test]
fn a_machine_has_one_secret_of_a_resource_and_every_other_another() {
    let world = World::of(MemoryStore::default());
    let (first, again) = (world.given(&tpm(1)), world.given(&tpm(1)));
    assert!(first.is_new && !again.is_new);
    assert_eq!(first.kept.material(), again.kept.material());
    assert_eq!((again.kept.number(), again.kept.material().len()), (1, 43));
    let other = world.given(&tpm(2));
    assert_ne!(first.kept.material(), other.kept.material());
    assert_ne!(
        place_of(&path(), tpm(1).as_str()).unwrap(),
        place_of(
            &ResourcePath::parse("disk/secret/data").unwrap(),
            tpm(1).as_str()
        )
        .unwrap()
    );
}

#[test]
fn replicas_over_one_folder_make_one_secret_for_a_machine() {
    let folder = tempfile::tempdir().unwrap();
    let store = || {
        let key = folder.path().join("store.key");
        if !key.exists() {
            Key32::draw(&mut KernelEntropy)
                .unwrap()
                .write(&key)
                .unwrap();
        }
        DirStore::open(&folder.path().join("store"), Key32::read(&key).unwrap()).unwrap()
    };
    let replicas = [World::of(store()), World::of(store())].map(Arc::new);
    // Several machines, and for each both replicas at once, several times.
    let given: Vec<(u8, Vec<u8>, bool)> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..24_u8)
            .map(|number| {
                let replica = replicas[usize::from(number % 2)].clone();
                let machine = number / 2 % 3;
                scope.spawn(move || {
                    let given = replica.given(&tpm(machine + 1));
                    (machine, given.kept.material().to_vec(), given.is_new)
                })
            })
            .collect();
        let asking = asking.into_iter().map(|asked| asked.join().unwrap());
        asking.collect()
    });
    for machine in 0..3 {
        let of = || given.iter().filter(move |(number, ..)| *number == machine);
        let materials: BTreeSet<&Vec<u8>> = of().map(|(_, material, _)| material).collect();
        assert_eq!(materials.len(), 1);
        assert_eq!(of().filter(|(.., is_new)| *is_new).count(), 1);
    }
    assert_eq!(block_on(list(&store(), None)).unwrap().len(), 3);
}

#[test]
fn a_rotation_is_the_next_version_and_what_is_destroyed_is_given_to_nobody() {
    let world = World::of(MemoryStore::default());
    let (machine, path) = (tpm(1), path());
    let first = world.given(&machine);
    assert_eq!(world.rotate(&machine), 2);
    let second = world.given(&machine);
    assert_eq!(second.kept.number(), 2);
    assert_ne!(first.kept.material(), second.kept.material());
    block_on(destroy(&world.store, &path, machine.as_str())).unwrap();
    let refused = block_on(world.give(&machine)).unwrap_err();
    assert!(matches!(refused, MakeError::Destroyed { .. }), "{refused}");
    let listed = block_on(list(&world.store, Some(&path))).unwrap();
    assert!(listed[0].is_destroyed() && listed[0].material().is_empty());
    // A vault that had version 2 takes no other material under that number.
    assert_eq!(world.rotate(&machine), 3);
    assert_eq!(world.given(&machine).kept.number(), 3);
    let unknown = block_on(destroy(&world.store, &path, "tpm.ak_sha256=0b"));
    assert!(matches!(unknown, Err(ChangeError::Unknown { .. })));
}

#[test]
fn only_so_many_machines_get_one_and_those_that_have_one_keep_it() {
    let world = World::of(MemoryStore::default());
    for number in 1..=3 {
        assert!(world.given(&tpm(number)).is_new);
    }
    let full = |number| {
        matches!(
            block_on(world.give(&tpm(number))),
            Err(MakeError::Full { .. })
        )
    };
    assert!(full(4));
    assert!(!world.given(&tpm(1)).is_new);
    // A replica that has made none counts, too; and what others made is seen in time.
    let replica = World {
        rooms: Rooms::default(),
        generation: Generation::of_text(DISKS),
        hand: world.hand.clone(),
        store: MemoryStore::default(),
    };
    replica.given(&tpm(1));
    for number in 2..=4 {
        let kept = world.given(&tpm(1)).kept;
        let place = place_of(&path(), tpm(number).as_str()).unwrap();
        let writing = replica
            .store
            .write(&place, kept.to_store(), Expected::Absent);
        block_on(writing).unwrap();
    }
    replica.hand.fetch_add(5, Ordering::SeqCst);
    let refused = block_on(replica.give(&tpm(5))).unwrap_err();
    assert!(refused.to_string().contains("max-machines"), "{refused}");
}

#[test]
fn a_record_that_lies_in_another_machine_s_place_is_given_to_nobody() {
    let world = World::of(MemoryStore::default());
    let kept = world.given(&tpm(1)).kept;
    let place = place_of(&path(), tpm(2).as_str()).unwrap();
    for bytes in [
        kept.to_store(),
        Resource::new(b"{}\nsecret".to_vec()),
        Resource::new(b"secret".to_vec()),
        Resource::new(Vec::new()),
        Resource::new([&kept.to_store()[..], &[0; 16_385]].concat()),
        // Said to be destroyed, and with material all the same.
        Resource::new(
            String::from_utf8(kept.to_store().to_vec())
                .unwrap()
                .replace("false", "true")
                .into_bytes(),
        ),
    ] {
        block_on(world.store.write(&place, bytes, Expected::Any)).unwrap();
        let refused = block_on(world.give(&tpm(2))).unwrap_err();
        assert!(matches!(refused, MakeError::Kept(_)), "{refused}");
    }
}

#[test]
fn a_type_that_changed_is_no_other_key_under_the_same_version() {
    let mut world = World::of(MemoryStore::default());
    world.given(&tpm(1));
    let mac = DISKS
        .replace(
            "\"secret\"\nform = \"passphrase\"",
            "\"hmac-sha256\"\nform = \"bytes\"",
        )
        .replace("[\"release\"]", "[\"mac\"]");
    world.generation = Generation::of_text(&mac);
    let refused = block_on(world.give(&tpm(1))).unwrap_err();
    assert!(matches!(refused, MakeError::OtherType { .. }), "{refused}");
    assert_eq!(world.rotate(&tpm(1)), 2);
    assert_eq!(world.given(&tpm(1)).kept.material().len(), 32);
}

#[test]
fn what_was_made_is_signed_by_the_service_with_this_moment_s_terms() {
    let world = World::of(MemoryStore::default());
    let kept = world.given(&tpm(1)).kept;
    let shorter = Generation::of_text(&DISKS.replace("lease-secs = 600", "lease-secs = 60"));
    for (generation, lease_secs) in [(&world.generation, 600), (&shorter, 60)] {
        let template = generation.template(&path()).unwrap();
        let bytes = generation.envelope(template, &path(), &kept).unwrap();
        let envelope = UnverifiedEnvelope::parse(&bytes).unwrap();
        let public = VerifyingKey::from_public_key_der(generation.key().spki()).unwrap();
        let envelope = envelope.verified_by(|parts, signature| {
            let signature = Signature::from_slice(signature).unwrap();
            public.verify(&parts.concat(), &signature).is_ok()
        });
        let envelope = envelope.unwrap();
        let fields = envelope.fields();
        assert_eq!((fields.path, fields.version), ("disk/secret/root", 1));
        assert_eq!(fields.material, kept.material());
        assert_eq!(fields.policy.lease_secs, Some(lease_secs));
        assert_eq!(fields.policy.release_to, ["volume:root"]);
    }
}

#[test]
fn a_form_that_would_give_one_secret_to_many_or_none_is_refused() {
    let parse = |text: &str| form::parse(text, "generate.toml").map(drop);
    parse(DISKS).unwrap();
    for (from, to, told) in [
        ("version = 1", "version = 2", "version"),
        ("\"ak_sha256\"", "\"pcr08\"", "does not say which machine"),
        ("\"ak_sha256\"", "", "no claims"),
        ("\"ak_sha256\"", "\"ak_sha256\", \"ak_sha256\"", "twice"),
        ("tpm = [", "abacus = [", "names no machine"),
        (
            "tpm = [\"ak_sha256\"]",
            "nvidia = [\"ueid\"]",
            "names no machine",
        ),
        (", \"id_key_digest\"", "", "id_key_digest"),
        ("{ tpm", "{ sample = [\"svn\"], tpm", "sample evidence"),
        ("disk/secret/data", "disk/secret/*", "resource path"),
        ("disk/secret/data", "disk/secret/root", "twice"),
        (
            "\"disk/secret/root\", \"disk/secret/data\"",
            "",
            "0 resources",
        ),
        ("\"secret\"\nform", "\"ec-p256\"\nform", "no key of ec-p256"),
        ("\"secret\"\nform", "\"abacus\"\nform", "not known"),
        ("\"secret\"\nform", "\"hmac-sha256\"\nform", "no passphrase"),
        ("\"passphrase\"", "\"words\"", "not known"),
        ("bytes = 32", "bytes = 15", "15 bytes"),
        ("bytes = 32", "bytes = 1025", "1025 bytes"),
        ("\"release\"", "\"leak\"", "leak"),
        ("volume:root", "anybody", "release-to"),
        ("lease-secs = 600", "lease-secs = 0", "lease-secs"),
        ("lease-secs = 600\n", "", "lease-secs"),
        ("max-machines = 3", "max-machines = 0", "max-machines"),
        ("max-machines = 3", "max-machines = 50001", "max-machines"),
        ("name = \"disks\"", "name = \"\"", "empty name"),
        ("name = \"disks\"", "name = \"disks\"\nmore = 1", "more"),
    ] {
        assert!(DISKS.contains(from), "{from}");
        let error = parse(&DISKS.replacen(from, to, 1)).unwrap_err();
        assert!(error.to_string().contains(told), "{told}: {error}");
        assert!(!error.remedy.is_empty());
    }
    let (head, secret) = DISKS.split_once("[[secret]]").unwrap();
    let twice = format!("{head}[[secret]]{secret}[[secret]]{secret}");
    assert!(parse(&twice).unwrap_err().reason.contains("twice"));
}
