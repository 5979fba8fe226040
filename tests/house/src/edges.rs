//! Who may import whom. An edge that is not in the table is a failure, and so is a package
//! without a row: a new room states its imports here before it has any.

/// Binaries of ours: programs, not libraries, so nothing imports them but `nitride-initrd`, whose row
/// names those that it is.
pub const BINARIES: &[&str] = &[
    "vhsmd",
    "vhsm",
    "nitride-quote",
    "nitride-unlock",
    "nitride-agent",
    "nitride-initrd",
    "nitride-provisiond",
    "nitride-verify-cli",
];

/// One row a package: what it may import of ours. `nitride-cbor` is implied for every row that
/// may import a crate which is written in it (see [`may_import`]).
pub const TABLE: &[(&str, &[&str])] = &[
    ("nitride-cbor", &[]),
    ("nitride-protocol", &["nitride-cbor"]),
    ("nitride-kbs", &["nitride-cbor"]),
    ("nitride-openbao", &[]),
    ("nitride-secmem", &[]),
    (
        "nitride-vault",
        &["nitride-protocol", "nitride-kbs", "nitride-secmem"],
    ),
    ("nitride-ipc", &["nitride-protocol"]),
    (
        "nitride-client",
        &["nitride-protocol", "nitride-ipc", "nitride-secmem"],
    ),
    (
        "vhsmd",
        &[
            "nitride-vault",
            "nitride-ipc",
            "nitride-protocol",
            "nitride-kbs",
            "nitride-secmem",
        ],
    ),
    (
        "vhsm",
        &["nitride-client", "nitride-protocol", "nitride-secmem"],
    ),
    (
        "nitride-pkcs11",
        &["nitride-client", "nitride-protocol", "nitride-secmem"],
    ),
    ("nitride-evidence", &[]),
    ("nitride-settings", &["nitride-ipc"]),
    (
        "nitride-quote",
        &[
            "nitride-evidence",
            "nitride-ipc",
            "nitride-protocol",
            "nitride-settings",
        ],
    ),
    (
        "nitride-courier",
        &["nitride-kbs", "nitride-openbao", "nitride-protocol"],
    ),
    (
        "nitride-agent",
        &[
            "nitride-courier",
            "nitride-client",
            "nitride-kbs",
            "nitride-openbao",
            "nitride-protocol",
            "nitride-secmem",
            "nitride-settings",
        ],
    ),
    (
        "nitride-unlock",
        &["nitride-client", "nitride-kbs", "nitride-settings"],
    ),
    (
        "nitride-initrd",
        &["vhsmd", "nitride-agent", "nitride-quote", "nitride-unlock"],
    ),
    ("nitride-verify", &["nitride-kbs"]),
    ("nitride-dcap", &["nitride-verify"]),
    ("nitride-collateral", &["nitride-verify", "nitride-dcap"]),
    ("nitride-measure", &[]),
    ("nitride-policy", &["nitride-verify", "nitride-kbs"]),
    (
        "nitride-provisiond",
        &[
            "nitride-verify",
            "nitride-collateral",
            "nitride-kbs",
            "nitride-policy",
            "nitride-openbao",
        ],
    ),
    (
        "nitride-verify-cli",
        &[
            "nitride-verify",
            "nitride-collateral",
            "nitride-kbs",
            "nitride-measure",
        ],
    ),
];

/// One package of the workspace and what it declares that it imports, of any kind: normal,
/// build and development alike.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its folder, relative to the root.
    pub folder: String,
    /// Names of everything that it declares, ours or not.
    pub imports: Vec<String>,
}

/// What breaks the table. `packages` is the whole workspace.
#[must_use]
pub fn findings(packages: &[Package]) -> Vec<String> {
    let mut found = Vec::new();
    for package in packages {
        let from = package.name.as_str();
        let crosses = package.folder.starts_with("tests/");
        let row = TABLE.iter().find(|(name, _)| *name == from);
        if row.is_none() && !crosses {
            found.push(format!("{from} ({}) has no row in TABLE", package.folder));
        }
        for to in &package.imports {
            let to_ours = packages.iter().find(|other| other.name == *to);
            let Some(target) = to_ours else { continue };
            let is_named = row.is_some_and(|(_, allowed)| allowed.contains(&to.as_str()));
            if BINARIES.contains(&to.as_str()) && !is_named {
                found.push(format!("{from} imports the binary {to}"));
            } else if !crosses && target.folder.starts_with("tests/") {
                found.push(format!("{from} imports {to}, which is for tests alone"));
            } else if !crosses && !row.is_some_and(|(_, allowed)| may_import(allowed, to)) {
                found.push(format!("{from} may not import {to}"));
            }
        }
    }
    found
}

/// `nitride-cbor` carries the wire types of `nitride-protocol` and `nitride-kbs`; whoever may
/// import one of those has to be able to name its errors.
fn may_import(allowed: &[&str], to: &str) -> bool {
    allowed.contains(&to)
        || (to == "nitride-cbor"
            && (allowed.contains(&"nitride-protocol") || allowed.contains(&"nitride-kbs")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(edges: &[(&str, &str, &[&str])]) -> Vec<Package> {
        edges
            .iter()
            .map(|(name, folder, imports)| Package {
                name: (*name).to_owned(),
                folder: (*folder).to_owned(),
                imports: imports.iter().map(|import| (*import).to_owned()).collect(),
            })
            .collect()
    }

    #[test]
    fn a_listed_edge_and_foreign_crates_pass() {
        let packages = workspace(&[
            ("nitride-cbor", "protocol/cbor", &["minicbor"]),
            ("nitride-protocol", "protocol/vhsm", &["nitride-cbor"]),
            (
                "nitride-ipc",
                "vhsm/ipc",
                &["nitride-protocol", "nitride-cbor", "nix"],
            ),
            ("nitride-e2e", "tests/e2e", &["nitride-ipc"]),
        ]);
        assert_eq!(findings(&packages), Vec::<String>::new());
    }

    #[test]
    fn an_unlisted_edge_is_found() {
        let packages = workspace(&[
            ("nitride-secmem", "vhsm/secmem", &[]),
            ("nitride-quote", "agent/quote", &["nitride-secmem"]),
        ]);
        assert_eq!(
            findings(&packages),
            ["nitride-quote may not import nitride-secmem"]
        );
    }

    #[test]
    fn cbor_is_not_implied_for_a_crate_that_imports_nothing_of_ours() {
        let packages = workspace(&[
            ("nitride-cbor", "protocol/cbor", &[]),
            ("nitride-secmem", "vhsm/secmem", &["nitride-cbor"]),
        ]);
        assert_eq!(
            findings(&packages),
            ["nitride-secmem may not import nitride-cbor"]
        );
    }

    #[test]
    fn a_binary_that_is_imported_is_found_even_from_tests() {
        let packages = workspace(&[
            ("vhsmd", "vhsm/daemon", &[]),
            ("nitride-e2e", "tests/e2e", &["vhsmd"]),
        ]);
        assert_eq!(
            findings(&packages),
            ["nitride-e2e imports the binary vhsmd"]
        );
    }

    #[test]
    fn one_program_alone_is_made_of_programs_and_nothing_is_made_of_it() {
        let packages = workspace(&[
            ("vhsmd", "vhsm/daemon", &[]),
            ("nitride-initrd", "initrd", &["vhsmd", "vhsm"]),
            ("vhsm", "vhsm/cli", &["vhsmd", "nitride-initrd"]),
        ]);
        assert_eq!(
            findings(&packages),
            [
                "nitride-initrd imports the binary vhsm",
                "vhsm imports the binary vhsmd",
                "vhsm imports the binary nitride-initrd",
            ]
        );
    }

    #[test]
    fn a_package_without_a_row_is_found() {
        let packages = workspace(&[("nitride-new", "vhsm/new", &[])]);
        assert_eq!(
            findings(&packages),
            ["nitride-new (vhsm/new) has no row in TABLE"]
        );
    }

    #[test]
    fn a_product_crate_that_imports_the_harness_is_found() {
        let packages = workspace(&[
            ("nitride-support", "tests/support", &[]),
            ("vhsmd", "vhsm/daemon", &["nitride-support"]),
        ]);
        assert_eq!(
            findings(&packages),
            ["vhsmd imports nitride-support, which is for tests alone"]
        );
    }
}
