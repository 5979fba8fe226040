//! Patterns over resource paths: `a/b/c`, `a/*/c`, `a/**`, `**`.

use nitride_kbs::resource::ResourcePath;
use thiserror::Error;

/// A pattern over the three parts of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) parts: [Part; 3],
}

/// What one part of a path has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Anything.
    Any,
    /// This name.
    Exactly(String),
}

/// A text that is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum PatternError {
    #[error("resource pattern has not three parts, nor ends in **")]
    WrongParts,
    #[error("part of the resource pattern is neither *, nor a last **, nor a name")]
    BadPart,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        let mut texts: Vec<&str> = text.split('/').collect();
        if texts.last() == Some(&"**") && texts.len() <= 3 {
            texts.pop();
            texts.resize(3, "*");
        }
        let [repository, resource_type, tag] = texts.as_slice() else {
            return Err(PatternError::WrongParts);
        };
        Ok(Self {
            parts: [
                Part::parse(repository)?,
                Part::parse(resource_type)?,
                Part::parse(tag)?,
            ],
        })
    }

    /// Whether it matches in this repository alone.
    pub(super) fn is_of(&self, repository: &str) -> bool {
        matches!(&self.parts, [Part::Exactly(own), ..] if own == repository)
    }

    pub(super) fn matches(&self, path: &ResourcePath) -> bool {
        let names = [path.repository(), path.resource_type(), path.tag()];
        self.parts.iter().zip(names).all(|(part, name)| match part {
            Part::Any => true,
            Part::Exactly(wanted) => wanted == name,
        })
    }
}

impl Part {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        // A name that no path can have would never match, and is a mistake.
        match ResourcePath::parse(&format!("{text}/type/tag")) {
            Ok(_) => Ok(Self::Exactly(text.to_owned())),
            Err(_) => Err(PatternError::BadPart),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Pattern::parse(pattern)
            .unwrap()
            .matches(&ResourcePath::parse(path).unwrap())
    }

    #[test]
    fn stars_stand_for_whole_parts() {
        for (pattern, path, expected) in [
            ("a/b/c", "a/b/c", true),
            ("a/b/c", "a/b/d", false),
            ("a/b/c", "A/b/c", false),
            ("a/*/c", "a/x/c", true),
            ("a/*/c", "a/x/d", false),
            ("*/*/*", "x/y/z", true),
            ("a/**", "a/y/z", true),
            ("a/**", "ab/y/z", false),
            ("a/b/**", "a/b/z", true),
            ("a/b/**", "a/c/z", false),
            ("**", "x/y/z", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn what_could_never_match_or_is_unclear_is_refused() {
        for text in [
            "", "a", "a/b", "a/b/c/d", "a/b/c/**", "**/c", "a/**/c", "a/b*/c", "../b/c", "a//c",
            "a/b c/d",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text:?}");
        }
    }
}
