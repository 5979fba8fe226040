//! The tables of `docs/differences.md`: where another program takes what is refused here.

const TABLES: &str = include_str!("../../../docs/differences.md");

/// One row: vectors of one check that the other program takes, and why they are refused here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Difference {
    /// The check that refuses here.
    check: &'static str,
    /// By name.
    vectors: Vec<&'static str>,
    /// Why.
    reason: &'static str,
}

/// The rows below a heading, up to the next one.
fn differences(heading: &str) -> Vec<Difference> {
    let mut sections = TABLES.split("\n## ");
    let section = sections.find(|section| section.lines().next() == Some(heading));
    let rows = section.unwrap_or_default().lines();
    rows.filter(|line| line.starts_with("| `"))
        .map(row)
        .collect()
}

fn row(line: &'static str) -> Difference {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [_, check, vectors, reason, _] = cells[..] else {
        return Difference {
            check: "",
            vectors: Vec::new(),
            reason: line,
        };
    };
    let name = |cell: &'static str| cell.trim_matches('`');
    Difference {
        check: name(check),
        vectors: vectors.split(", ").map(name).collect(),
        reason,
    }
}

/// Holds the table below a heading to what the other program took: (check, vector), in the order of
/// the vectors.
///
/// # Panics
///
/// Where the two differ, with the rows as they have to be, and where a row has no reason.
pub fn held(taken: &[(&str, &str)], heading: &str) {
    let table = differences(heading);
    let listed = table.iter().flat_map(|row| {
        let vectors = row.vectors.iter();
        vectors.map(move |vector| (row.check, *vector))
    });
    let listed: Vec<(&str, &str)> = listed.collect();
    assert_eq!(
        as_rows(&listed),
        as_rows(taken),
        "docs/differences.md, {heading}: left what stands there, right what is so"
    );
    for row in table {
        assert!(row.reason.len() >= 10, "{}: {:?}", row.check, row.reason);
    }
}

fn as_rows(taken: &[(&str, &str)]) -> String {
    let mut rows: Vec<(&str, Vec<&str>)> = Vec::new();
    for (check, vector) in taken {
        match rows.iter_mut().find(|(known, _)| known == check) {
            Some((_, vectors)) => vectors.push(vector),
            None => rows.push((check, vec![vector])),
        }
    }
    let row = |(check, vectors): &(&str, Vec<&str>)| {
        let vectors: Vec<String> = vectors.iter().map(|name| format!("`{name}`")).collect();
        format!("| `{check}` | {} |\n", vectors.join(", "))
    };
    rows.iter().map(row).collect()
}
