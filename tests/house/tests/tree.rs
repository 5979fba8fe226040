//! Every rule, applied to the tree that this test was compiled in.
#![forbid(unsafe_code)]

use anyhow::Result;
use nitride_house::edges::{self, BINARIES, Package, TABLE};
use nitride_house::tree::Tree;
use nitride_house::{manifests, papers, sources};
use std::process::Command;

fn folder_of(tree: &Tree, package: &cargo_metadata::Package) -> String {
    package
        .manifest_path
        .parent()
        .and_then(|folder| folder.strip_prefix(&tree.root).ok())
        .map(|folder| folder.as_str().to_owned())
        .unwrap_or_default()
}

fn nothing(found: &[String]) {
    assert!(found.is_empty(), "\n  {}\n", found.join("\n  "));
}

#[test]
fn nobody_imports_what_the_table_does_not_list() -> Result<()> {
    let tree = Tree::read()?;
    let packages: Vec<Package> = tree
        .metadata
        .packages
        .iter()
        .map(|package| Package {
            name: package.name.to_string(),
            folder: folder_of(&tree, package),
            imports: package
                .dependencies
                .iter()
                .map(|dependency| dependency.name.clone())
                .collect(),
        })
        .collect();
    assert!(
        packages.len() > 15,
        "only {} packages were read",
        packages.len()
    );
    nothing(&edges::findings(&packages));
    Ok(())
}

/// What an initrd's build leaves out is memory that no boot needs, and what no boot is attacked by.
#[test]
fn nothing_of_openbao_is_in_an_initrds_program() -> Result<()> {
    let tree = Tree::read()?;
    let shown = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal"])
        .args(["--prefix", "none", "--package", "nitride-initrd"])
        .current_dir(&tree.root)
        .output()?;
    assert!(shown.status.success(), "{shown:?}");
    let shown = String::from_utf8(shown.stdout)?;
    let names: Vec<_> = shown
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(names.contains(&"nitride-agent") && names.contains(&"nitride-courier"));
    assert!(!names.contains(&"nitride-openbao"), "{shown}");
    Ok(())
}

#[test]
fn every_package_with_a_program_is_listed_as_a_binary() -> Result<()> {
    let tree = Tree::read()?;
    for package in &tree.metadata.packages {
        let has_program = package.targets.iter().any(cargo_metadata::Target::is_bin);
        if has_program && !folder_of(&tree, package).starts_with("tests/") {
            assert!(
                BINARIES.contains(&package.name.as_str()),
                "{} has a program and is not in BINARIES",
                package.name
            );
        }
    }
    assert!(
        BINARIES
            .iter()
            .all(|binary| TABLE.iter().any(|(name, _)| name == binary))
    );
    Ok(())
}

#[test]
fn every_crate_root_forbids_unsafe_code_but_where_it_is_rationed() -> Result<()> {
    let tree = Tree::read()?;
    let mut found = Vec::new();
    for target in tree
        .metadata
        .packages
        .iter()
        .flat_map(|package| &package.targets)
    {
        let file = target.src_path.strip_prefix(&tree.root)?.as_str();
        found.extend(sources::root_findings(file, &tree.text(file)?));
    }
    nothing(&found);
    Ok(())
}

#[test]
fn sources_keep_the_rules_of_size_names_lints_and_unsafe() -> Result<()> {
    let tree = Tree::read()?;
    let mut found = Vec::new();
    for (file, text) in tree.texts(".rs")? {
        found.extend(sources::findings(file, &text));
    }
    nothing(&found);
    Ok(())
}

#[test]
fn the_median_source_file_is_under_200_lines() -> Result<()> {
    let tree = Tree::read()?;
    let mut lines: Vec<usize> = tree
        .texts(".rs")?
        .iter()
        .map(|(_, text)| text.lines().count())
        .collect();
    lines.sort_unstable();
    let median = lines[lines.len() / 2];
    assert!(median < 200, "the median source file has {median} lines");
    Ok(())
}

#[test]
fn every_member_inherits_lints_and_package_facts() -> Result<()> {
    let tree = Tree::read()?;
    let mut found = Vec::new();
    for package in &tree.metadata.packages {
        let folder = folder_of(&tree, package);
        let is_program = folder.starts_with("tests/") || BINARIES.contains(&package.name.as_str());
        let file = format!("{folder}/Cargo.toml");
        found.extend(manifests::findings(&file, &tree.text(&file)?, is_program));
    }
    nothing(&found);
    Ok(())
}

#[test]
fn the_files_a_reader_expects_are_there() -> Result<()> {
    nothing(&papers::missing(&Tree::read()?.files));
    Ok(())
}

#[test]
fn decisions_are_numbered_without_a_gap() -> Result<()> {
    nothing(&papers::misnumbered(&Tree::read()?.files));
    Ok(())
}

#[test]
fn every_test_that_the_papers_name_is_there() -> Result<()> {
    let tree = Tree::read()?;
    let sources = tree.texts(".rs")?;
    let mut found = Vec::new();
    for (file, text) in tree.texts(".md")? {
        found.extend(papers::unknown_tests(file, &text, &sources));
    }
    nothing(&found);
    Ok(())
}

#[test]
fn no_file_names_a_path_of_the_machine_it_was_written_on() -> Result<()> {
    let tree = Tree::read()?;
    let mut found = Vec::new();
    for file in &tree.files {
        found.extend(papers::machine_paths(file, &tree.text(file)?));
    }
    nothing(&found);
    Ok(())
}

/// What takes 12 minutes is not run with every change; that it could be is seen here.
#[test]
fn the_mutants_of_evidence_can_be_made_of_this_tree() -> Result<()> {
    let tree = Tree::read()?;
    let found = Command::new("git")
        .args(["apply", "--check", "tests/vectors/mutants/removed.patch"])
        .current_dir(&tree.root)
        .output()?;
    assert!(
        found.status.success(),
        "{}",
        String::from_utf8_lossy(&found.stderr)
    );
    Ok(())
}
