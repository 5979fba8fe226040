//! The leak scan for a round with a hybrid key: both private halves while they last, and what opening a
//! JWE shares and derives. See `leak_moments.rs` for a key of P-256.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::digest::{SHA3_256, SHA256, digest};
use aws_lc_rs::kem::{EncapsulationKey, ML_KEM_768};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap};
use nitride_e2e::known::fresh_bytes;
use nitride_kbs::jwe::{Header, hybrid_other_info, protected_header, to_json};
use nitride_kbs::tee_key::{ML_KEM_768_KEY_LEN, TeeKeyForm, TeePublicKey};
use nitride_protocol::Status;
use nitride_support::courier::Courier;
use nitride_support::plan::Plan;
use nitride_support::scan::{Needles, Region, Snapshot, candidates};
use nitride_support::unit::is_root_or_says_so;
use nitride_support::world::{World, outcome};

const NONCE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Whoever encrypts to the vault is believed here: the test is the service.
const KEYS: &str = r#"
[[key]]
name = "app/plain"
type = "hmac-sha256"
source = "kbs:///demo/key/plain"
service = "main"
unsigned = "accept"
operations = ["mac"]
"#;
const PATH: &str = "demo/key/plain";

/// Of a decapsulation key, what is before the encapsulation key in it (FIPS 203, 7.1), and after.
const SECRET_LEN: usize = 1152;
const HASH_LEN: usize = 32;
/// What ends before the seed in its PKCS#8 file.
const SEED_HEAD: [u8; 4] = [0x04, 0x42, 0x80, 0x40];

/// Adds the ML-KEM half: the expanded key's secret part, and the seed that it was made of.
fn add_ml_kem(needles: &mut Needles, arenas: &[Region], ek: &[u8]) -> Result<()> {
    let hash = digest(&SHA3_256, ek);
    let places = |bytes: &[u8], wanted: &[u8]| -> Vec<usize> {
        let windows = bytes.windows(wanted.len()).enumerate();
        let found = windows.filter(|(_, window)| *window == wanted);
        found.map(|(at, _)| at).collect()
    };
    let expanded = arenas.iter().find_map(|region| {
        places(&region.bytes, ek).into_iter().find_map(|at| {
            let before = region.bytes.get(at.checked_sub(SECRET_LEN)?..at)?;
            let after = region.bytes.get(at + ek.len()..)?;
            let (found, z) = after.get(..HASH_LEN + 32)?.split_at(HASH_LEN);
            (found == hash.as_ref()).then(|| (before.to_vec(), z.to_vec()))
        })
    });
    let (secret, z) = expanded.context("the ML-KEM key is not in the arenas")?;
    needles.add("ML-KEM's secret vector", &secret);
    needles.add("ML-KEM's z", &z);
    let seed = arenas.iter().find_map(|region| {
        places(&region.bytes, &z).into_iter().find_map(|at| {
            let before = region.bytes.get(at.checked_sub(36)?..at)?;
            before.strip_prefix(&SEED_HEAD).map(<[u8]>::to_vec)
        })
    });
    needles.add(
        "ML-KEM's d",
        &seed.context("the seed is not in the arenas")?,
    );
    Ok(())
}

fn add_x25519(needles: &mut Needles, arenas: &[Region], public: &[u8]) -> Result<()> {
    let is_ours = |candidate: &&[u8; 32]| {
        PrivateKey::from_private_key(&X25519, *candidate)
            .and_then(|key| Ok(key.compute_public_key()?))
            .is_ok_and(|made| made.as_ref() == public)
    };
    let private = candidates(arenas).find(is_ours);
    let private = private.context("the X25519 key is not in the arenas")?;
    needles.add("the X25519 key", private);
    Ok(())
}

/// A JWE to the vault's key, with all that opening it will share and derive among the needles.
fn encrypted(needles: &mut Needles, public: &[u8; 1216], resource: &[u8]) -> Result<String> {
    let (ml_kem, x25519) = public.split_at(ML_KEM_768_KEY_LEN);
    let (ciphertext, z) = EncapsulationKey::new(&ML_KEM_768, ml_kem)?.encapsulate()?;
    let ephemeral = PrivateKey::generate(&X25519)?;
    let peer = UnparsedPublicKey::new(&X25519, x25519);
    let refused = anyhow::anyhow!("no agreement");
    let t = agree(&ephemeral, peer, refused, |shared| Ok(shared.to_vec()))?;
    let epk = ephemeral.compute_public_key()?;
    let ek = [ciphertext.as_ref(), epk.as_ref()].concat();
    let ek: Box<[u8; 1120]> = Box::new(ek.as_slice().try_into()?);
    let info = hybrid_other_info(&ek, public);
    let shared = [z.as_ref(), &t].concat();
    let wrapping = digest(&SHA256, &[&[0, 0, 0, 1], shared.as_slice(), &info].concat());
    let content_key = fresh_bytes(32)?;
    for (label, secret) in [
        ("ML-KEM's shared secret", z.as_ref()),
        ("X25519's shared secret", &t),
        ("the wrapping key", wrapping.as_ref()),
        ("the content key", &content_key),
    ] {
        needles.add(label, secret);
    }
    let mut encrypted_key = [0; 40];
    AesKek::new(&AES_256, wrapping.as_ref())?.wrap(&content_key, &mut encrypted_key)?;
    let protected = protected_header(&Header::X25519MlKem768 { ek });
    let iv = [5; 12];
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &content_key)?);
    let mut ciphertext = resource.to_vec();
    let nonce = Nonce::assume_unique_for_key(iv);
    let aad = Aad::from(protected.as_bytes());
    let tag = cipher.seal_in_place_separate_tag(nonce, aad, &mut ciphertext)?;
    let tag = tag.as_ref().try_into()?;
    Ok(to_json(&protected, &encrypted_key, &iv, &ciphertext, tag))
}

fn no_leaks(pid: u32, needles: &Needles, when: &str) -> Result<Snapshot> {
    let snapshot = Snapshot::take(pid)?;
    let leaks = snapshot.leaks(needles);
    ensure!(leaks.is_empty(), "{when}: {leaks:#?}");
    Ok(snapshot)
}

#[test]
fn both_halves_of_a_rounds_key_and_what_they_share_are_in_the_arenas_and_nowhere_afterwards()
-> Result<()> {
    if !is_root_or_says_so("both_halves_of_a_rounds_key_and_what_they_share") {
        return Ok(());
    }
    let mut plan = Plan::without_agent(KEYS);
    plan.locked_only = true;
    let world = World::start(plan)?;
    let pid = world.vhsmd()?.pid();
    let material = fresh_bytes(32)?;
    let mut courier = Courier::connect(&world.path("agent.sock"))?;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| outcome(world.application()?.mac("app/plain", b"d")));
        let order = courier.next_round()?;
        let offered = [TeeKeyForm::X25519MlKem768.as_str()];
        let evidence = courier.challenge_offering(&order, NONCE, &offered)?;
        let TeePublicKey::X25519MlKem768(public) = TeePublicKey::parse(&evidence.tee_pubkey)?
        else {
            anyhow::bail!("no hybrid key, though one was offered");
        };
        let during = Snapshot::take(pid)?;
        let mut of_the_round = Needles::default();
        let (ek, x25519) = public.split_at(ML_KEM_768_KEY_LEN);
        add_ml_kem(&mut of_the_round, &during.arenas, ek)?;
        add_x25519(&mut of_the_round, &during.arenas, x25519)?;
        let leaks = during.leaks(&of_the_round);
        ensure!(leaks.is_empty(), "while the key lasts: {leaks:#?}");
        ensure!(
            !during.kept(&of_the_round).is_empty(),
            "the search is blind"
        );

        let jwe = encrypted(&mut of_the_round, &public, &material)?;
        let delivered = courier.resource(&order, PATH, jwe.as_bytes())?;
        ensure!(delivered == Status::Ok, "{delivered}");
        let mut all = of_the_round.clone();
        all.add("the resource", &material);
        no_leaks(pid, &all, "once it was opened")?;

        ensure!(courier.finish(&order)? == Status::Ok, "finish");
        let ended = waiting.join().ok().context("no panic")??;
        ensure!(ended == Status::Ok, "{ended}");
        let after = no_leaks(pid, &all, "after the round")?;
        let left = after.kept(&of_the_round);
        ensure!(left.is_empty(), "left after the round: {left:#?}");
        Ok(())
    })
}
