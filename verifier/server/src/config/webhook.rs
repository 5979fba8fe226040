//! `[[webhook]]`: who is told what happens.

use super::in_range;
use crate::webhook::{KeySource, Topic};
use http::Uri;
use nitride_verify::strict_toml::{FileError, TomlText};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// Each has a queue and a connection.
const MAX_WEBHOOKS: usize = 8;
const MAX_NAME_LEN: usize = 32;
const MAX_URL_LEN: usize = 1024;

/// One receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebhookSettings {
    /// What figures and the log call it.
    pub(crate) name: String,
    /// `https`, with a host, and without a user.
    pub(crate) url: Uri,
    /// No other CA is trusted.
    pub(crate) ca: PathBuf,
    pub(crate) key: KeySource,
    pub(crate) topics: BTreeSet<Topic>,
    /// After so long a notice is dropped.
    pub(crate) give_up: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WebhookForm {
    name: Spanned<String>,
    url: Spanned<String>,
    ca: PathBuf,
    secret: Option<PathBuf>,
    signing_key: Option<PathBuf>,
    events: Spanned<Vec<Spanned<String>>>,
    give_up_secs: Option<Spanned<u32>>,
}

/// All of them, each by another name.
pub(super) fn read(
    forms: Vec<WebhookForm>,
    folder: &Path,
    text: &TomlText<'_>,
) -> Result<Vec<WebhookSettings>, FileError> {
    let mut names = BTreeSet::new();
    let mut all = Vec::with_capacity(forms.len());
    for form in forms {
        let name = form.name.clone();
        if all.len() >= MAX_WEBHOOKS {
            let reason = format!("there are more than {MAX_WEBHOOKS} webhooks");
            return Err(text.error(&name, reason, "have one receiver tell the others"));
        }
        if !names.insert(name.get_ref().clone()) {
            let reason = format!("two webhooks are called {:?}", name.get_ref());
            return Err(text.error(&name, reason, "give each a name of its own"));
        }
        all.push(form.read(folder, text)?);
    }
    Ok(all)
}

impl WebhookForm {
    fn read(self, folder: &Path, text: &TomlText<'_>) -> Result<WebhookSettings, FileError> {
        let name = self.name.get_ref();
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > MAX_NAME_LEN || !name.bytes().all(fits) {
            let reason = format!("{name:?} is no name of a webhook");
            let remedy = "write 1 to 32 of a to z, 0 to 9 and -";
            return Err(text.error(&self.name, reason, remedy));
        }
        let key = match (self.secret, self.signing_key) {
            (Some(path), None) => KeySource::Secret(folder.join(path)),
            (None, Some(path)) => KeySource::SigningKey(folder.join(path)),
            (one, _) => {
                let reason = match one {
                    Some(_) => "secret and signing-key exclude each other",
                    None => "there is neither secret nor signing-key",
                };
                let remedy =
                    "name 32 bytes of `store-key generate`, or a key of `token-key generate`";
                return Err(text.error(&self.name, reason, remedy));
            }
        };
        let give_up = in_range("give-up-secs", self.give_up_secs, 3600, 86_400, text)?;
        Ok(WebhookSettings {
            name: name.clone(),
            url: url(&self.url, text)?,
            ca: folder.join(self.ca),
            key,
            topics: topics(&self.events, text)?,
            give_up: Duration::from_secs(give_up.into()),
        })
    }
}

/// Where it goes is fixed here: nothing that a client sends is in it.
fn url(url: &Spanned<String>, text: &TomlText<'_>) -> Result<Uri, FileError> {
    let said = url.get_ref();
    let parsed = said.parse::<Uri>().ok().filter(|uri| {
        let host = uri.host().is_some_and(|host| !host.is_empty());
        let authority = uri.authority().map_or("@", |authority| authority.as_str());
        uri.scheme_str() == Some("https") && host && !authority.contains('@')
    });
    // A fragment is dropped by whoever parses it, and nobody would be told.
    let is_whole = said.len() <= MAX_URL_LEN && !said.contains('#');
    parsed.filter(|_| is_whole).ok_or_else(|| {
        let reason = format!("{said:?} is no address that is told anything");
        let remedy = "write https://HOST[:PORT]/PATH, without a user and a fragment";
        text.error(url, reason, remedy)
    })
}

fn topics(
    events: &Spanned<Vec<Spanned<String>>>,
    text: &TomlText<'_>,
) -> Result<BTreeSet<Topic>, FileError> {
    let words = || Topic::ALL.map(Topic::as_str).join(", ");
    if events.get_ref().is_empty() {
        let remedy = format!("name some of {}", words());
        return Err(text.error(events, "events is an empty list", remedy));
    }
    let topic = |event: &Spanned<String>| {
        let found = Topic::ALL
            .into_iter()
            .find(|topic| topic.as_str() == event.get_ref());
        found.ok_or_else(|| {
            let reason = format!("{:?} is no event", event.get_ref());
            text.error(event, reason, format!("write one of {}", words()))
        })
    };
    events.get_ref().iter().map(topic).collect()
}
