//! As much of CDDL (RFC 8610) as this crate's files are written in: named rules with generics,
//! arrays of named members, choices, enumerations, ranges, bytes in hex, `.size`, `.regexp`, `.cbor`
//! and `.and`.

use super::file;
use crate::{KeyName, Reader};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    Rule(String, Vec<Type>),
    Number(u64),
    Text(String),
    Bytes(Vec<u8>),
    Range(Box<Type>, Box<Type>),
    Array(Vec<Member>),
    Enumeration(Vec<(String, u64)>),
    Choice(Vec<Type>),
    Size(Box<Type>, Box<Type>),
    Regexp(Box<Type>, String),
    Both(Box<Type>, Box<Type>),
    /// Bytes that are one item.
    Cbor(Box<Type>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) name: Option<String>,
    /// How often the member stands here at least and at most.
    pub(super) times: (u64, u64),
    pub(super) entry: Type,
}

#[derive(Debug)]
pub(super) struct Rules(pub(super) BTreeMap<String, (Vec<String>, Type)>);

impl Rules {
    /// The rules of some files in `cddl/`.
    pub(super) fn of(files: &[&str]) -> Self {
        let mut rules = BTreeMap::new();
        for name in files {
            let text = file(&format!("cddl/{name}.cddl"));
            let mut parser = Parser(tokens(&text));
            while !parser.0.is_empty() {
                let (rule, body) = parser.rule();
                assert!(rules.insert(rule.clone(), body).is_none(), "{rule} twice");
            }
        }
        Self(rules)
    }

    pub(super) fn body(&self, rule: &str) -> &Type {
        &self
            .0
            .get(rule)
            .unwrap_or_else(|| panic!("no rule {rule}"))
            .1
    }

    /// Whether the bytes are exactly one item of the rule.
    pub(super) fn accepts(&self, rule: &str, bytes: &[u8]) -> bool {
        self.matches(&Type::Rule(rule.into(), vec![]), Reader::new(bytes))
            .is_some_and(|rest| rest.finish().is_ok())
    }

    /// The reader after an item of the type, if the next item is one.
    fn matches<'a>(&self, shape: &Type, mut reader: Reader<'a>) -> Option<Reader<'a>> {
        match shape {
            Type::Rule(name, _) => {
                match name.as_str() {
                    "uint" => drop(reader.u64().ok()?),
                    "bool" => drop(reader.bool().ok()?),
                    "true" => drop(reader.bool().ok().filter(|flag| *flag)?),
                    "tstr" => drop(reader.text().ok()?),
                    "bstr" => drop(reader.bytes().ok()?),
                    "null" => reader
                        .optional(|_| Err(crate::DecodeError::Truncated { at: 0 }))
                        .map(|none: Option<()>| assert!(none.is_none()))
                        .ok()?,
                    _ => return self.matches(self.body(name), reader),
                }
                Some(reader)
            }
            Type::Number(number) => (reader.u64() == Ok(*number)).then_some(reader),
            Type::Text(text) => (reader.text() == Ok(text)).then_some(reader),
            Type::Bytes(bytes) => (reader.bytes() == Ok(bytes)).then_some(reader),
            Type::Cbor(of) => {
                let inner = self.matches(of, Reader::new(reader.bytes().ok()?))?;
                inner.finish().is_ok().then_some(reader)
            }
            Type::Range(..) => {
                let number = reader.u64().ok()?;
                self.in_range(shape, number).then_some(reader)
            }
            Type::Enumeration(entries) => {
                let number = reader.u64().ok()?;
                entries
                    .iter()
                    .any(|(_, known)| *known == number)
                    .then_some(reader)
            }
            Type::Choice(types) => types
                .iter()
                .find_map(|one| self.matches(one, reader.clone())),
            Type::Size(of, size) => {
                let after = self.matches(of, reader.clone())?;
                let len = match reader.clone().text() {
                    Ok(text) => text.len(),
                    Err(_) => reader.bytes().ok()?.len(),
                };
                self.in_range(size, len as u64).then_some(after)
            }
            Type::Regexp(of, pattern) => {
                let after = self.matches(of, reader.clone())?;
                let text = reader.text().ok()?;
                let fits = match pattern.as_str() {
                    r"\P{Cc}*" => !text.chars().any(char::is_control),
                    "[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*" => {
                        // The length is the other half of the rule.
                        text.len() > crate::limits::MAX_NAME_LEN || KeyName::parse(text).is_ok()
                    }
                    other => panic!("no check for the pattern {other}"),
                };
                fits.then_some(after)
            }
            Type::Both(one, other) => {
                self.matches(one, reader.clone())?;
                self.matches(other, reader)
            }
            Type::Array(members) => {
                let mut left = reader.array().ok()?;
                for member in members {
                    let (least, most) = member.times;
                    let mut times = 0;
                    while times < most.min(left) {
                        let Some(after) = self.matches(&member.entry, reader.clone()) else {
                            break;
                        };
                        reader = after;
                        times += 1;
                    }
                    if times < least {
                        return None;
                    }
                    left -= times;
                }
                (left == 0).then_some(reader)
            }
        }
    }

    fn in_range(&self, range: &Type, number: u64) -> bool {
        match range {
            Type::Range(from, to) => (self.number(from)..=self.number(to)).contains(&number),
            exact => self.number(exact) == number,
        }
    }

    pub(super) fn number(&self, of: &Type) -> u64 {
        match of {
            Type::Number(number) => *number,
            Type::Rule(name, _) => self.number(self.body(name)),
            other => panic!("{other:?} is not a number"),
        }
    }
}

/// Words, numbers, quoted texts and marks; a quoted text keeps its opening quote.
fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next().filter(|c| *c != ';') {
            let len = match first {
                '"' => {
                    let body = &rest[1..];
                    let end = body.find('"').unwrap();
                    found.push(format!("\"{}", body[..end].replace(r"\\", r"\")));
                    rest = rest[end + 2..].trim_start();
                    continue;
                }
                'h' if rest.starts_with("h'") => 3 + rest[2..].find('\'').unwrap(),
                '.' if rest.starts_with("..") => 2,
                '.' => 1 + word_len(&rest[1..]),
                c if is_word(c) => word_len(rest),
                _ => 1,
            };
            found.push(rest[..len].to_owned());
            rest = rest[len..].trim_start();
        }
    }
    found.reverse();
    found
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

fn word_len(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

/// Over tokens in reverse, so that the next one is the last.
struct Parser(Vec<String>);

impl Parser {
    fn next(&mut self) -> String {
        self.0.pop().unwrap()
    }

    fn take(&mut self, token: &str) -> bool {
        let there = self.0.last().is_some_and(|next| next == token);
        if there {
            self.0.pop();
        }
        there
    }

    fn expect(&mut self, token: &str) {
        assert_eq!(self.next(), token);
    }

    /// Separated by commas up to `end`; a last comma is allowed.
    fn until<T>(&mut self, end: &str, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut found = Vec::new();
        while !self.take(end) {
            found.push(one(self));
            if !self.take(",") {
                self.expect(end);
                break;
            }
        }
        found
    }

    fn rule(&mut self) -> (String, (Vec<String>, Type)) {
        let name = self.next();
        let parameters = if self.take("<") {
            self.until(">", Self::next)
        } else {
            vec![]
        };
        self.expect("=");
        (name, (parameters, self.choice()))
    }

    fn choice(&mut self) -> Type {
        let mut types = vec![self.controlled()];
        while self.take("/") {
            types.push(self.controlled());
        }
        match types.len() {
            1 => types.remove(0),
            _ => Type::Choice(types),
        }
    }

    fn controlled(&mut self) -> Type {
        let of = Box::new(self.ranged());
        if self.take(".size") {
            Type::Size(of, Box::new(self.ranged()))
        } else if self.take(".regexp") {
            Type::Regexp(of, self.next()[1..].to_owned())
        } else if self.take(".cbor") {
            // The bytes themselves are of any length.
            assert_eq!(*of, Type::Rule("bstr".into(), vec![]));
            Type::Cbor(Box::new(self.ranged()))
        } else if self.take(".and") {
            Type::Both(of, Box::new(self.ranged()))
        } else {
            *of
        }
    }

    fn ranged(&mut self) -> Type {
        let from = self.simple();
        if self.take("..") {
            Type::Range(Box::new(from), Box::new(self.simple()))
        } else {
            from
        }
    }

    fn simple(&mut self) -> Type {
        let token = self.next();
        match token.as_str() {
            "(" => {
                let inner = self.choice();
                self.expect(")");
                inner
            }
            "[" => Type::Array(self.until("]", Self::member)),
            "&" => {
                self.expect("(");
                Type::Enumeration(self.until(")", |parser| {
                    let name = parser.next();
                    parser.expect(":");
                    (name, parser.next().parse().unwrap())
                }))
            }
            hex if hex.starts_with("h'") => {
                Type::Bytes(super::bytes_of_hex(&hex[2..hex.len() - 1]))
            }
            quoted if quoted.starts_with('"') => Type::Text(quoted[1..].to_owned()),
            word => match word.parse() {
                Ok(number) => Type::Number(number),
                Err(_) if self.take("<") => Type::Rule(token, self.until(">", Self::choice)),
                Err(_) => Type::Rule(token, vec![]),
            },
        }
    }

    fn member(&mut self) -> Member {
        let mut times = (1, 1);
        if let [.., star, least] = self.0.as_slice()
            && star == "*"
        {
            let least = least.parse().unwrap();
            self.next();
            self.next();
            times = (least, self.next().parse().unwrap());
        } else if self.take("*") {
            times = (0, u64::MAX);
        }
        let name = match self.0.as_slice() {
            [.., colon, _] if colon == ":" => {
                let name = self.next();
                self.next();
                Some(name)
            }
            _ => None,
        };
        let entry = self.choice();
        Member { name, times, entry }
    }
}
