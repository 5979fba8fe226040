//! SoftHSM2 in a process of its own, by PKCS#11: no socket to cross.

use crate::measure::per_operation;
use anyhow::{Context, Result, ensure};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The hidden argument under which this program measures the library at the path that follows. A
/// child, since the library finds its configuration by the environment alone.
pub(crate) const CHILD_ARGUMENT: &str = "--measure-softhsm";

/// Where Debian and others put it.
const PLACES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];

const TURNS: usize = 20;
const BATCH: u32 = 200;

/// Microseconds a P-256 signature; `None` where the library is not installed.
pub(crate) fn sign_micros() -> Result<Option<f64>> {
    let Some(library) = PLACES
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.is_file())
    else {
        return Ok(None);
    };
    let folder = tempfile::tempdir()?;
    let tokens = folder.path().join("tokens");
    std::fs::create_dir(&tokens)?;
    let config = folder.path().join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&config, text)?;
    let measured = Command::new(std::env::current_exe()?)
        .arg(CHILD_ARGUMENT)
        .arg(library)
        .env("SOFTHSM2_CONF", config)
        .output()
        .context("cannot start the process that measures SoftHSM2")?;
    let said = String::from_utf8_lossy(&measured.stderr);
    ensure!(
        measured.status.success(),
        "SoftHSM2 was not measured: {said}"
    );
    let printed = String::from_utf8(measured.stdout)?;
    Ok(Some(printed.trim().parse()?))
}

/// The child: prints microseconds a signature.
pub(crate) fn measure(library: &Path) -> Result<()> {
    let module = Pkcs11::new(library)?;
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let slot = *module.get_all_slots()?.first().context("no slot")?;
    let pin = AuthPin::new("1234".into());
    module.init_token(slot, &pin, "perf")?;
    let slot = *module
        .get_slots_with_initialized_token()?
        .first()
        .context("no token")?;
    let session = module.open_rw_session(slot)?;
    session.login(UserType::So, Some(&pin))?;
    session.init_pin(&pin)?;
    session.logout()?;
    session.login(UserType::User, Some(&pin))?;
    // The object identifier of the curve, in DER.
    let curve = vec![6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let public = [Attribute::EcParams(curve), Attribute::Verify(true)];
    let private = [Attribute::Sign(true), Attribute::Sensitive(true)];
    let (_, key) = session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)?;
    let mut micros = Vec::new();
    for _ in 0..=TURNS {
        micros.push(per_operation(BATCH, &mut || {
            std::hint::black_box(session.sign(&Mechanism::Ecdsa, key, &[1; 32])?);
            Ok(())
        })?);
    }
    micros.sort_by(f64::total_cmp);
    println!("{}", micros[micros.len() / 2]);
    Ok(())
}
