//! vhsmd's policy files, by the very code that reads them: it is part of a program, not of a
//! library, so its files are included here.

#[expect(
    dead_code,
    unused_imports,
    reason = "the program uses more of its configuration than the target"
)]
#[path = "../../../vhsm/daemon/src/config/mod.rs"]
mod config;

use config::{Config, Document, check_policy};
use std::path::Path;
use std::sync::OnceLock;

/// A configuration with one service, whose policy folder is empty.
fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("nitride-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let text = format!(
            "policy-dir = {folder:?}\n[arena]\nrecords = \"1MiB\"\nheap = \"1MiB\"\n\
             [evidence]\ntee = \"sample\"\ndanger-simulated = true\nquote-socket = \"/q\"\n\
             [[service]]\nname = \"main\"\n"
        );
        let document = Document::of(Path::new("vhsmd.toml"), text);
        Config::of(&document).expect("the configuration is good")
    })
}

/// A policy file: every fault has its place, its reason and its remedy, on one line.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let faults = check_policy(config(), "fuzzed.toml", text);
    assert!(faults.len() <= 32);
    for fault in faults {
        let fault = fault.to_string();
        let (place, rest) = fault.split_once(": ").expect("a place");
        // Or the file of a key that the text names, whatever its name.
        assert!(!place.is_empty(), "{fault}");
        assert!(rest.contains("; "), "{fault}");
        assert!(!fault.contains('\n'), "{fault}");
    }
}
