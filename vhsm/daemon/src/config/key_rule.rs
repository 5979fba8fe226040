use super::disk_key::duration;
use super::file::name;
use super::one_or_many::OneOrMany;
use super::peers::unit_of;
use super::policy::operations;
use super::{ConfigError, Document, time};
use nitride_kbs::resource::ResourcePath;
use nitride_protocol::{KeyName, KeyNameBuf, KeyType};
use nitride_vault::policy::{KeyRule, Rate, ReleaseTo, Source, Unsigned};
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

/// `[[key]]`: what a key itself allows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawKey {
    name: Spanned<String>,
    r#type: Spanned<String>,
    source: Spanned<String>,
    service: Option<Spanned<OneOrMany<String>>>,
    signer: Option<OneOrMany<String>>,
    #[serde(default)]
    unsigned: RawUnsigned,
    #[serde(default)]
    plaintext_courier: bool,
    operations: Vec<Spanned<String>>,
    gate: Option<Spanned<String>>,
    #[serde(default)]
    release_to: Vec<Spanned<RawReleaseTo>>,
    lease: Option<Spanned<String>>,
    not_before: Option<Spanned<Datetime>>,
    not_after: Option<Spanned<Datetime>>,
    max_uses: Option<u64>,
    rate: Option<Spanned<RawRate>>,
    min_version: Option<u32>,
    rotate_after: Option<Spanned<String>>,
    rotate_after_uses: Option<u64>,
    #[serde(default)]
    wrappable_by: Vec<Spanned<String>>,
    #[serde(default)]
    prefetch: bool,
    tenant: Option<String>,
    #[serde(default)]
    seal: bool,
    #[serde(default)]
    measure_release: bool,
}

/// `rate = { uses = 100, per = "1m" }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRate {
    uses: u32,
    per: Spanned<String>,
}

/// Left out means refused: an unsigned resource is taken where the policy says so alone.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawUnsigned {
    #[default]
    Refuse,
    Accept,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawReleaseTo {
    unit: Option<Spanned<String>>,
    uid: Option<u32>,
    volume: Option<String>,
}

impl RawKey {
    pub(super) fn validate(self, document: &Document) -> Result<KeyRule, ConfigError> {
        let key = key_name(document, &self.name)?;
        let key_type: KeyType = self.r#type.get_ref().parse().map_err(|_| {
            document.fault(
                self.r#type.span(),
                format_args!("{:?} is not a type of key", self.r#type.get_ref()),
                "write a type of the protocol, as in \"ec-p256\"",
            )
        })?;
        let release_to = self.release_to.into_iter();
        let secs = |time: Option<Spanned<Datetime>>| {
            time.map(|time| time::seconds(document, &time)).transpose()
        };
        Ok(KeyRule {
            name: key,
            key_type,
            source: source(document, &self.source, self.service)?,
            signer: self.signer.map(OneOrMany::into_vec).unwrap_or_default(),
            unsigned: match self.unsigned {
                RawUnsigned::Refuse => Unsigned::Refuse,
                RawUnsigned::Accept => Unsigned::Accept,
            },
            plaintext_courier: self.plaintext_courier,
            operations: operations(document, &self.operations)?,
            gate: self.gate.map(|gate| name(document, gate)).transpose()?,
            release_to: release_to
                .map(|to| one_release_to(document, to))
                .collect::<Result<_, _>>()?,
            lease_secs: self
                .lease
                .map(|lease| whole_secs(document, &lease))
                .transpose()?,
            not_before: secs(self.not_before)?,
            not_after: secs(self.not_after)?,
            max_uses: self.max_uses,
            rate: self.rate.map(|raw| rate(document, raw)).transpose()?,
            min_version: self.min_version,
            rotate_after_secs: self
                .rotate_after
                .map(|age| whole_secs(document, &age))
                .transpose()?,
            rotate_after_uses: self.rotate_after_uses,
            wrappable_by: self
                .wrappable_by
                .iter()
                .map(|by| key_name(document, by))
                .collect::<Result<_, _>>()?,
            prefetch: self.prefetch,
            tenant: self.tenant,
            seal: self.seal,
            measure_release: self.measure_release,
        })
    }
}

fn source(
    document: &Document,
    source: &Spanned<String>,
    service: Option<Spanned<OneOrMany<String>>>,
) -> Result<Source, ConfigError> {
    let made_here = match source.get_ref().as_str() {
        "generate" => Some(Source::Generate),
        "local" => Some(Source::Local),
        _ => None,
    };
    match (made_here, service) {
        (Some(made_here), None) => Ok(made_here),
        (Some(_), Some(service)) => Err(document.fault(
            service.span(),
            "a key that no service brings has no service",
            "remove it or state a kbs:/// source",
        )),
        (None, service) => {
            let path = source
                .get_ref()
                .starts_with("kbs:///")
                .then(|| ResourcePath::parse(source.get_ref()).ok())
                .flatten()
                .ok_or_else(|| {
                    document.fault(
                        source.span(),
                        format_args!("{:?} is not a source", source.get_ref()),
                        "write \"generate\", \"local\" or \"kbs:///repository/type/tag\"",
                    )
                })?;
            let service = service.ok_or_else(|| {
                document.fault(
                    source.span(),
                    "the service that has the resource is not stated",
                    "add service = \"…\", one of the [[service]] of vhsmd.toml",
                )
            })?;
            Ok(Source::Kbs {
                services: service.into_inner().into_vec(),
                path,
            })
        }
    }
}

fn one_release_to(
    document: &Document,
    raw: Spanned<RawReleaseTo>,
) -> Result<ReleaseTo, ConfigError> {
    let span = raw.span();
    match raw.into_inner() {
        RawReleaseTo {
            unit: Some(unit),
            uid: None,
            volume: None,
        } => Ok(ReleaseTo::Unit(unit_of(document, unit)?)),
        RawReleaseTo {
            unit: None,
            uid: Some(uid),
            volume: None,
        } => Ok(ReleaseTo::Uid(uid)),
        RawReleaseTo {
            unit: None,
            uid: None,
            volume: Some(volume),
        } if !volume.is_empty() => Ok(ReleaseTo::Volume(volume)),
        _ => Err(document.fault(
            span,
            "release-to does not name one recipient",
            "write one of { unit = … }, { uid = … } and { volume = … } in each pair of braces",
        )),
    }
}

/// Whole seconds, since the vault counts ages in them.
fn whole_secs(document: &Document, stated: &Spanned<String>) -> Result<u64, ConfigError> {
    match duration(document, stated)? {
        ms if ms % 1000 == 0 => Ok(ms / 1000),
        _ => Err(document.fault(
            stated.span(),
            format_args!("{:?} is not whole seconds", stated.get_ref()),
            "write it with s, m, h or d",
        )),
    }
}

fn rate(document: &Document, raw: Spanned<RawRate>) -> Result<Rate, ConfigError> {
    let raw = raw.into_inner();
    let per_secs = u32::try_from(whole_secs(document, &raw.per)?).map_err(|_| {
        document.fault(
            raw.per.span(),
            "a rate is over 136 years at most",
            "write a shorter time",
        )
    })?;
    Ok(Rate {
        uses: raw.uses,
        per_secs,
    })
}

fn key_name(document: &Document, text: &Spanned<String>) -> Result<KeyNameBuf, ConfigError> {
    KeyName::parse(text.get_ref())
        .map(|name| name.to_owned())
        .map_err(|error| {
            document.fault(
                text.span(),
                format_args!("{:?} is not the name of a key: {error}", text.get_ref()),
                "use letters, digits, '_', '-' and '.', in segments divided by '/'",
            )
        })
}
