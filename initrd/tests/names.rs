//! The program, started by the names that an initrd gives it.
#![forbid(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

fn started_as(name: &str) -> io::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nitride-initrd"));
    command.arg0(name).arg("--version").output()
}

#[test]
fn it_is_the_program_of_its_name() -> io::Result<()> {
    for (folder, name) in [
        ("/usr/bin", "vhsmd"),
        ("/usr/bin", "nitride-agent"),
        ("/usr/bin", "nitride-unlock"),
        ("/usr/libexec", "nitride-quote"),
    ] {
        let output = started_as(&format!("{folder}/{name}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}");
        assert!(said.starts_with(&format!("{name} ")), "{name}: {said}");
    }
    Ok(())
}

#[test]
fn by_another_name_it_says_which_it_has_and_does_nothing() -> io::Result<()> {
    for name in ["/usr/libexec/nitride-initrd", "vhsm", ""] {
        let output = started_as(name)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(output.stdout.is_empty(), "{name}");
        assert!(
            said.contains(&format!("{name:?} is none of these")),
            "{said}"
        );
    }
    Ok(())
}
