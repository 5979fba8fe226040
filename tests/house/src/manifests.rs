//! Rules about `Cargo.toml` files.

/// What breaks a rule in one member's manifest. `is_program` says whether the package is a
/// binary or belongs to the tests; only those may flatten their errors with `anyhow`.
#[must_use]
pub fn findings(file: &str, text: &str, is_program: bool) -> Vec<String> {
    let mut found = Vec::new();
    if !section(text, "lints").any(|line| line.replace(' ', "") == "workspace=true") {
        found.push(format!("{file} does not inherit the workspace's lints"));
    }
    for key in ["version", "edition", "rust-version", "license", "publish"] {
        let inherited = section(text, "package")
            .any(|line| line.replace(' ', "") == format!("{key}.workspace=true"));
        if !inherited {
            found.push(format!("{file} does not inherit {key} from the workspace"));
        }
    }
    let names_anyhow = section(text, "dependencies").any(|line| line.starts_with("anyhow"));
    if names_anyhow && !is_program {
        found.push(format!("{file} is a library and depends on anyhow"));
    }
    found
}

/// The lines of `[name]`, without blanks and comments.
fn section<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let header = format!("[{name}]");
    text.lines()
        .map(str::trim)
        .skip_while(move |line| *line != header)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"x\"\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n\n[lints]\nworkspace = true\n\n[dependencies]\nthiserror.workspace = true\n";

    #[test]
    fn a_member_that_inherits_everything_passes() {
        assert_eq!(findings("x/Cargo.toml", GOOD, false), Vec::<String>::new());
    }

    #[test]
    fn a_member_without_the_lints_is_found() {
        let text = GOOD.replace("[lints]\nworkspace = true\n", "");
        assert_eq!(
            findings("x/Cargo.toml", &text, false),
            ["x/Cargo.toml does not inherit the workspace's lints"]
        );
    }

    #[test]
    fn a_member_that_may_be_published_is_found() {
        let text = GOOD.replace("publish.workspace = true", "publish = true");
        assert_eq!(
            findings("x/Cargo.toml", &text, false),
            ["x/Cargo.toml does not inherit publish from the workspace"]
        );
    }

    #[test]
    fn a_library_with_anyhow_is_found_and_a_program_is_not() {
        let text = format!("{GOOD}anyhow.workspace = true\n");
        assert_eq!(
            findings("x/Cargo.toml", &text, false),
            ["x/Cargo.toml is a library and depends on anyhow"]
        );
        assert_eq!(findings("x/Cargo.toml", &text, true), Vec::<String>::new());
    }
}
