//! Rules about Rust source files.

use crate::lexer::{code_of, has_word};

/// Past this a file is two.
pub const MAX_LINES: usize = 500;

/// Words that say nothing about what is in a room.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "base", "helper", "helpers", "misc",
];

/// Where `unsafe` may stand: a file, or a folder that ends in `/`.
pub const UNSAFE_ROOMS: &[&str] = &[
    "vhsm/secmem/",
    "vhsm/ipc/src/sys.rs",
    "vhsm/pkcs11/src/ffi.rs",
    "agent/evidence/src/device.rs",
    "agent/evidence/src/gpu/sys.rs",
    "agent/unlock/src/device_mapper/sys.rs",
];

/// Packages whose crate root cannot forbid `unsafe`, because a file inside may have it.
const UNSAFE_PACKAGES: &[&str] = &[
    "vhsm/secmem/",
    "vhsm/ipc/",
    "agent/evidence/",
    "agent/unlock/",
];

/// What breaks a rule in one source file.
#[must_use]
pub fn findings(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        found.push(format!("{file} has {lines} lines, more than {MAX_LINES}"));
    }
    let code = code_of(text);
    if has_word(&code, "unsafe") && !UNSAFE_ROOMS.iter().any(|room| within(file, room)) {
        found.push(format!("{file} has unsafe code"));
    }
    for (index, line) in code.lines().enumerate() {
        let at = format!("{file}:{}", index + 1);
        let line = line.trim();
        if line.contains('#') && has_word(line, "allow") {
            found.push(format!("{at} allows a lint instead of expecting it"));
        }
        if line.starts_with("#[ignore") {
            found.push(format!("{at} ignores a test"));
        }
        if line.contains("fn get_") {
            found.push(format!("{at} has a get_ name"));
        }
        if let Some(name) = declared_module(line)
            && EMPTY_NAMES.contains(&name)
        {
            found.push(format!("{at} declares a module named {name}"));
        }
    }
    for part in file.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            found.push(format!("{file} is named {part}"));
        }
    }
    found
}

/// What breaks the rule about crate roots in one of them.
#[must_use]
pub fn root_findings(file: &str, text: &str) -> Vec<String> {
    let exempt = UNSAFE_PACKAGES.iter().any(|package| within(file, package));
    let forbids = code_of(text)
        .lines()
        .any(|line| line.trim() == "#![forbid(unsafe_code)]");
    if exempt || forbids {
        Vec::new()
    } else {
        vec![format!("{file} does not say #![forbid(unsafe_code)]")]
    }
}

fn within(file: &str, room: &str) -> bool {
    file == room || (room.ends_with('/') && file.starts_with(room))
}

fn declared_module(line: &str) -> Option<&str> {
    let declared = line
        .strip_prefix("pub(crate) ")
        .or_else(|| line.strip_prefix("pub(super) "))
        .or_else(|| line.strip_prefix("pub "))
        .unwrap_or(line)
        .strip_prefix("mod ")?;
    declared.split([';', ' ', '{']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_code_passes() {
        let text = "//! unsafe is a word here.\nmod rounds;\nfn next() { log(\"allow\") }\n";
        assert_eq!(
            findings("vhsm/vault/src/lib.rs", text),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_file_of_501_lines_is_found_and_one_of_500_is_not() {
        assert_eq!(
            findings("a/src/x.rs", &"\n".repeat(500)),
            Vec::<String>::new()
        );
        assert_eq!(
            findings("a/src/x.rs", &"\n".repeat(501)),
            ["a/src/x.rs has 501 lines, more than 500"]
        );
    }

    #[test]
    fn unsafe_is_found_outside_its_rooms_alone() {
        let text = "fn f() { unsafe { g() } }";
        assert_eq!(findings("vhsm/ipc/src/sys.rs", text), Vec::<String>::new());
        assert_eq!(
            findings("vhsm/secmem/src/arena.rs", text),
            Vec::<String>::new()
        );
        assert_eq!(
            findings("vhsm/ipc/src/peer.rs", text),
            ["vhsm/ipc/src/peer.rs has unsafe code"]
        );
        assert_eq!(
            findings("vhsm/secmem2/src/lib.rs", text),
            ["vhsm/secmem2/src/lib.rs has unsafe code"]
        );
    }

    #[test]
    fn an_allowed_lint_is_found_in_every_form() {
        for text in [
            "#[allow(dead_code)]",
            "#![allow(clippy::all)]",
            "#[cfg_attr(test, allow(unused))]",
        ] {
            assert_eq!(
                findings("a/src/x.rs", text),
                ["a/src/x.rs:1 allows a lint instead of expecting it"]
            );
        }
    }

    #[test]
    fn an_ignored_test_is_found() {
        assert_eq!(
            findings("a/src/x.rs", "\n#[ignore]"),
            ["a/src/x.rs:2 ignores a test"]
        );
    }

    #[test]
    fn a_getter_name_is_found() {
        assert_eq!(
            findings("a/src/x.rs", "pub fn get_key() {}"),
            ["a/src/x.rs:1 has a get_ name"]
        );
    }

    #[test]
    fn an_empty_name_is_found_as_a_file_a_folder_and_a_module() {
        assert_eq!(
            findings("a/src/util.rs", ""),
            ["a/src/util.rs is named util"]
        );
        assert_eq!(
            findings("a/common/x.rs", ""),
            ["a/common/x.rs is named common"]
        );
        assert_eq!(
            findings("a/src/x.rs", "pub(crate) mod helpers;"),
            ["a/src/x.rs:1 declares a module named helpers"]
        );
        assert_eq!(
            findings("a/src/database.rs", "mod based;"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_crate_root_that_does_not_forbid_unsafe_is_found() {
        let commented = "// #![forbid(unsafe_code)]\n";
        assert_eq!(
            root_findings("agent/courier/src/lib.rs", commented),
            ["agent/courier/src/lib.rs does not say #![forbid(unsafe_code)]"]
        );
        assert_eq!(
            root_findings("agent/courier/src/lib.rs", "#![forbid(unsafe_code)]\n"),
            Vec::<String>::new()
        );
        assert_eq!(
            root_findings("vhsm/secmem/src/lib.rs", ""),
            Vec::<String>::new()
        );
    }
}
