//! Which kind of service one is: a KBS, for which the agent is blind, or an OpenBao, which it reads.

use super::openbao::{EncodingWord, LoginTable, OpenBao};
use nitride_settings::{Fault, fault};
use serde::Deserialize;
use std::ops::Range;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindWord {
    Kbs,
    OpenBao,
}

/// The keys of a service that are for an OpenBao alone.
pub(super) struct OpenBaoTable {
    pub(super) kind: Option<Spanned<KindWord>>,
    pub(super) plaintext_courier: Option<Spanned<bool>>,
    pub(super) mount: Option<Spanned<String>>,
    pub(super) prefix: Option<Spanned<String>>,
    pub(super) field: Option<Spanned<String>>,
    pub(super) encoding: Option<Spanned<EncodingWord>>,
    pub(super) login: Option<Spanned<LoginTable>>,
}

impl OpenBaoTable {
    /// `None` for a KBS, which has none of them. `at` is the service, `has_client` whether it has a
    /// client certificate.
    pub(super) fn check(
        self,
        at: &Range<usize>,
        has_client: bool,
    ) -> Result<Option<OpenBao>, Fault> {
        let is_plaintext = self.plaintext_courier.as_ref();
        let is_plaintext = is_plaintext.is_some_and(|stated| *stated.get_ref());
        let Some(KindWord::OpenBao) = self.kind.as_ref().map(Spanned::get_ref) else {
            return match self.first_stated() {
                None => Ok(None),
                Some(at) => fault(
                    at,
                    "this is for `kind = \"openbao\"`: remove it, or state that",
                ),
            };
        };
        if !is_plaintext {
            return fault(
                at.clone(),
                "THE AGENT READS what an OpenBao gives it, and whoever has the agent has the keys: state \
                 `plaintext-courier = true` here, in the [[service]] of vhsmd.toml and in each key that \
                 may come so, or put nitride-provisiond before the OpenBao",
            );
        }
        self.stated(at, has_client).map(Some)
    }

    fn first_stated(&self) -> Option<Range<usize>> {
        let span = |stated: &Option<Spanned<String>>| stated.as_ref().map(Spanned::span);
        (self.plaintext_courier.as_ref().map(Spanned::span))
            .or(span(&self.mount))
            .or(span(&self.prefix))
            .or(span(&self.field))
            .or(self.encoding.as_ref().map(Spanned::span))
            .or(self.login.as_ref().map(Spanned::span))
    }
}
