//! The protocol from the outside: the Python example, which was written from the CDDL alone.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_support::plan::Plan;
use nitride_support::python;
use nitride_support::world::World;
use std::path::Path;

#[test]
fn a_python_script_of_at_most_60_lines_signs_and_encrypts() -> Result<()> {
    let script = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/python/sign_and_encrypt.py"
    ));
    let lines = std::fs::read_to_string(script)?.lines().count();
    assert!(lines <= 60, "the script has {lines} lines");
    let python = python::with_cbor2()?;
    let world = World::start(Plan::vault(""))?;
    // Twice: the second time its keys are there.
    for _ in 0..2 {
        let output = std::process::Command::new(&python)
            .arg(script)
            .arg(world.path("vhsm.sock"))
            .output()
            .with_context(|| format!("run {}", python.display()))?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.contains("verified") && said.contains("decrypted"),
            "{said}"
        );
    }
    Ok(())
}
