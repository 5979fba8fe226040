use nitride_protocol::limits::MAX_REASON_LEN;
use std::borrow::Cow;

/// `text` as an entry takes it: at most `max` bytes, without control characters. What a peer may
/// have chosen is quoted before it comes here.
pub fn line(text: &str, max: usize) -> Cow<'_, str> {
    let max = max.min(MAX_REASON_LEN);
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let cut = &text[..end];
    if cut.chars().any(char::is_control) {
        // As long as before: what is replaced may have been two bytes long, and '?' is one.
        Cow::Owned(cut.replace(char::is_control, "?"))
    } else {
        Cow::Borrowed(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(line("abc", 2), "ab");
        assert_eq!(line("aé", 2), "a");
        assert_eq!(line("", 2), "");
        assert_eq!(line(&"x".repeat(9999), usize::MAX).len(), MAX_REASON_LEN);
    }

    #[test]
    fn no_line_is_forged() {
        assert_eq!(line("a\nb\u{85}c", 100), "a?b?c");
    }
}
