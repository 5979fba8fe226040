//! The command line's verbs that bring keys in, carry them out under others and make keys with
//! other programs, whose side `openssl` takes.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_support::descriptor_store::DescriptorStore;
use nitride_support::plan::Plan;
use nitride_support::program::RunAs;
use nitride_support::world::{World, run};
use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;

fn vhsm(world: &World, line: &str, input: &[u8]) -> Result<Output> {
    let line = line.replace("@DIR@", &world.expand("@DIR@"));
    let arguments: Vec<&str> = line.split(' ').collect();
    world.vhsm(&RunAs::default(), &arguments, input)
}

/// What a call that must succeed writes.
fn written(world: &World, line: &str, input: &[u8]) -> Result<Vec<u8>> {
    let output = vhsm(world, line, input)?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{line}: {error}");
    Ok(output.stdout)
}

/// What a call that must fail with this code complains of.
fn refused(world: &World, line: &str, input: &[u8], code: i32) -> Result<String> {
    let output = vhsm(world, line, input)?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(code), "{line}: {error}");
    ensure!(output.stdout.is_empty(), "{line} writes all the same");
    Ok(error)
}

/// What openssl writes, in the world's folder.
fn openssl(world: &World, line: &str, input: &[u8]) -> Result<Vec<u8>> {
    let mut command = Command::new("openssl");
    command
        .args(line.split(' '))
        .current_dir(world.folder.path());
    let output = run(&mut command, input).context("openssl runs")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl {line}: {error}");
    Ok(output.stdout)
}

fn world() -> Result<World> {
    World::start(plan())
}

fn plan() -> Plan {
    Plan::vault(
        r#"
[[rule]]
name = "more"
keys = ["app/**"]
peers = [{ uid = @UID@ }]
operations = ["wrap", "unwrap", "derive", "agree", "encapsulate", "decapsulate", "encrypt-buffer",
  "decrypt-buffer", "attest"]
"#,
    )
}

#[test]
fn a_key_goes_out_wrapped_and_comes_back_as_the_key_that_it_was() -> Result<()> {
    let world = world()?;
    written(&world, "generate app/kek --type aes-256-kwp", b"")?;
    let made = "generate app/k --type hmac-sha256 --wrappable-by app/kek";
    written(&world, made, b"")?;
    let tag = written(&world, "mac app/k", b"data")?;
    written(
        &world,
        "wrap app/k --wrapping-key app/kek --out @DIR@/wrapped",
        b"",
    )?;
    let unwrap = "unwrap app/back --wrapping-key app/kek --in @DIR@/wrapped --type";
    let other = refused(&world, &format!("{unwrap} hmac-sha512"), b"", 1)?;
    ensure!(other.contains("wrong-parameters"), "{other}");
    let back = written(&world, &format!("{unwrap} hmac-sha256"), b"")?;
    assert_eq!(back, b"app/back version 1\n");
    assert_eq!(written(&world, "mac app/back", b"data")?, tag);
    // Where nobody said that it may be wrapped, it is not.
    written(&world, "generate app/mine --type hmac-sha256", b"")?;
    let denied = refused(&world, "wrap app/mine --wrapping-key app/kek", b"", 1)?;
    ensure!(
        denied.contains("denied") && denied.contains("remedy"),
        "{denied}"
    );
    Ok(())
}

#[test]
fn two_keys_agree_by_their_public_halves_in_any_form() -> Result<()> {
    let world = world()?;
    for key_type in ["x25519", "ec-p256", "ec-p384", "ec-p521"] {
        let [ours, theirs] = ["ours", "theirs"].map(|name| format!("app/{key_type}-{name}"));
        for name in [&ours, &theirs] {
            written(&world, &format!("generate {name} --type {key_type}"), b"")?;
        }
        let public = |name: &str, form: &str| {
            let line = format!("public-key {name} --format {form} --out @DIR@/{form}");
            written(&world, &line, b"")
        };
        public(&ours, "pem")?;
        public(&theirs, "der")?;
        world.folder.write("info", b"session 1")?;
        let mut tags = Vec::new();
        for (name, form) in [(&theirs, "pem"), (&ours, "der")] {
            let rest = format!("--new-key {name}-shared --type hmac-sha256 --info @DIR@/info");
            let line = format!("agree {name} --peer-public @DIR@/{form} {rest}");
            written(&world, &line, b"")?;
            tags.push(written(&world, &format!("mac {name}-shared"), b"data")?);
        }
        ensure!(tags.first() == tags.last(), "{key_type}");
        world.folder.write("der", b"no public key")?;
        let rest = "--new-key app/none --type hmac-sha256";
        let line = format!("agree {ours} --peer-public @DIR@/der {rest}");
        let error = refused(&world, &line, b"", 1)?;
        ensure!(error.contains("wrong-parameters"), "{error}");
    }
    Ok(())
}

#[test]
fn what_is_encapsulated_to_a_key_is_decapsulated_by_it() -> Result<()> {
    let world = world()?;
    written(&world, "generate app/kem --type ml-kem-768", b"")?;
    let child = "--type aes-256-gcm-siv";
    let line = format!("encapsulate app/kem --new-key app/one {child} --out @DIR@/sealed");
    written(&world, &line, b"")?;
    let line = format!("decapsulate app/kem --new-key app/two {child} --in @DIR@/sealed");
    written(&world, &line, b"")?;
    let sealed = written(&world, "encrypt app/one", b"plain")?;
    assert_eq!(written(&world, "decrypt app/two", &sealed)?, b"plain");
    let short = format!("decapsulate app/kem --new-key app/three {child}");
    let error = refused(&world, &short, b"short", 1)?;
    ensure!(error.contains("malformed"), "{error}");
    Ok(())
}

#[test]
fn keys_of_openssl_come_in_and_openssl_verifies_and_opens_what_they_make() -> Result<()> {
    let world = world()?;
    for (name, key_type, how) in [
        ("rsa", "rsa-2048", "RSA -pkeyopt rsa_keygen_bits:2048"),
        ("ec", "ec-p256", "EC -pkeyopt ec_paramgen_curve:P-256"),
        ("ed", "ed25519", "ED25519"),
    ] {
        let pem = openssl(&world, &format!("genpkey -algorithm {how}"), b"")?;
        let line = format!("pkcs8 -topk8 -nocrypt -outform DER -out {name}");
        openssl(&world, &line, &pem)?;
        let line = format!("import app/{name} --type {key_type} --format pkcs8 --in @DIR@/{name}");
        written(&world, &line, b"")?;
        let public = written(&world, &format!("public-key app/{name}"), b"")?;
        world.folder.write(&format!("{name}.pem"), &public)?;
        let line = format!("pkey -inform DER -in {name} -pubout");
        assert_eq!(openssl(&world, &line, b"")?, public, "{name}");
    }
    let error = refused(
        &world,
        "import app/wrong --type ec-p384 --format pkcs8 --in @DIR@/ec",
        b"",
        1,
    )?;
    ensure!(error.contains("malformed"), "{error}");

    world.folder.write("message", b"a message")?;
    let digest = openssl(&world, "dgst -sha256 -binary message", b"")?;
    let verify = "dgst -sha256 -signature signature -verify";
    let pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest";
    for (scheme, how) in [
        ("rsa-pss-sha256", format!("{verify} rsa.pem {pss} message")),
        ("rsa-pkcs1-sha256", format!("{verify} rsa.pem message")),
        ("ecdsa-sha256-der", format!("{verify} ec.pem message")),
    ] {
        let name = if scheme.starts_with("rsa") {
            "rsa"
        } else {
            "ec"
        };
        let sign = format!("sign app/{name} --scheme {scheme} --out @DIR@/signature");
        for (input, form) in [(&b"a message"[..], ""), (&digest, " --prehashed")] {
            written(&world, &format!("{sign}{form}"), input)?;
            openssl(&world, &how, b"")?;
            let check = format!("verify app/{name} --scheme {scheme} --signature @DIR@/signature");
            written(&world, &format!("{check}{form}"), input)?;
            let forged = input.get(1..).unwrap_or_default();
            refused(&world, &format!("{check}{form}"), forged, 1)?;
        }
    }
    let error = refused(&world, "sign app/ed --prehashed", &digest, 1)?;
    ensure!(error.contains("wrong-parameters"), "{error}");

    let seal = "pkeyutl -encrypt -pubin -inkey rsa.pem -pkeyopt rsa_padding_mode:oaep -pkeyopt \
                rsa_oaep_md:sha384 -pkeyopt rsa_mgf1_md:sha384";
    let sealed = openssl(&world, seal, b"plain")?;
    let open = "decrypt app/rsa --scheme rsa-oaep-sha384";
    assert_eq!(written(&world, open, &sealed)?, b"plain");
    refused(
        &world,
        "decrypt app/rsa --scheme rsa-oaep-sha256",
        &sealed,
        1,
    )?;
    let ours = written(&world, "encrypt app/rsa --scheme rsa-oaep-sha384", b"plain")?;
    let open = "pkeyutl -decrypt -keyform DER -inkey rsa -pkeyopt rsa_padding_mode:oaep -pkeyopt \
                rsa_oaep_md:sha384 -pkeyopt rsa_mgf1_md:sha384";
    assert_eq!(openssl(&world, open, &ours)?, b"plain");
    Ok(())
}

#[test]
fn a_ciphertext_of_another_program_opens_by_its_nonce_under_an_imported_key_alone() -> Result<()> {
    let world = world()?;
    // Test case 14 of the GCM specification: a key and a nonce of zeroes.
    let sealed = [
        0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3, 0x9d,
        0x18, 0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99, 0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a,
        0xb9, 0x19,
    ];
    world.folder.write("nonce", [0; 12])?;
    written(&world, "import app/theirs --type aes-256-gcm", &[0; 32])?;
    let open = "decrypt app/theirs --nonce @DIR@/nonce";
    assert_eq!(written(&world, open, &sealed)?, [0; 16]);
    let mut forged = sealed;
    forged[0] ^= 1;
    let error = refused(&world, open, &forged, 1)?;
    ensure!(error.contains("verification-failed"), "{error}");
    written(&world, "generate app/ours --type aes-256-gcm", b"")?;
    let error = refused(&world, "decrypt app/ours --nonce @DIR@/nonce", &sealed, 1)?;
    ensure!(error.contains("wrong-parameters"), "{error}");
    world.folder.write("nonce", [0; 11])?;
    refused(&world, open, &sealed, 2)?;
    Ok(())
}

#[test]
fn openssl_verifies_the_certificate_requests_of_every_type_that_makes_one() -> Result<()> {
    let world = world()?;
    for key_type in ["ec-p256", "ec-p384", "ed25519", "rsa-2048"] {
        let key = format!("app/{key_type}");
        written(&world, &format!("generate {key} --type {key_type}"), b"")?;
        let names = "--subject CN=web,O=Example --san web.example.org,192.0.2.1";
        let line = format!("csr {key} {names} --out @DIR@/csr");
        written(&world, &line, b"")?;
        let text = openssl(&world, "req -verify -in csr -noout -text", b"")?;
        let text = String::from_utf8(text)?;
        ensure!(
            text.contains("DNS:web.example.org, IP Address:192.0.2.1"),
            "{text}"
        );
        let public = openssl(&world, "req -in csr -noout -pubkey", b"")?;
        let ours = written(&world, &format!("public-key {key}"), b"")?;
        assert_eq!(public, ours, "{key_type}");
    }
    Ok(())
}

#[test]
fn evidence_is_printed_and_everything_is_wiped_once_it_is_meant() -> Result<()> {
    let mut world = World::prepare(plan())?;
    world.store = Some(Arc::new(DescriptorStore::new(64)));
    world.start_quote()?;
    world.start_vhsmd()?;
    let evidence = written(&world, "--json attest", b"a nonce")?;
    let evidence: serde_json::Value = serde_json::from_slice(&evidence)?;
    assert_eq!(evidence["tee"], "sample");
    let long = refused(&world, "attest", &[0; 65], 5)?;
    ensure!(long.contains("longer than 64 bytes"), "{long}");

    written(&world, "generate app/k --type hmac-sha256", b"")?;
    refused(&world, "wipe", b"", 2)?;
    written(&world, "mac app/k", b"data")?;
    // What is kept over an end in order is gone after a wipe.
    world.vhsmd.take().context("vhsmd runs")?.stop()?;
    world.start_vhsmd()?;
    written(&world, "mac app/k", b"data")?;
    written(&world, "wipe --yes", b"")?;
    drop(world.vhsmd.take());
    world.start_vhsmd()?;
    let gone = refused(&world, "mac app/k", b"data", 1)?;
    ensure!(gone.contains("key-not-found"), "{gone}");
    Ok(())
}

#[test]
fn a_rule_for_encrypt_and_decrypt_is_enough_for_a_file_of_any_length() -> Result<()> {
    let world = World::start(Plan::vault(""))?;
    let make = "generate app/k --type aes-256-gcm --operations encrypt,decrypt";
    written(&world, make, b"")?;
    let plain = vec![7; 100_000];
    written(&world, "encrypt app/k --out @DIR@/sealed", &plain)?;
    let back = "decrypt app/k --in @DIR@/sealed --out @DIR@/plain";
    written(&world, back, b"")?;
    ensure!(fs::read(world.path("plain"))? == plain);
    Ok(())
}
