//! What a policy wants of one property: something, or `"any"`, which has to be said.

use crate::strict_toml::{FileError, Stated, TomlText};
use serde::Deserialize;
use toml::Spanned;

/// A policy's statement about one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted<T> {
    /// `"any"`: it does not matter, and the verdict says that this line waives the check.
    Any,
    /// This.
    Is(T),
}

impl<T> Wanted<T> {
    /// What is wanted, if anything is.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Any => None,
            Self::Is(value) => Some(value),
        }
    }
}

/// How a statement stands in TOML.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "neither \"any\" nor a value of this field's form"
)]
pub(crate) enum WantedForm<T> {
    Any(AnyWord),
    Is(T),
}

#[derive(Debug, Deserialize)]
pub(crate) enum AnyWord {
    #[serde(rename = "any")]
    Any,
}

impl TomlText<'_> {
    /// A statement whose value is checked, with its line.
    pub(crate) fn wanted<F, T>(
        &self,
        form: Spanned<WantedForm<F>>,
        convert: impl FnOnce(F) -> Result<T, String>,
    ) -> Result<Stated<Wanted<T>>, FileError> {
        self.converted(form, |form| match form {
            WantedForm::Any(AnyWord::Any) => Ok(Wanted::Any),
            WantedForm::Is(value) => convert(value).map(Wanted::Is),
        })
    }

    /// A statement whose value is taken as it stands.
    pub(crate) fn wanted_as_is<T>(
        &self,
        form: Spanned<WantedForm<T>>,
    ) -> Result<Stated<Wanted<T>>, FileError> {
        self.wanted(form, Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        field: Spanned<WantedForm<u32>>,
    }

    fn read(text: &str) -> Result<Stated<Wanted<u32>>, FileError> {
        let text = TomlText { text, file: "a" };
        let file: File = text.read("mend it")?;
        text.wanted(file.field, |value| {
            if value < 9 {
                Ok(value)
            } else {
                Err("too much".to_owned())
            }
        })
    }

    #[test]
    fn any_has_to_be_said() {
        assert_eq!(read("\nfield = \"any\"").unwrap().value, Wanted::Any);
        assert_eq!(read("\nfield = 3").unwrap().value, Wanted::Is(3));
        assert_eq!(read("\nfield = 3").unwrap().line, 2);
        for bad in ["", "field = \"Any\"", "field = true", "field = []"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_form_names_its_line() {
        for bad in ["\n\nfield = \"none\"", "\n\nfield = 9"] {
            assert_eq!(read(bad).unwrap_err().line, 3, "{bad}");
        }
    }
}
