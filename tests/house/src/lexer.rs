//! Just enough of Rust's lexical structure to tell code from comments and literals.

/// The source with every comment, string and character literal blanked, line breaks kept: what
/// is left to search is code.
#[must_use]
pub fn code_of(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment_end(bytes, at);
        if end > at {
            blank(&mut code[at..end]);
            at = end;
        } else if is_word(bytes[at]) {
            // A word is skipped as a whole, so that the r of `for` never opens a raw string.
            while at < bytes.len() && is_word(bytes[at]) {
                at += 1;
            }
        } else {
            at += 1;
        }
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// Whether `word` stands in `code` as a whole word.
#[must_use]
pub fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].bytes().next_back();
        let after = code[at + word.len()..].bytes().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

/// Where the comment or literal that starts at `at` ends; `at` itself when none starts there.
fn literal_or_comment_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return at
            + rest
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return at + block_comment_len(rest);
    }
    let prefix = rest
        .iter()
        .take_while(|byte| matches!(byte, b'b' | b'c' | b'r'))
        .count();
    if prefix <= 2 {
        let opened = &rest[prefix..];
        let hashes = opened.iter().take_while(|byte| **byte == b'#').count();
        let raw = prefix > 0 && rest[prefix - 1] == b'r';
        if raw && opened.get(hashes) == Some(&b'"') {
            return at + prefix + raw_string_len(opened, hashes);
        }
        if opened.first() == Some(&b'"') {
            return at + prefix + quoted_len(opened, b'"');
        }
        if opened.first() == Some(&b'\'') && is_character(opened) {
            return at + prefix + quoted_len(opened, b'\'');
        }
    }
    at
}

fn block_comment_len(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn raw_string_len(opened: &[u8], hashes: usize) -> usize {
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let body = hashes + 1;
    opened[body..]
        .windows(close.len())
        .position(|window| window == close)
        .map_or(opened.len(), |found| body + found + close.len())
}

fn quoted_len(opened: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < opened.len() {
        match opened[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    opened.len()
}

/// `'a'` is a character, `'a` a lifetime.
fn is_character(opened: &[u8]) -> bool {
    match opened.get(1) {
        Some(b'\\') => true,
        Some(first) => {
            let width = match first {
                0x00..0x80 => 1,
                0x80..0xe0 => 2,
                0xe0..0xf0 => 3,
                _ => 4,
            };
            opened.get(1 + width) == Some(&b'\'')
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_characters_are_blanked() {
        let source = "let a = \"unsafe\"; // unsafe\n/* unsafe /* nested */ unsafe */ let q = '\"'; let s = r#\"unsafe \" \"#; b'u';";
        let code = code_of(source);
        assert!(!has_word(&code, "unsafe"), "{code}");
        assert!(has_word(&code, "q"));
        assert_eq!(code.len(), source.len());
    }

    #[test]
    fn code_after_a_quote_character_and_a_lifetime_is_kept() {
        let code = code_of("fn f<'a>(x: &'a str) { let c = '\\''; unsafe { g() } }");
        assert!(has_word(&code, "unsafe"));
    }

    #[test]
    fn line_breaks_are_kept() {
        assert_eq!(code_of("a\n// b\nc\n").lines().count(), 3);
    }

    #[test]
    fn a_word_is_whole_or_it_is_not_found() {
        assert!(!has_word("forbid(unsafe_code)", "unsafe"));
        assert!(has_word("unsafe{}", "unsafe"));
    }
}
