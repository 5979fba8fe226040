//! The leak scan for every type of key, and for every operation that makes a key out of another
//! one or takes keys elsewhere. See `leak_scan.rs`.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use nitride_client::{Buffer, Client, Span};
use nitride_e2e::known::{Known, fresh_bytes, no_leaks, plan};
use nitride_protocol::admin::Import;
use nitride_protocol::application::{
    Agree, BatchItem, Child, Decapsulate, Derive, Encapsulate, Mac, Sign,
};
use nitride_protocol::{KeyName, KeyType, MaterialFormat, Operation};
use nitride_support::owner::Deposit;
use nitride_support::scan::{Form, Needles, Snapshot};
use nitride_support::unit::is_root_or_says_so;
use nitride_support::world::World;
use std::sync::atomic::{AtomicBool, Ordering};

const POLICY: &str = r#"
[[rule]]
name = "keys-of-keys"
keys = ["**"]
peers = [{ uid = @UID@ }]
operations = ["wrap", "unwrap", "derive", "agree", "encapsulate", "decapsulate",
  "encrypt-buffer", "decrypt-buffer"]

[[key]]
name = "app/kek"
type = "aes-256-kwp"
source = "kbs:///demo/key/kek"
service = "main"
signer = "owner"
operations = ["wrap", "unwrap"]
"#;

const RECIPIENT: &str = r#"
[[backup-recipient]]
name = "recovery"
public-key = "@DIR@/recovery.pem"
key = "app/all/x25519"

[limits]
keys = 100000
keys-per-uid = 100000
"#;

/// Moments at which the vault is searched while it works, at most.
const MOMENTS: usize = 12;
/// Turns of work, at most: what is destroyed leaves its name in the records until they are full.
const TURNS: usize = 60;

/// A key of each type that can be imported: its name is its type's, after `app/all/`.
struct Keys {
    keys: Vec<(String, KeyType, Vec<u8>)>,
    kek: Vec<u8>,
}

impl Keys {
    fn new() -> Result<Self> {
        let types = KeyType::ALL.into_iter();
        let keys = types
            .filter(|key_type| *key_type != KeyType::Aes256Kwp)
            .map(|key_type| Ok((format!("app/all/{key_type}"), key_type, material(key_type)?)))
            .collect::<Result<_>>()?;
        let kek = fresh_bytes(32)?;
        Ok(Self { keys, kek })
    }

    fn needles(&self) -> Needles {
        let mut needles = Needles::default();
        for (name, key_type, material) in &self.keys {
            let secrets = match key_type {
                KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => rsa_secrets(material),
                _ => vec![&material[..]],
            };
            for material in secrets {
                Form {
                    label: name,
                    key_type: *key_type,
                    material,
                }
                .add_to(&mut needles);
            }
        }
        needles.add("app/kek", &self.kek);
        needles
    }

    fn import(&self, admin: &mut Client) -> Result<()> {
        for (key, key_type, material) in &self.keys {
            let is_rsa = key_type.as_str().starts_with("rsa");
            admin.import_with(&Import {
                key: KeyName::parse(key)?,
                key_type: *key_type,
                operations: None,
                material,
                format: match is_rsa {
                    true => MaterialFormat::Pkcs8,
                    false => MaterialFormat::Raw,
                },
                wrapping_key: None,
                wrappable_by: vec![KeyName::parse("app/kek")?],
            })?;
        }
        Ok(())
    }
}

/// Bytes that are a key of this type.
fn material(key_type: KeyType) -> Result<Vec<u8>> {
    let size = match key_type {
        KeyType::Rsa2048 => KeySize::Rsa2048,
        KeyType::Rsa3072 => KeySize::Rsa3072,
        KeyType::Rsa4096 => KeySize::Rsa4096,
        KeyType::Aes128Gcm => return fresh_bytes(16),
        KeyType::HmacSha384 | KeyType::EcP384 | KeyType::Secret => return fresh_bytes(48),
        KeyType::HmacSha512 | KeyType::MlKem768 => return fresh_bytes(64),
        KeyType::EcP521 => {
            let mut scalar = fresh_bytes(66)?;
            scalar[..2].fill(0);
            return Ok(scalar);
        }
        _ => return fresh_bytes(32),
    };
    let pair = KeyPair::generate(size)?;
    let file: Pkcs8V1Der<'_> = pair.as_der()?;
    Ok(file.as_ref().to_vec())
}

/// The numbers of an RSA key that are secret, cut to whole pieces from their ends, where the limbs
/// of an expanded key begin.
fn rsa_secrets(file: &[u8]) -> Vec<&[u8]> {
    let mut numbers = Vec::new();
    // The sequence of the key is the last value of the file, and begins with its version.
    let start = file
        .windows(7)
        .position(|window| window[0] == 0x30 && window[1] == 0x82 && window[4..] == [2, 1, 0]);
    let first = start.unwrap_or(0);
    let inner = file[first + 1..]
        .windows(7)
        .position(|window| window[0] == 0x30 && window[1] == 0x82 && window[4..] == [2, 1, 0]);
    let mut at = first + 1 + inner.unwrap_or(0) + 7;
    while at + 4 < file.len() {
        let (head, len) = match file[at + 1] {
            0x82 => (
                4,
                usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]])),
            ),
            0x81 => (3, usize::from(file[at + 2])),
            len => (2, usize::from(len)),
        };
        let number = &file[at + head..at + head + len];
        numbers.push(&number[len % 32..]);
        at += head + len;
    }
    // Modulus and public exponent come first.
    numbers.drain(..2);
    numbers
}

/// Connections that last: who stops the vault keeps nobody from connecting.
struct Links {
    app: Client,
    admin: Client,
    buffer: Buffer,
}

/// Bytes that are encrypted in shared memory.
const LEN: u64 = 100_000;

/// Every operation of every type, and what makes keys of them under names that end in `turn`.
fn use_each(links: &mut Links, keys: &Keys, turn: usize) -> Result<()> {
    let Links { app, admin, buffer } = links;
    for (key, key_type, _) in &keys.keys {
        let can = |operation| key_type.operations().contains(operation);
        let key = key.as_str();
        let version = None;
        let mut made = Vec::new();
        let mut named = |what: &str| {
            made.push(format!("{key}/{what}/{turn}"));
            made.last().cloned().unwrap_or_default()
        };
        if can(Operation::Sign) {
            let signature = app.sign(key, None, b"message")?.signature;
            app.verify(key, None, None, b"message", &signature)?;
            let message = b"m";
            app.batch(vec![BatchItem::Sign(Sign {
                key: KeyName::parse(key)?,
                scheme: None,
                message,
                prehashed: false,
            })])?;
        }
        if can(Operation::Mac) {
            let tag = app.mac(key, b"data")?.tag;
            app.verify_mac(key, None, b"data", &tag)?;
            let key = KeyName::parse(key)?;
            app.batch(vec![BatchItem::Mac(Mac { key, data: b"d" })])?;
        }
        // Those of which a copy of a counter would be one too many open alone.
        if can(Operation::Encrypt)
            && !matches!(key_type, KeyType::Aes128Gcm | KeyType::ChaCha20Poly1305)
        {
            let ciphertext = app.encrypt(key, b"plaintext", b"aad")?;
            app.decrypt(key, &ciphertext, b"aad")?;
        }
        if can(Operation::EncryptBuffer) {
            in_shared_memory(app, buffer, key)?;
        }
        let derived = named("child");
        let child = Child {
            name: KeyName::parse(&derived)?,
            key_type: KeyType::HmacSha256,
            operations: None,
            info: b"info",
        };
        let (parent, salt) = (KeyName::parse(key)?, &b"salt"[..]);
        if can(Operation::Derive) {
            app.derive(&Derive {
                key: parent,
                version,
                child,
                salt,
            })?;
        } else if can(Operation::Agree) {
            let peer = app.public_key(key, None)?.spki;
            app.agree(&Agree {
                key: parent,
                version,
                peer_public: &peer,
                child,
                salt,
            })?;
        } else if can(Operation::Encapsulate) {
            let asked = Encapsulate {
                key: parent,
                version,
                child,
            };
            let sealed = app.encapsulate(&asked)?.ciphertext;
            let again = named("again");
            app.decapsulate(&Decapsulate {
                key: parent,
                version,
                ciphertext: &sealed,
                child: Child {
                    name: KeyName::parse(&again)?,
                    ..child
                },
            })?;
        } else {
            made.clear();
        }
        let copy = format!("{key}/copy/{turn}");
        let wrapped = app.wrap("app/kek", key, None)?.wrapped;
        app.unwrap("app/kek", &wrapped, &copy, *key_type)?;
        made.push(copy);
        for made in made {
            admin.destroy(&made, None)?;
        }
    }
    back_up(admin)
}

fn in_shared_memory(app: &mut Client, buffer: &Buffer, key: &str) -> Result<()> {
    let span = Span {
        input_offset: 0,
        input_len: LEN,
        output_offset: LEN,
    };
    let sealed_len = app.encrypt_buffer(key, buffer, span, b"aad")?;
    let span = Span {
        input_offset: LEN,
        input_len: sealed_len,
        output_offset: 0,
    };
    app.decrypt_buffer(key, buffer, span, b"aad")?;
    Ok(())
}

/// A backup, and its way back into the same vault, which has every key of it already.
fn back_up(admin: &mut Client) -> Result<()> {
    let mut cursor: Option<Vec<u8>> = None;
    let mut parts = Vec::new();
    loop {
        let part = admin.backup("recovery", cursor.as_deref())?;
        parts.push(part.sealed);
        match part.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    for part in &parts {
        admin.restore(part)?;
    }
    Ok(())
}

/// A world whose vault has the keys, and can read its own backups.
fn world(keys: &Keys) -> Result<World> {
    let mut plan = plan(true);
    plan.policy.push_str(POLICY);
    plan.vhsmd_tables = RECIPIENT.to_owned();
    let x25519 = keys.keys.iter().find(|key| key.1 == KeyType::X25519);
    let (.., private) = x25519.context("there is such a type")?;
    let mut world = World::prepare(plan)?;
    world
        .folder
        .write("recovery.pem", public_pem(private)?.as_bytes())?;
    world.start_service()?;
    world.start_quote()?;
    world.start_vhsmd()?;
    world.start_agent()?;
    let known = Known::new()?;
    known.deposit(&world)?;
    let kek = Deposit {
        operations: &["wrap", "unwrap"],
        ..Deposit::key("demo/key/kek", KeyType::Aes256Kwp, &keys.kek)
    };
    world.owner().deposit(&kek)?;
    Ok(world)
}

/// The public half of an X25519 key, as OpenSSL writes it.
fn public_pem(private: &[u8]) -> Result<String> {
    use aws_lc_rs::agreement::{PrivateKey, X25519};
    use base64ct::{Base64, Encoding};
    let private = PrivateKey::from_private_key(&X25519, private)?;
    let head = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00,
    ];
    let spki = [&head[..], private.compute_public_key()?.as_ref()].concat();
    let text = Base64::encode_string(&spki);
    Ok(format!(
        "-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"
    ))
}

#[test]
fn no_operation_of_any_type_leaves_its_key_outside_the_arenas() -> Result<()> {
    if !is_root_or_says_so("no_operation_of_any_type_leaves_its_key_outside_the_arenas") {
        return Ok(());
    }
    let keys = Keys::new()?;
    let needles = keys.needles();
    let world = world(&keys)?;
    no_leaks(&world, &needles, "before")?;
    let mut app = world.application()?;
    let mut links = Links {
        buffer: app.register_buffer(3 * LEN)?,
        app,
        admin: world.admin()?,
    };
    keys.import(&mut links.admin)?;
    no_leaks(&world, &needles, "after import")?;
    use_each(&mut links, &keys, 0)?;
    no_leaks(&world, &needles, "after every use")?;
    let vault = Snapshot::take(world.vhsmd()?.pid())?;
    for (name, key_type, material) in &keys.keys {
        let form = Form {
            label: name,
            key_type: *key_type,
            material,
        };
        ensure!(
            !vault.kept(&form.raw()).is_empty(),
            "{name} is not in the arenas"
        );
    }
    // And while they run.
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<()> {
        let links = &mut links;
        let (keys, over) = (&keys, &over);
        let user = scope.spawn(move || -> Result<usize> {
            let mut turn = 1;
            while !over.load(Ordering::Relaxed) && turn <= TURNS {
                use_each(links, keys, turn)?;
                turn += 1;
            }
            Ok(turn)
        });
        let searched = (0..MOMENTS)
            .take_while(|_| !user.is_finished())
            .try_for_each(|moment| no_leaks(&world, &needles, &format!("moment {moment}")));
        over.store(true, Ordering::Relaxed);
        let turns = user.join().ok().context("no panic")??;
        eprintln!("{MOMENTS} moments among {turns} turns, 0 findings");
        searched
    })?;
    for (name, ..) in &keys.keys {
        links.admin.destroy(name, None)?;
    }
    links.admin.destroy("app/kek", None)?;
    no_leaks(&world, &needles, "after destroy")?;
    let kept = Snapshot::take(world.vhsmd()?.pid())?.kept(&needles);
    ensure!(
        kept.is_empty(),
        "left in the arenas after destroy: {kept:#?}"
    );
    Ok(())
}
