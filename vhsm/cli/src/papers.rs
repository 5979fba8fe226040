//! The shell completions in `packaging/completions` are those of this command line. With
//! `NITRIDE_WRITE_PAPERS=1` the test writes them instead.

use crate::arguments::Arguments;
use clap::CommandFactory;
use clap_complete::{Shell, generate};
use std::path::Path;

#[test]
fn completions_are_those_of_the_command_line() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/completions");
    for (shell, name) in [
        (Shell::Bash, "vhsm.bash"),
        (Shell::Zsh, "_vhsm"),
        (Shell::Fish, "vhsm.fish"),
    ] {
        let mut made = Vec::new();
        generate(shell, &mut Arguments::command(), "vhsm", &mut made);
        let path = folder.join(name);
        if std::env::var_os("NITRIDE_WRITE_PAPERS").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let kept = std::fs::read(&path).unwrap_or_default();
        assert!(
            kept == made,
            "{} is not up to date: run the tests with NITRIDE_WRITE_PAPERS=1",
            path.display()
        );
    }
}
