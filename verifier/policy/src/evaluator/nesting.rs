//! What it costs to read a module, before it is read. The interpreter's parser takes what begins with
//! a bracket for a comprehension first and reads it again as a list, a set or an object: what stands in
//! n brackets is read 2^n times.

/// Readings of a word. A module of the greatest length whose brackets nest three deep takes a
/// third; so does a single nest of 17 brackets.
const MAX_READINGS: u64 = 1 << 20;

/// The line in which the readings become too many; `None` where they do not.
pub(super) fn line_of_too_many_readings(text: &str) -> Option<usize> {
    let mut characters = text.chars().peekable();
    let mut line = 1;
    let mut depth: u32 = 0;
    let mut readings: u64 = 0;
    while let Some(character) = characters.next() {
        match character {
            '\n' => line += 1,
            '#' => while characters.next_if(|c| *c != '\n').is_some() {},
            '"' => {
                while let Some(c) = characters.next_if(|c| *c != '\n') {
                    match c {
                        '"' => break,
                        '\\' => drop(characters.next_if(|c| *c != '\n')),
                        _ => {}
                    }
                }
            }
            '`' => {
                for c in characters.by_ref().take_while(|c| *c != '`') {
                    line += usize::from(c == '\n');
                }
            }
            '[' | '{' => depth = depth.saturating_add(1),
            ']' | '}' => depth = depth.saturating_sub(1),
            c if is_of_a_word(c) => while characters.next_if(|c| is_of_a_word(*c)).is_some() {},
            _ => {}
        }
        if !character.is_whitespace() {
            let of_this = 1_u64.checked_shl(depth).unwrap_or(u64::MAX);
            readings = readings.saturating_add(of_this);
        }
        if readings > MAX_READINGS {
            return Some(line);
        }
    }
    None
}

fn is_of_a_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rego::MAX_MODULE_LEN;

    #[test]
    fn a_policy_as_people_write_them_is_read_at_any_length() {
        let rule = "allow if {\n  some submod in input.submods\n  submod[\"ear.status\"] == \"affirming\"\n  {x | x := [1, 2, 3][_]}[3]\n}\n";
        let text = rule.repeat(MAX_MODULE_LEN / rule.len());
        assert_eq!(line_of_too_many_readings(&text), None);
    }

    #[test]
    fn nesting_that_is_read_for_minutes_is_refused_in_its_line() {
        for (open, close) in [("[", "]"), ("{", "}"), ("{1:", "}"), ("{[", "]}")] {
            let nested = |depth| {
                format!(
                    "package policy\n\nallow := {}1{}",
                    open.repeat(depth),
                    close.repeat(depth)
                )
            };
            assert_eq!(line_of_too_many_readings(&nested(40)), Some(3), "{open}");
            assert_eq!(line_of_too_many_readings(&nested(8)), None, "{open}");
            let side_by_side = (nested(8) + "\n").repeat(2_000);
            assert!(line_of_too_many_readings(&side_by_side).is_some(), "{open}");
        }
    }

    #[test]
    fn brackets_in_strings_and_comments_do_not_nest() {
        let brackets = "[".repeat(100);
        for text in [
            format!("x := \"{brackets}\""),
            format!("x := \"\\\"{brackets}\""),
            format!("x := `\"{brackets}`"),
            format!("# {brackets}\n"),
        ] {
            assert_eq!(line_of_too_many_readings(&text), None, "{text}");
            let behind = format!("{text}\n{brackets}");
            assert!(line_of_too_many_readings(&behind).is_some(), "{text}");
        }
        let lines = format!("x := `\n\n`\n{brackets}");
        assert_eq!(line_of_too_many_readings(&lines), Some(4));
    }
}
