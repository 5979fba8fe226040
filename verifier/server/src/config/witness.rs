//! `[witness]`: what machines are known by, and what becomes of one whose audit went back.

use super::audit::one_of;
use crate::identity::IdentityClaim;
use crate::witness::{OnFork, WitnessSettings};
use nitride_verify::strict_toml::{FileError, TomlText};
use serde::Deserialize;
use toml::Spanned;

/// Claims that are tried one after the other.
const MAX_CLAIMS: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WitnessForm {
    identity: Spanned<Vec<Spanned<String>>>,
    on_fork: Option<Spanned<String>>,
}

impl WitnessForm {
    /// `has_audit`: what is witnessed is of no use to who keeps no record of it.
    pub(super) fn read(
        self,
        has_audit: bool,
        text: &TomlText<'_>,
    ) -> Result<WitnessSettings, FileError> {
        if !has_audit {
            let reason = "[witness] has nowhere to write";
            return Err(text.error(&self.identity, reason, "add [audit] with a folder"));
        }
        let claims = self.identity.get_ref();
        if claims.is_empty() || claims.len() > MAX_CLAIMS {
            let reason = format!("identity names {} claims", claims.len());
            let remedy =
                "write one to 16, such as [\"tpm.ak_sha256\", \"az-snp-vtpm.vm_unique_id\"]";
            return Err(text.error(&self.identity, reason, remedy));
        }
        let claim = |claim: &Spanned<String>| {
            // Each is tried by itself: none stands beside another.
            let parsed = IdentityClaim::parse(claim.get_ref()).and_then(IdentityClaim::alone);
            parsed.map_err(|fault| {
                let remedy = "docs/fleet.md has a table of those that do";
                text.error(claim, fault.to_string(), remedy)
            })
        };
        Ok(WitnessSettings {
            identity: claims.iter().map(claim).collect::<Result<_, _>>()?,
            on_fork: one_of(
                "on-fork",
                self.on_fork,
                &[("note", OnFork::Note), ("refuse", OnFork::Refuse)],
                text,
            )?,
        })
    }
}
