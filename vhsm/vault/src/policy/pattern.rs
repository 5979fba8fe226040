use nitride_protocol::{KeyName, NameError};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Which key names a rule is about.
///
/// | pattern | names                                      |
/// |---------|--------------------------------------------|
/// | `a/b`   | `a/b` alone                                |
/// | `a/*`   | `a/` and one more segment                  |
/// | `a/**`  | `a/` and one or more segments, never `a`   |
/// | `*`     | names of one segment                       |
/// | `**`    | every name                                 |
///
/// A star stands for whole segments and at the end alone: `a*`, `*/b` and `a/*/b` are errors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamePattern(Shape);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Shape {
    Exact(Box<str>),
    /// The folder without its slash; `None` is the top.
    OneBelow(Option<Box<str>>),
    AllBelow(Option<Box<str>>),
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PatternError {
    /// A star stands elsewhere than as the last segment.
    #[error("pattern has a star that is not a whole last segment")]
    StarNotLast,
    /// What is left without the star is not a name.
    #[error("pattern is not a key name")]
    Name(#[source] NameError),
}

impl NamePattern {
    /// Reads a pattern; see [`NamePattern`] for its forms.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (folder, last) = match text.rsplit_once('/') {
            Some((folder, last)) => (Some(folder), last),
            None => (None, text),
        };
        let folder_name = || folder.map(name_of).transpose();
        let shape = match last {
            "*" => Shape::OneBelow(folder_name()?),
            "**" => Shape::AllBelow(folder_name()?),
            _ => Shape::Exact(name_of(text)?),
        };
        Ok(Self(shape))
    }

    /// What every name that it is about begins with.
    pub(crate) fn start(&self) -> &str {
        match &self.0 {
            Shape::Exact(start) | Shape::OneBelow(Some(start)) | Shape::AllBelow(Some(start)) => {
                start
            }
            Shape::OneBelow(None) | Shape::AllBelow(None) => "",
        }
    }

    /// Whether it is about `name`.
    pub fn matches(&self, name: KeyName<'_>) -> bool {
        let name = name.as_str();
        match &self.0 {
            Shape::Exact(exact) => **exact == *name,
            Shape::OneBelow(folder) => {
                below(folder.as_deref(), name).is_some_and(|rest| !rest.contains('/'))
            }
            Shape::AllBelow(folder) => below(folder.as_deref(), name).is_some(),
        }
    }
}

/// What of `name` lies below `folder`.
fn below<'n>(folder: Option<&str>, name: &'n str) -> Option<&'n str> {
    match folder {
        None => Some(name),
        Some(folder) => name.strip_prefix(folder)?.strip_prefix('/'),
    }
}

fn name_of(text: &str) -> Result<Box<str>, PatternError> {
    if text.contains('*') {
        return Err(PatternError::StarNotLast);
    }
    KeyName::parse(text)
        .map(|name| name.as_str().into())
        .map_err(PatternError::Name)
}

impl FromStr for NamePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, star) = match &self.0 {
            Shape::Exact(name) => return f.write_str(name),
            Shape::OneBelow(folder) => (folder, "*"),
            Shape::AllBelow(folder) => (folder, "**"),
        };
        match folder {
            Some(folder) => write!(f, "{folder}/{star}"),
            None => f.write_str(star),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        NamePattern::parse(pattern)
            .unwrap()
            .matches(KeyName::parse(name).unwrap())
    }

    #[test]
    fn an_exact_pattern_is_about_one_name() {
        assert!(matches("a/b", "a/b"));
        for other in ["a", "a/b/c", "a/bc", "x/a/b"] {
            assert!(!matches("a/b", other), "{other}");
        }
    }

    #[test]
    fn one_star_is_one_segment() {
        assert!(matches("a/*", "a/b") && matches("*", "a"));
        for (pattern, name) in [("a/*", "a"), ("a/*", "a/b/c"), ("a/*", "ab"), ("*", "a/b")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn two_stars_are_everything_below() {
        assert!(matches("a/**", "a/b") && matches("a/**", "a/b/c") && matches("**", "a/b"));
        for name in ["a", "ab", "ab/c"] {
            assert!(!matches("a/**", name), "{name}");
        }
    }

    #[test]
    fn a_star_elsewhere_is_an_error() {
        for bad in ["a*", "*a", "*/a", "a/*/b", "**/a", "***", "a/b*", "a/***"] {
            assert_eq!(
                NamePattern::parse(bad),
                Err(PatternError::StarNotLast),
                "{bad}"
            );
        }
        for bad in ["", "/", "a/", "/*", "a//*", "a b", "../**"] {
            assert!(
                matches!(NamePattern::parse(bad), Err(PatternError::Name(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_pattern_prints_as_it_was_written() {
        for text in ["a/b", "a/*", "a/**", "*", "**"] {
            assert_eq!(NamePattern::parse(text).unwrap().to_string(), text);
        }
    }
}
