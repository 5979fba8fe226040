//! Taking typed members out of an object, until none is left.

use super::fault::HeaderFault;
use super::json::Value;
use base64ct::{Base64, Encoding};
use std::fmt::Display;
use std::str::FromStr;

/// The highest number that a keyslot, segment, digest or token may have.
const MAX_NUMBER: u8 = 31;

/// An object's members that were not taken yet, and what it is called in faults.
pub(super) struct Members<'a> {
    place: String,
    members: Vec<(&'a str, Value<'a>)>,
}

impl<'a> Members<'a> {
    pub(super) fn of(place: impl Into<String>, value: Value<'a>) -> Result<Self, HeaderFault> {
        let place = place.into();
        match value {
            Value::Object(members) => Ok(Self { place, members }),
            _ => Err(HeaderFault::Member {
                place,
                member: "what should be an object",
            }),
        }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value<'a>> {
        let at = self.members.iter().position(|(other, _)| *other == name)?;
        Some(self.members.swap_remove(at).1)
    }

    /// The fault that `member` is missing or not what it may be.
    pub(super) fn fault(&self, member: &'static str) -> HeaderFault {
        HeaderFault::Member {
            place: self.place.clone(),
            member,
        }
    }

    pub(super) fn text(&mut self, member: &'static str) -> Result<&'a str, HeaderFault> {
        match self.take(member) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(self.fault(member)),
        }
    }

    pub(super) fn number(&mut self, member: &'static str) -> Result<u64, HeaderFault> {
        match self.take(member) {
            Some(Value::Number(number)) => Ok(number),
            _ => Err(self.fault(member)),
        }
    }

    /// A number that is written as text, as what may exceed 2^53 is.
    pub(super) fn decimal(&mut self, member: &'static str) -> Result<u64, HeaderFault> {
        let text = self.text(member)?;
        plain_number(text).ok_or_else(|| self.fault(member))
    }

    /// Base64 in its one spelling, as text and as bytes.
    pub(super) fn base64(
        &mut self,
        member: &'static str,
    ) -> Result<(&'a str, Vec<u8>), HeaderFault> {
        let text = self.text(member)?;
        let bytes = Base64::decode_vec(text).map_err(|_| self.fault(member))?;
        match Base64::encode_string(&bytes) == text {
            true => Ok((text, bytes)),
            false => Err(self.fault(member)),
        }
    }

    /// Texts, of which none stands twice; an absent list is empty.
    pub(super) fn texts(&mut self, member: &'static str) -> Result<Vec<&'a str>, HeaderFault> {
        let elements = match self.take(member) {
            None => return Ok(Vec::new()),
            Some(Value::Array(elements)) => elements,
            Some(_) => return Err(self.fault(member)),
        };
        let mut texts = Vec::with_capacity(elements.len());
        for element in elements {
            match element {
                Value::Text(text) if !texts.contains(&text) => texts.push(text),
                _ => return Err(self.fault(member)),
            }
        }
        Ok(texts)
    }

    /// A list of numbers, each written as text.
    pub(super) fn numbers(&mut self, member: &'static str) -> Result<Vec<u8>, HeaderFault> {
        let texts = self.texts(member)?;
        texts
            .into_iter()
            .map(|text| place_number(text).ok_or_else(|| self.fault(member)))
            .collect()
    }

    /// An object whose members are named by numbers; in their order.
    pub(super) fn numbered(
        &mut self,
        member: &'static str,
    ) -> Result<Vec<(u8, Value<'a>)>, HeaderFault> {
        let Some(Value::Object(members)) = self.take(member) else {
            return Err(self.fault(member));
        };
        let mut numbered = Vec::with_capacity(members.len());
        for (name, value) in members {
            let number = place_number(name).ok_or_else(|| self.fault(member))?;
            numbered.push((number, value));
        }
        numbered.sort_by_key(|(number, _)| *number);
        Ok(numbered)
    }

    /// That nothing is left.
    pub(super) fn end(self) -> Result<(), HeaderFault> {
        match self.members.first() {
            None => Ok(()),
            Some((member, _)) => Err(HeaderFault::UnknownMember {
                place: self.place,
                member: (*member).to_owned(),
            }),
        }
    }
}

fn place_number(text: &str) -> Option<u8> {
    plain_number(text).filter(|number| *number <= MAX_NUMBER)
}

/// A number in its one spelling.
fn plain_number<T: FromStr + Display>(text: &str) -> Option<T> {
    let number: T = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
