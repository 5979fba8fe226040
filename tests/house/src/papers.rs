//! Rules about what is not code: the files a reader expects, decisions, and traces of the
//! machine that something was written on.

/// What a newcomer is promised to find.
pub const EXPECTED: &[&str] = &[
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LIMITATIONS.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Cargo.lock",
    "deny.toml",
    ".ci/run",
    "docs/mechanisms.md",
];

/// Folders that exist only where we work, put together here so that this file does not name
/// them itself.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/nit", "ride/"),
    concat!("/tmp/to", "ols"),
    concat!(".lib", "rary/"),
];

/// Expected files that are missing from the list.
#[must_use]
pub fn missing(files: &[String]) -> Vec<String> {
    EXPECTED
        .iter()
        .filter(|expected| !files.iter().any(|file| file == *expected))
        .map(|expected| format!("{expected} is missing"))
        .collect()
}

/// Decisions are `docs/decisions/NNNN-name.md`, numbered from 1 without a gap or a double.
#[must_use]
pub fn misnumbered(files: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut numbers = Vec::new();
    for name in files
        .iter()
        .filter_map(|file| file.strip_prefix("docs/decisions/"))
        .filter(|name| *name != "README.md")
    {
        let numbered = name
            .split_once('-')
            .filter(|(digits, rest)| digits.len() == 4 && rest.ends_with(".md"))
            .and_then(|(digits, _)| digits.parse::<usize>().ok());
        match numbered {
            Some(number) => numbers.push(number),
            None => found.push(format!("docs/decisions/{name} is not NNNN-name.md")),
        }
    }
    if numbers.is_empty() {
        found.push("docs/decisions holds no decision".to_owned());
    }
    numbers.sort_unstable();
    for (index, number) in numbers.into_iter().enumerate() {
        if number != index + 1 {
            found.push(format!("decision {:04} is missing or doubled", index + 1));
            break;
        }
    }
    found
}

/// Lines that name a path of a machine we worked on.
#[must_use]
pub fn machine_paths(file: &str, text: &str) -> Vec<String> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| MACHINE_PATHS.iter().any(|path| line.contains(path)))
        .map(|(index, line)| format!("{file}:{}: {}", index + 1, line.trim()))
        .collect()
}

/// Tests that a text names between backticks and that no source file has. A test's name reads as
/// a sentence: at least four words.
#[must_use]
pub fn unknown_tests(file: &str, text: &str, sources: &[(&str, String)]) -> Vec<String> {
    let is_test_name = |word: &&str| {
        word.matches('_').count() >= 3
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    text.lines()
        .enumerate()
        .flat_map(|(index, line)| {
            // What stands between backticks is every second piece.
            let quoted = line.split('`').skip(1).step_by(2);
            quoted.map(move |words| (index + 1, words))
        })
        .flat_map(|(line, words)| {
            let names =
                words.split(|character: char| !(character.is_alphanumeric() || character == '_'));
            names.filter(is_test_name).map(move |name| (line, name))
        })
        .filter(|(_, name)| {
            let declared = format!("fn {name}(");
            !sources.iter().any(|(_, source)| source.contains(&declared))
        })
        .map(|(line, name)| format!("{file}:{line}: there is no test {name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(files: &[&str]) -> Vec<String> {
        files.iter().map(|file| (*file).to_owned()).collect()
    }

    #[test]
    fn a_root_file_that_is_not_there_is_found() {
        let mut files = list(EXPECTED);
        assert_eq!(missing(&files), Vec::<String>::new());
        files.retain(|file| file != "SECURITY.md");
        assert_eq!(missing(&files), ["SECURITY.md is missing"]);
    }

    #[test]
    fn decisions_in_order_pass() {
        let files = list(&["docs/decisions/0001-a.md", "docs/decisions/0002-b.md"]);
        assert_eq!(misnumbered(&files), Vec::<String>::new());
    }

    #[test]
    fn a_gap_a_double_and_a_bad_name_are_found() {
        let gap = list(&["docs/decisions/0001-a.md", "docs/decisions/0003-b.md"]);
        assert_eq!(misnumbered(&gap), ["decision 0002 is missing or doubled"]);
        let double = list(&["docs/decisions/0001-a.md", "docs/decisions/0001-b.md"]);
        assert_eq!(
            misnumbered(&double),
            ["decision 0002 is missing or doubled"]
        );
        let name = list(&["docs/decisions/0001-a.md", "docs/decisions/2-b.md"]);
        assert_eq!(
            misnumbered(&name),
            ["docs/decisions/2-b.md is not NNNN-name.md"]
        );
        assert_eq!(misnumbered(&[]), ["docs/decisions holds no decision"]);
    }

    #[test]
    fn a_path_of_the_machine_is_found_with_its_line() {
        let text = format!("fine\nsee {}main/README.md\n", MACHINE_PATHS[0]);
        assert_eq!(
            machine_paths("docs/x.md", &text),
            [format!(
                "docs/x.md:2: see {}main/README.md",
                MACHINE_PATHS[0]
            )]
        );
        assert_eq!(
            machine_paths("docs/x.md", "frame/works"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_test_that_is_named_and_not_there_is_found() {
        let sources = [(
            "a.rs",
            "#[test]\nfn a_swapped_resource_is_refused() {}".to_owned(),
        )];
        let text = "| swap | `a_swapped_resource_is_refused` in `a.rs` |\n| x | `b::no_such_test_at_all` |";
        assert_eq!(
            unknown_tests("docs/m.md", text, &sources),
            ["docs/m.md:2: there is no test no_such_test_at_all"]
        );
        assert_eq!(
            unknown_tests("docs/m.md", "`danger_x` a_b_c_d_e", &sources),
            Vec::<String>::new()
        );
    }
}
