use http::Uri;
use http::uri::Scheme;
use nitride_settings::{Fault, fault};
use serde::Deserialize;
use std::net::IpAddr;
use std::ops::Range;
use toml::Spanned;

/// One place where a service can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Scheme, host and port, and a path without trailing slash where it has one.
    pub(crate) url: String,
    /// The lowest number comes first.
    pub(crate) priority: u32,
    /// Whether everybody on the way can read and change what is said; loopback alone.
    pub(crate) plain: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct EndpointTable {
    url: Spanned<String>,
    #[serde(default)]
    priority: u32,
}

/// What the service says about all of its endpoints.
pub(super) struct Rules {
    pub(super) has_ca: bool,
    pub(super) danger_plain_http: bool,
}

pub(super) fn check(table: Spanned<EndpointTable>, rules: &Rules) -> Result<Endpoint, Fault> {
    let table = table.into_inner();
    let at = table.url.span();
    let url = table.url.get_ref().trim_end_matches('/');
    let Ok(uri) = url.parse::<Uri>() else {
        return fault(at, "this is no URL: write https://HOST:PORT");
    };
    let plain = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => false,
        Some(scheme) if *scheme == Scheme::HTTP => true,
        _ => return fault(at, "the URL has another scheme: write https://HOST:PORT"),
    };
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') || uri.query().is_some() || url.contains('#') {
        return fault(at, "the URL has more than scheme, host, port and path");
    }
    let host = uri.host().unwrap_or_default();
    if host.is_empty() {
        return fault(at, "the URL has no host: write https://HOST:PORT");
    }
    match plain {
        true => allow_plain(at, host, rules)?,
        false if rules.has_ca => {}
        false => {
            return fault(
                at,
                "no CA is pinned for this service: give `ca`, the system's are not trusted",
            );
        }
    }
    Ok(Endpoint {
        url: url.to_owned(),
        priority: table.priority,
        plain,
    })
}

/// A name is not loopback: who resolves it decides where it leads.
fn allow_plain(at: Range<usize>, host: &str, rules: &Rules) -> Result<(), Fault> {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    let loopback = address.is_ok_and(|address: IpAddr| address.is_loopback());
    match (rules.danger_plain_http, loopback) {
        (true, true) => Ok(()),
        (false, _) => fault(
            at,
            "http is neither secret nor authentic: use https, or for a test state \
             `danger-plain-http = true`",
        ),
        (true, false) => fault(
            at,
            "`danger-plain-http` is for loopback alone: use https, or 127.0.0.1 or [::1]",
        ),
    }
}
