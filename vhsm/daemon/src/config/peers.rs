//! Who a peer must be: users and groups by name are resolved here, once, at load.

use super::{ConfigError, Document};
use nitride_vault::policy::PeerMatch;
use nix::unistd::{Group, User};
use serde::Deserialize;
use toml::Spanned;

/// A peer as it is written: `{ uid = 0 }`, `{ user = "web", unit = "nginx.service" }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawPeer {
    uid: Option<u32>,
    user: Option<Spanned<String>>,
    gid: Option<u32>,
    group: Option<Spanned<String>>,
    unit: Option<Spanned<String>>,
    cgroup_prefix: Option<Spanned<String>>,
}

/// The match that `raw` describes; it states at least one condition.
pub(crate) fn peer_match(
    document: &Document,
    raw: Spanned<RawPeer>,
) -> Result<PeerMatch, ConfigError> {
    let span = raw.span();
    let raw = raw.into_inner();
    let found = PeerMatch {
        uid: raw.uid,
        user: raw.user.map(|user| uid_of(document, &user)).transpose()?,
        gid: raw.gid,
        group: raw
            .group
            .map(|group| gid_of(document, &group))
            .transpose()?,
        unit: raw.unit.map(|unit| unit_of(document, unit)).transpose()?,
        cgroup_prefix: raw
            .cgroup_prefix
            .map(|prefix| cgroup_of(document, prefix))
            .transpose()?,
        executable_digest: None,
        per_message: false,
    };
    if !found.states_anything() {
        return Err(document.fault(
            span,
            "the peer states no condition, which would be about nobody",
            "state uid, user, gid, group, unit or cgroup-prefix",
        ));
    }
    Ok(found)
}

/// The uid of a user by name, as the system's account database has it now.
pub(crate) fn uid_of(document: &Document, user: &Spanned<String>) -> Result<u32, ConfigError> {
    match User::from_name(user.get_ref()) {
        Ok(Some(found)) => Ok(found.uid.as_raw()),
        found => Err(no_account(document, user, "user", found.err())),
    }
}

fn gid_of(document: &Document, group: &Spanned<String>) -> Result<u32, ConfigError> {
    match Group::from_name(group.get_ref()) {
        Ok(Some(found)) => Ok(found.gid.as_raw()),
        found => Err(no_account(document, group, "group", found.err())),
    }
}

fn no_account(
    document: &Document,
    name: &Spanned<String>,
    kind: &str,
    errno: Option<nix::errno::Errno>,
) -> ConfigError {
    let why = errno.map_or("there is none", nix::errno::Errno::desc);
    document.fault(
        name.span(),
        format_args!("{kind} {:?} cannot be resolved: {why}", name.get_ref()),
        format_args!("create the {kind} or state its number"),
    )
}

/// A system unit's whole name, as `systemctl` prints it.
pub(crate) fn unit_of(document: &Document, unit: Spanned<String>) -> Result<String, ConfigError> {
    let kinds = [".service", ".scope"];
    let whole = kinds
        .iter()
        .any(|kind| unit.get_ref().len() > kind.len() && unit.get_ref().ends_with(kind));
    if !whole || unit.get_ref().contains('/') {
        return Err(document.fault(
            unit.span(),
            format_args!("{:?} is not the name of a unit", unit.get_ref()),
            "write it whole, as in \"nginx.service\"",
        ));
    }
    Ok(unit.into_inner())
}

fn cgroup_of(document: &Document, prefix: Spanned<String>) -> Result<String, ConfigError> {
    let path = prefix.get_ref();
    if !path.starts_with('/') || path.split('/').any(|part| part == ".." || part == ".") {
        return Err(document.fault(
            prefix.span(),
            format_args!("{path:?} is not a path in the cgroup tree"),
            "write it from the root, as in \"/system.slice\"",
        ));
    }
    Ok(prefix.into_inner())
}
