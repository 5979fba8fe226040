//! nitride-initrd: the four programs of an initrd in one file, since an initrd is memory, and each
//! of them is made of much that all of them are made of.
//!
//! ```text
//! /usr/bin/vhsmd            ──┐
//! /usr/bin/nitride-agent    ──┤ links    the name that it is       that program's main,
//! /usr/bin/nitride-unlock   ──┼────────> started by ─────────────> and nothing else
//! /usr/libexec/nitride-quote──┘
//! ```
//!
//! It has nothing of its own but this choice. Each process is confined by its program and its unit as
//! ever; they share text, never memory. decision 0032 weighs it.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// What one of the programs is, from its command line to its end.
type Main = fn() -> ExitCode;

/// The programs, by the last part of what they are started as.
const PROGRAMS: [(&str, Main); 4] = [
    ("vhsmd", vhsmd::main),
    ("nitride-agent", nitride_agent::main),
    ("nitride-quote", nitride_quote::main),
    ("nitride-unlock", nitride_unlock::main),
];

/// The name is none of the four.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "nitride-initrd is vhsmd, nitride-agent, nitride-quote or nitride-unlock, by the name that it is \
     started under, and {0:?} is none of these: start it by a link of such a name"
)]
struct NameUnknown(OsString);

fn main() -> ExitCode {
    let started_as = std::env::args_os().next().unwrap_or_default();
    match program(&started_as) {
        Ok(main) => main(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The program of this name: the whole of the last part, and no other spelling.
fn program(started_as: &OsStr) -> Result<Main, NameUnknown> {
    let name = Path::new(started_as).file_name().unwrap_or_default();
    let mut known = PROGRAMS.iter().filter(|(known, _)| *known == name);
    match known.next() {
        Some((_, main)) => Ok(*main),
        None => Err(NameUnknown(started_as.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_one_of_the_four_to_the_letter_is_none() {
        for name in [
            "",
            "/",
            "nitride-initrd",
            "/usr/libexec/nitride-initrd",
            "vhsm",
            "vhsmd2",
            "VHSMD",
            "/usr/bin/vhsmd/x",
            "nitride-unlock@root",
        ] {
            let refused = program(OsStr::new(name)).err();
            assert_eq!(refused, Some(NameUnknown(name.into())), "{name}");
        }
    }

    #[test]
    fn a_folder_before_the_name_says_nothing() {
        for (name, _) in PROGRAMS {
            for folder in ["", "/usr/bin/", "/usr/libexec/", "./"] {
                assert!(program(OsStr::new(&format!("{folder}{name}"))).is_ok());
            }
        }
    }
}
