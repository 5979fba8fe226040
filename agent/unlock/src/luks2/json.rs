//! The JSON of a LUKS2 header, in the part of JSON that every reader reads alike.
//!
//! cryptsetup reads it by json-c, which takes more than JSON: of two members of one name the last,
//! comments, numbers out of range. A header that we read otherwise than cryptsetup does would be
//! checked in vain. So this takes plain text without escapes, whole numbers, no member twice, and
//! no more of anything than a header needs; what cryptsetup writes is within that.

use thiserror::Error;

/// Levels of objects and arrays; a header has four.
pub(crate) const MAX_DEPTH: usize = 6;
/// Members and elements in all; a header with all of its 32 slots has less than a thousand.
pub(crate) const MAX_ENTRIES: usize = 2048;
/// Bytes of one text; the longest of a header is a salt.
pub(crate) const MAX_TEXT_LEN: usize = 512;

/// What is wrong, and at which byte of the text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("byte {at}: {what}")]
pub(crate) struct JsonFault {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

/// A value, borrowed from the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Object(Vec<(&'a str, Value<'a>)>),
    Array(Vec<Value<'a>>),
    Text(&'a str),
    Number(u64),
    Bool(bool),
}

/// The one value of `text`, which may have nothing but blanks around it.
pub(crate) fn parse(text: &[u8]) -> Result<Value<'_>, JsonFault> {
    let mut reader = Reader {
        text,
        at: 0,
        entries: 0,
    };
    let value = reader.value(0)?;
    reader.skip_blanks();
    match reader.at == text.len() {
        true => Ok(value),
        false => reader.fault("something follows the object"),
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    entries: usize,
}

impl<'a> Reader<'a> {
    fn fault<T>(&self, what: &'static str) -> Result<T, JsonFault> {
        Err(JsonFault { at: self.at, what })
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Whether `byte` comes next, after blanks; then it is read.
    fn takes(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonFault> {
        self.skip_blanks();
        match self.peek() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => self.fault("it is nested too deeply"),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.text().map(Value::Text),
            Some(b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            _ => self.fault("here is no object, array, text, whole number, true or false"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, JsonFault> {
        self.at += 1;
        let mut members: Vec<(&str, Value<'_>)> = Vec::new();
        if self.takes(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.count()?;
            self.skip_blanks();
            let name = self.text()?;
            if members.iter().any(|(other, _)| *other == name) {
                return self.fault("a member is named twice");
            }
            if !self.takes(b':') {
                return self.fault("a colon is missing");
            }
            members.push((name, self.value(depth)?));
            if self.takes(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.takes(b',') {
                return self.fault("an object does not end");
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, JsonFault> {
        self.at += 1;
        let mut elements = Vec::new();
        if self.takes(b']') {
            return Ok(Value::Array(elements));
        }
        loop {
            self.count()?;
            elements.push(self.value(depth)?);
            if self.takes(b']') {
                return Ok(Value::Array(elements));
            }
            if !self.takes(b',') {
                return self.fault("an array does not end");
            }
        }
    }

    fn count(&mut self) -> Result<(), JsonFault> {
        self.entries += 1;
        match self.entries > MAX_ENTRIES {
            true => self.fault("it has too many members"),
            false => Ok(()),
        }
    }

    fn text(&mut self) -> Result<&'a str, JsonFault> {
        if self.peek() != Some(b'"') {
            return self.fault("a text is missing");
        }
        self.at += 1;
        let rest = &self.text[self.at..];
        let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let len = rest.iter().take_while(|byte| plain(byte)).count();
        if len > MAX_TEXT_LEN {
            return self.fault("a text is too long");
        }
        self.at += len;
        if self.peek() != Some(b'"') {
            return self.fault("a text has an escape, or what is not plain ASCII");
        }
        self.at += 1;
        match std::str::from_utf8(&rest[..len]) {
            Ok(text) => Ok(text),
            Err(_) => self.fault("a text is not plain ASCII"),
        }
    }

    fn number(&mut self) -> Result<u64, JsonFault> {
        let begin = self.at;
        let mut number: u64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let next = number
                .checked_mul(10)
                .and_then(|number| number.checked_add(u64::from(digit - b'0')));
            let Some(next) = next else {
                return self.fault("a number is too large");
            };
            number = next;
            self.at += 1;
        }
        let has_zero_before = self.text[begin] == b'0' && self.at > begin + 1;
        if has_zero_before || matches!(self.peek(), Some(b'.' | b'e' | b'E' | b'x' | b'X')) {
            return self.fault("a number is not whole, or not spelt plainly");
        }
        Ok(number)
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, JsonFault> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return self.fault("here is an unknown word");
        }
        self.at += word.len();
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn what(text: &str) -> &'static str {
        parse(text.as_bytes()).unwrap_err().what
    }

    #[test]
    fn what_cryptsetup_writes_is_read() {
        let text =
            br#"{"keyslots":{"0":{"key_size":64}},"tokens":{},"a":["1", true,false],"n":[]} "#;
        let slot = Value::Object(vec![("key_size", Value::Number(64))]);
        let list = vec![Value::Text("1"), Value::Bool(true), Value::Bool(false)];
        let expected = Value::Object(vec![
            ("keyslots", Value::Object(vec![("0", slot)])),
            ("tokens", Value::Object(vec![])),
            ("a", Value::Array(list)),
            ("n", Value::Array(vec![])),
        ]);
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn what_readers_read_differently_is_refused() {
        for (text, reason) in [
            (r#"{"a":1,"a":2}"#, "a member is named twice"),
            (r#"{"a":{"b":1,"b":1}}"#, "a member is named twice"),
            (
                r#"{"\u0061":1}"#,
                "a text has an escape, or what is not plain ASCII",
            ),
            (
                r#"{"a":"\/"}"#,
                "a text has an escape, or what is not plain ASCII",
            ),
            (
                "{\"a\":\"\u{e9}\"}",
                "a text has an escape, or what is not plain ASCII",
            ),
            (
                "{\"a\":\"\n\"}",
                "a text has an escape, or what is not plain ASCII",
            ),
            (r#"{"a":01}"#, "a number is not whole, or not spelt plainly"),
            (
                r#"{"a":1.0}"#,
                "a number is not whole, or not spelt plainly",
            ),
            (
                r#"{"a":1e3}"#,
                "a number is not whole, or not spelt plainly",
            ),
            (
                r#"{"a":0x10}"#,
                "a number is not whole, or not spelt plainly",
            ),
            (r#"{"a":18446744073709551616}"#, "a number is too large"),
            (r#"{} {}"#, "something follows the object"),
            (r#"{"a" 1}"#, "a colon is missing"),
            (r#"{"a":1"#, "an object does not end"),
            (r#"[1"#, "an array does not end"),
            (r#"{a:1}"#, "a text is missing"),
            (r#"tru"#, "here is an unknown word"),
        ] {
            assert_eq!(what(text), reason, "{text}");
        }
        for text in [
            "",
            "null",
            "-1",
            "NaN",
            "/* */{}",
            r#"{"a":'b'}"#,
            r#"{"a":1,}"#,
            "[,]",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_members_and_texts_are_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(what(&nested(MAX_DEPTH + 1)), "it is nested too deeply");
        let many = |entries: usize| format!("[{}1]", "1,".repeat(entries - 1));
        assert!(parse(many(MAX_ENTRIES).as_bytes()).is_ok());
        assert_eq!(what(&many(MAX_ENTRIES + 1)), "it has too many members");
        let long = |len: usize| format!("\"{}\"", "a".repeat(len));
        assert!(parse(long(MAX_TEXT_LEN).as_bytes()).is_ok());
        assert_eq!(what(&long(MAX_TEXT_LEN + 1)), "a text is too long");
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_a_named_fault(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            like in "[\\[\\]{}:,\"0-9a ]{0,40}",
        ) {
            for text in [bytes.as_slice(), like.as_bytes()] {
                if let Err(fault) = parse(text) {
                    prop_assert!(fault.at <= text.len());
                }
            }
        }
    }
}
