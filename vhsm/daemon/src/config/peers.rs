//! Who a peer must be: users and groups by name are resolved here, once, at load.

use super::{ConfigError, Document};
use nitride_vault::policy::PeerMatch;
use nix::errno::Errno;
use nix::unistd::{Group, User};
use serde::Deserialize;
use std::collections::HashMap;
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
    executable_digest: Option<Spanned<String>>,
    #[serde(default)]
    per_message: bool,
}

/// Users and groups by name, each asked for once however often it is named: an account database
/// may be far away.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    users: HashMap<String, u32>,
    groups: HashMap<String, u32>,
}

/// The match that `raw` describes; it states at least one condition.
pub(crate) fn peer_match(
    document: &Document,
    accounts: &mut Accounts,
    raw: Spanned<RawPeer>,
) -> Result<PeerMatch, ConfigError> {
    let span = raw.span();
    let raw = raw.into_inner();
    let found = PeerMatch {
        uid: raw.uid,
        user: raw
            .user
            .map(|user| accounts.uid_of(document, &user))
            .transpose()?,
        gid: raw.gid,
        group: raw
            .group
            .map(|group| accounts.gid_of(document, &group))
            .transpose()?,
        unit: raw.unit.map(|unit| unit_of(document, unit)).transpose()?,
        cgroup_prefix: raw
            .cgroup_prefix
            .map(|prefix| cgroup_of(document, prefix))
            .transpose()?,
        executable_digest: raw
            .executable_digest
            .map(|digest| digest_of(document, &digest))
            .transpose()?,
        per_message: raw.per_message,
    };
    // The number that says "nobody" to the kernel.
    if raw.uid == Some(u32::MAX) || raw.gid == Some(u32::MAX) {
        return Err(document.fault(
            span,
            format_args!("{} is no user and no group", u32::MAX),
            "state the number of an account",
        ));
    }
    if !found.states_anything() {
        return Err(document.fault(
            span,
            "the peer states no condition, which would be about nobody",
            "state uid, user, gid, group, unit or cgroup-prefix",
        ));
    }
    Ok(found)
}

impl Accounts {
    /// The uid of a user by name, as the system's account database has it now.
    pub(crate) fn uid_of(
        &mut self,
        document: &Document,
        user: &Spanned<String>,
    ) -> Result<u32, ConfigError> {
        resolve(&mut self.users, document, user, "user", |name| {
            Ok(User::from_name(name)?.map(|found| found.uid.as_raw()))
        })
    }

    fn gid_of(&mut self, document: &Document, group: &Spanned<String>) -> Result<u32, ConfigError> {
        resolve(&mut self.groups, document, group, "group", |name| {
            Ok(Group::from_name(name)?.map(|found| found.gid.as_raw()))
        })
    }
}

fn resolve(
    known: &mut HashMap<String, u32>,
    document: &Document,
    name: &Spanned<String>,
    kind: &str,
    ask: impl FnOnce(&str) -> Result<Option<u32>, Errno>,
) -> Result<u32, ConfigError> {
    if let Some(number) = known.get(name.get_ref()) {
        return Ok(*number);
    }
    let number = match ask(name.get_ref()) {
        Ok(Some(number)) => number,
        Ok(None) => return Err(no_account(document, name, kind, None)),
        Err(errno) => return Err(no_account(document, name, kind, Some(errno))),
    };
    known.insert(name.get_ref().clone(), number);
    Ok(number)
}

fn no_account(
    document: &Document,
    name: &Spanned<String>,
    kind: &str,
    errno: Option<Errno>,
) -> ConfigError {
    let why = errno.map_or("there is none", Errno::desc);
    document.fault(
        name.span(),
        format_args!("{kind} {:?} cannot be resolved: {why}", name.get_ref()),
        format_args!("create the {kind} or state its number"),
    )
}

/// Longest name of a unit, in bytes (systemd's `UNIT_NAME_MAX`).
const MAX_UNIT_LEN: usize = 255;

/// A system unit's whole name, as `systemctl` prints it.
pub(crate) fn unit_of(document: &Document, unit: Spanned<String>) -> Result<String, ConfigError> {
    let name = unit.get_ref();
    let stem = name
        .strip_suffix(".service")
        .or_else(|| name.strip_suffix(".scope"));
    // What systemd lets the name of a unit have (systemd.unit(5)).
    let plain = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let Some(stem) = stem
        .filter(|stem| !stem.is_empty() && stem.chars().all(plain) && name.len() <= MAX_UNIT_LEN)
    else {
        return Err(document.fault(
            unit.span(),
            format_args!("{name:?} is not the name of a unit"),
            "write it whole, as in \"nginx.service\"",
        ));
    };
    if stem.ends_with('@') {
        return Err(document.fault(
            unit.span(),
            format_args!("{name:?} is a template, which never runs itself"),
            "name an instance, as in \"web@one.service\", or the slice of all of them by \
             cgroup-prefix = \"/system.slice/system-web.slice\"",
        ));
    }
    Ok(unit.into_inner())
}

/// `sha256:` and 64 hexadecimal digits, as `sha256sum` prints them.
fn digest_of(document: &Document, text: &Spanned<String>) -> Result<[u8; 32], ConfigError> {
    text.get_ref()
        .strip_prefix("sha256:")
        .and_then(digest_bytes)
        .ok_or_else(|| {
            document.fault(
                text.span(),
                "is not the digest of a program",
                "write \"sha256:\" and the 64 digits that sha256sum prints",
            )
        })
}

fn digest_bytes(digits: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() != 2 * digest.len() || !digits.bytes().all(lower) {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(digest)
}

fn cgroup_of(document: &Document, prefix: Spanned<String>) -> Result<String, ConfigError> {
    let path = prefix.get_ref();
    let is_whole = path == "/"
        || path
            .strip_prefix('/')
            .map(|path| path.strip_suffix('/').unwrap_or(path))
            .is_some_and(|path| {
                let is_name = |part: &str| !matches!(part, "" | "." | "..");
                path.split('/').all(is_name) && !path.contains('\n')
            });
    if !is_whole {
        return Err(document.fault(
            prefix.span(),
            format_args!("{path:?} is not a path in the cgroup tree"),
            "write it from the root, as in \"/system.slice\"",
        ));
    }
    Ok(prefix.into_inner())
}
