//! The manual pages are those of the programs: each is written by hand as `packaging/man/NAME.in`,
//! but for what `--help` and `--config-keys` say, which is put in from the programs themselves.
//! With `NITRIDE_WRITE_PAPERS=1` the test writes the pages instead of comparing them.

#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_protocol::Operation;
use nitride_support::binaries::Binaries;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/man")
}

fn output(program: &Path, arguments: &[&str]) -> Result<String> {
    let made = Command::new(program)
        .args(arguments)
        .env("COLUMNS", "78")
        .output()
        .with_context(|| format!("run {}", program.display()))?;
    ensure!(made.status.success(), "{} failed", program.display());
    Ok(String::from_utf8(made.stdout)?)
}

/// What `--help` says of the program and of each of its subcommands, as roff.
fn help(program: &Path, path: &[&str]) -> Result<String> {
    let mut arguments = path.to_vec();
    arguments.push("--help");
    let text = output(program, &arguments)?;
    let mut roff = String::new();
    if !path.is_empty() {
        roff.push_str(&format!(".SS {}\n", escaped(&path.join(" "))));
    }
    roff.push_str(".nf\n");
    // What every subcommand has is said once.
    let shown = match path.is_empty() {
        true => text.as_str(),
        false => text.split("\nConnection:").next().unwrap_or(&text),
    };
    for line in shown.trim_end().lines() {
        roff.push_str(&format!("{}\n", escaped(line.trim_end())));
    }
    roff.push_str(".fi\n");
    for command in commands(&text) {
        let mut path = path.to_vec();
        path.push(command);
        roff.push_str(&help(program, &path)?);
    }
    Ok(roff)
}

/// The subcommands that a help names.
fn commands(help: &str) -> Vec<&str> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split(' ').next())
        .filter(|name| *name != "help")
        .collect()
}

/// The keys of the configuration as roff: the part of the list under one heading.
fn keys(list: &str, heading: &str) -> Result<String> {
    let (_, part) = list
        .split_once(&format!("\n## {heading}\n"))
        .with_context(|| format!("{heading} is not in the list of keys"))?;
    let part = part.split("\n## ").next().unwrap_or(part);
    let mut roff = String::new();
    for line in part.lines().filter(|line| !line.is_empty()) {
        if let Some(table) = line.strip_prefix("### ") {
            roff.push_str(&format!(".SS {}\n", escaped(table.trim_matches('`'))));
        } else if let Some((key, meaning)) = line
            .strip_prefix("- `")
            .and_then(|line| line.split_once("`: "))
        {
            roff.push_str(&format!(".TP\n.B {}\n{}\n", escaped(key), escaped(meaning)));
        } else {
            roff.push_str(&format!("{}\n", escaped(line)));
        }
    }
    Ok(roff)
}

/// Text that roff shows as it is.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            c if c.is_ascii() => escaped.push(c),
            c => escaped.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        }
    }
    let text = escaped;
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

/// Puts into the hand-written page what stands between its lines.
fn page(name: &str, marker: &str, made: &str) -> Result<String> {
    let path = folder().join(format!("{name}.in"));
    let written = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    ensure!(
        written.matches(marker).count() == 1,
        "{name}.in has no single {marker}"
    );
    Ok(written.replace(marker, made))
}

fn compare(name: &str, made: &str) -> Result<()> {
    let path = folder().join(name);
    if std::env::var_os("NITRIDE_WRITE_PAPERS").is_some() {
        fs::write(&path, made)?;
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    ensure!(
        kept == made,
        "{name} is not up to date: run this test with NITRIDE_WRITE_PAPERS=1"
    );
    Ok(())
}

#[test]
fn the_programs_pages_say_what_their_help_says() -> Result<()> {
    let programs = Binaries::find()?;
    for (name, program) in [
        ("vhsm.1", &programs.vhsm),
        ("vhsmd.8", &programs.vhsmd),
        ("nitride-agent.8", &programs.agent),
        ("nitride-quote.8", &programs.quote),
        ("nitride-unlock.8", &programs.unlock),
        ("nitride-provisiond.8", &programs.provisiond),
        ("nitride-verify.1", &programs.verify),
    ] {
        let help = help(program, &[])?;
        compare(name, &page(name, "@HELP@\n", &help)?)?;
    }
    Ok(())
}

#[test]
fn the_configurations_pages_have_every_key() -> Result<()> {
    let list = output(&Binaries::find()?.vhsmd, &["--config-keys"])?;
    for (name, heading) in [
        ("vhsmd.toml.5", "vhsmd.toml"),
        ("vhsm-policy.5", "policy.d/*.toml"),
    ] {
        let keys = keys(&list, heading)?;
        ensure!(keys.matches(".TP").count() > 20, "{name} has hardly a key");
        compare(name, &page(name, "@KEYS@\n", &keys)?)?;
    }
    Ok(())
}

#[test]
fn the_page_of_vhsm_names_every_operation() -> Result<()> {
    let page = fs::read_to_string(folder().join("vhsm.1"))?.replace("\\-", "-");
    let words: BTreeSet<&str> = page
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .collect();
    for operation in Operation::ALL {
        ensure!(words.contains(operation.as_str()), "{operation} is missing");
    }
    Ok(())
}

/// What a page says of another, and of a path that the programs have by default, is there.
#[test]
fn the_pages_refer_to_one_another_alone() -> Result<()> {
    let mut pages = BTreeSet::new();
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        match name.strip_suffix(".in") {
            Some(page) => {
                sources.push(page.to_owned());
            }
            None => {
                pages.insert(name);
            }
        }
    }
    ensure!(
        sources.iter().all(|source| pages.contains(source)) && sources.len() == pages.len(),
        "each page has its source and nothing else is there"
    );
    for page in &pages {
        let text = fs::read_to_string(folder().join(page))?;
        for line in text.lines().filter_map(|line| line.strip_prefix(".BR ")) {
            let (name, rest) = line.split_once(' ').context("a page without its section")?;
            let section = rest.trim_start_matches('(').chars().next();
            let section = section.context("a page without its section")?;
            let name = name.replace("\\-", "-");
            if name.starts_with("vhsm") || name.starts_with("nitride") {
                let named = format!("{name}.{section}");
                ensure!(pages.contains(&named), "{page} names {named}");
            }
        }
    }
    Ok(())
}
