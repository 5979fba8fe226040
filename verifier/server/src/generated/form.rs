//! `generate.toml`: strict, every field stated.
//!
//! ```toml
//! version = 1
//! # P-256: `owner-key generate`. Vaults pin its public half as the signer of these keys.
//! signing-key = "generate.key"
//!
//! [[secret]]
//! name = "disks"
//! resources = ["disk/secret/root", "disk/secret/root-next"]
//! # What makes a machine another than the next, for each TEE that may ask.
//! identity = { tpm = ["ak_sha256"] }
//! danger-allow-simulated = false
//! type = "secret"
//! # Of "secret" a text of so many bytes of randomness; "bytes" are these themselves.
//! form = "passphrase"
//! bytes = 32
//! operations = ["release"]
//! release-to = ["volume:root"]
//! wrappable-by = []
//! # How long a vault keeps it without asking again.
//! lease-secs = 3600
//! # So many get one of each resource; what they had before stays theirs.
//! max-machines = 1000
//! tenant = "web"                          # optional
//! ```

use super::{Form, IdentityClaims, Template};
use crate::envelope::{SealSpec, check_terms, len_if_any_bytes};
use nitride_kbs::resource::ResourcePath;
use nitride_verify::Tee;
use nitride_verify::strict_toml::{FileError, TomlText};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use toml::Spanned;

const VERSION: i64 = 1;
const MAX_TEMPLATES: usize = 1000;
const MAX_RESOURCES: usize = 64;
/// A vault that is told to ask again sooner would do nothing else; one a year is none at all.
const MAX_LEASE_SECS: u64 = 366 * 86_400;
/// What is drawn is neither guessed nor longer than a derivation takes.
const BYTES: std::ops::RangeInclusive<usize> = 16..=1024;
/// OpenBao lists so many names in one answer, with room.
const MAX_MACHINES: usize = 50_000;
const SECRET: &str = "secret";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileForm {
    version: Spanned<i64>,
    signing_key: PathBuf,
    #[serde(default)]
    secret: Vec<SecretForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SecretForm {
    name: Spanned<String>,
    resources: Spanned<Vec<Spanned<String>>>,
    identity: Spanned<BTreeMap<String, Vec<String>>>,
    danger_allow_simulated: Spanned<bool>,
    r#type: Spanned<String>,
    form: Spanned<String>,
    bytes: Spanned<usize>,
    operations: Vec<String>,
    release_to: Vec<String>,
    wrappable_by: Vec<String>,
    lease_secs: Spanned<u64>,
    max_machines: Spanned<usize>,
    tenant: Option<String>,
}

/// The templates, and the path of the signing key as the file writes it.
pub(super) fn parse(text: &str, file: &str) -> Result<(Vec<Template>, PathBuf), FileError> {
    let text = TomlText { text, file };
    let form: FileForm = text.read("state every field of each secret, and no other")?;
    if *form.version.get_ref() != VERSION {
        let reason = format!("version {} is not known", form.version.get_ref());
        return Err(text.error(&form.version, reason, "write version = 1"));
    }
    if form.secret.len() > MAX_TEMPLATES {
        let reason = format!("more than {MAX_TEMPLATES} secrets");
        return Err(text.error(&form.version, reason, "name several resources in one"));
    }
    let mut templates: Vec<Template> = Vec::with_capacity(form.secret.len());
    for secret in form.secret {
        if templates
            .iter()
            .any(|other| other.name == *secret.name.get_ref())
        {
            let reason = format!("secret {:?} is there twice", secret.name.get_ref());
            return Err(text.error(&secret.name, reason, "give each a name of its own"));
        }
        let template = secret.read(&templates, &text)?;
        templates.push(template);
    }
    Ok((templates, form.signing_key))
}

impl SecretForm {
    fn read(self, before: &[Template], text: &TomlText<'_>) -> Result<Template, FileError> {
        if self.name.get_ref().is_empty() {
            return Err(text.error(&self.name, "secret has an empty name", "name it"));
        }
        let resources = self.resources(before, text)?;
        let identity = self.identity(text)?;
        let (form, bytes) = self.drawn(text)?;
        let lease_secs = *self.lease_secs.get_ref();
        if !(1..=MAX_LEASE_SECS).contains(&lease_secs) {
            let reason = format!("lease-secs is {lease_secs}");
            let remedy = format!("write 1 to {MAX_LEASE_SECS}: what is revoked stays so long");
            return Err(text.error(&self.lease_secs, reason, remedy));
        }
        let max_machines = *self.max_machines.get_ref();
        if !(1..=MAX_MACHINES).contains(&max_machines) {
            let reason = format!("max-machines is {max_machines}");
            let remedy = format!("write 1 to {MAX_MACHINES}");
            return Err(text.error(&self.max_machines, reason, remedy));
        }
        let terms = SealSpec {
            key_type: self.r#type.into_inner(),
            version: 0,
            operations: self.operations,
            tenant: self.tenant,
            wrappable_by: self.wrappable_by,
            release_to: self.release_to,
            lease_secs: Some(lease_secs),
            not_after_secs: None,
            disk: None,
        };
        check_terms(&terms).map_err(|error| {
            let reason = match error.source() {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            text.error(&self.name, reason, "correct what this secret says")
        })?;
        Ok(Template {
            name: self.name.into_inner(),
            resources,
            identity,
            danger_allow_simulated: *self.danger_allow_simulated.get_ref(),
            form,
            bytes,
            max_machines,
            terms,
        })
    }

    fn resources(
        &self,
        before: &[Template],
        text: &TomlText<'_>,
    ) -> Result<Vec<ResourcePath>, FileError> {
        let named = self.resources.get_ref();
        if named.is_empty() || named.len() > MAX_RESOURCES {
            let reason = format!("{} resources are named", named.len());
            let remedy = format!("name 1 to {MAX_RESOURCES}, or split the secret in two");
            return Err(text.error(&self.resources, reason, remedy));
        }
        let mut resources: Vec<ResourcePath> = Vec::with_capacity(named.len());
        for name in named {
            let path = ResourcePath::parse(name.get_ref()).map_err(|error| {
                let remedy = "write repo/type/tag: patterns would be made for whatever is asked";
                text.error(name, error.to_string(), remedy)
            })?;
            let others = before.iter().flat_map(|template| &template.resources);
            if others.chain(&resources).any(|other| *other == path) {
                let reason = format!("{path} is named twice");
                return Err(text.error(name, reason, "name each resource once"));
            }
            resources.push(path);
        }
        Ok(resources)
    }

    fn identity(&self, text: &TomlText<'_>) -> Result<IdentityClaims, FileError> {
        let mut identity = IdentityClaims::default();
        for (tee, claims) in self.identity.get_ref() {
            identity.add(tee, claims).map_err(|reason| {
                let remedy = "see \"Secrets made on first request\" in docs/fleet.md";
                text.error(&self.identity, reason, remedy)
            })?;
        }
        if identity == IdentityClaims::default() {
            let remedy = "name what tells machines apart, as { tpm = [\"ak_sha256\"] }";
            return Err(text.error(&self.identity, "identity names nothing", remedy));
        }
        if identity.has(Tee::Sample) && !*self.danger_allow_simulated.get_ref() {
            let reason = "sample evidence proves no machine";
            let remedy = "remove sample from identity, or say danger-allow-simulated = true";
            return Err(text.error(&self.danger_allow_simulated, reason, remedy));
        }
        Ok(identity)
    }

    /// What is drawn, and what becomes of it.
    fn drawn(&self, text: &TomlText<'_>) -> Result<(Form, usize), FileError> {
        let key_type = self.r#type.get_ref();
        let lens = len_if_any_bytes(key_type)
            .map_err(|error| text.error(&self.r#type, error.to_string(), "choose another type"))?;
        let form = match self.form.get_ref().as_str() {
            "bytes" => Form::Bytes,
            "passphrase" if key_type == SECRET => Form::Passphrase,
            "passphrase" => {
                let reason = format!("a {key_type} is no passphrase");
                return Err(text.error(&self.form, reason, "write \"bytes\""));
            }
            other => {
                let reason = format!("form {other:?} is not known");
                return Err(text.error(&self.form, reason, "write \"passphrase\" or \"bytes\""));
            }
        };
        let bytes = *self.bytes.get_ref();
        let (least, most) = (
            *lens.start().max(BYTES.start()),
            *lens.end().min(BYTES.end()),
        );
        if !(least..=most).contains(&bytes) {
            let reason = format!("{bytes} bytes are drawn");
            let remedy = format!("a {key_type} takes {least} to {most}");
            return Err(text.error(&self.bytes, reason, remedy));
        }
        Ok((form, bytes))
    }
}
