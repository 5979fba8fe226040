//! The verbs of administration, attestation and audit.

use crate::arguments::{ConnectionArguments, OwnPolicy, PeerPart, PolicyVerb, Verb};
use crate::caller::Caller;
use crate::failure::Failure;
use crate::input;
use crate::output::Target;
use crate::present;
use crate::run::{names, set_of, target};
use crate::segments::Source;
use nitride_client::Client;
use nitride_protocol::KeyPolicy;
use nitride_protocol::admin::PeerClaim;
use nitride_protocol::limits::{
    MAX_ATTEST_DATA_LEN, MAX_LABEL_LEN, MAX_POLICY_TEXT_LEN, MAX_SEALED_LEN,
};
use std::path::Path;

/// What a file with the parts of a backup begins with; each part has its length before it, as four
/// bytes, big-endian.
const BACKUP_MAGIC: &[u8; 8] = b"NVBACKUP";

pub(crate) fn run(verb: Verb, connection: &ConnectionArguments) -> Result<(), Failure> {
    let caller = Caller::admin(connection);
    let standard = Target::standard(connection.json);
    let answer = match verb {
        Verb::Rotate { key } => {
            let version = caller.call(&key.name, |client| client.rotate(&key.name))?;
            present::version(&key.name, version)
        }
        Verb::SetPolicy { key, policy } => {
            let changes = changes(&policy)?;
            caller.call(&key.name, |client| client.set_policy(&key.name, changes))?;
            present::done("changed")
        }
        Verb::Attest { input, audit_head } => {
            let path = input.path.as_deref();
            let data = input::read("the data", path, MAX_ATTEST_DATA_LEN)?;
            let caller = Caller::application(connection);
            let found = caller.call_without_key(|client| match audit_head {
                true => client.attest_audit_head(&data),
                false => client.attest(&data),
            })?;
            present::evidence(&found)
        }
        Verb::AuditHead => {
            let caller = Caller::either(connection);
            let head = caller.call_without_key(Client::audit_head)?;
            present::audit_head(&head)
        }
        Verb::Why {
            connection,
            request,
        } => {
            let because = caller.call_without_key(|client| client.why(connection, request))?;
            present::reasons(None, &because)
        }
        Verb::Wipe { .. } => {
            caller.call_without_key(Client::wipe)?;
            present::done("wiped")
        }
        Verb::EndPhase { protection } => {
            let kept = caller.call_without_key(|client| client.end_phase(protection))?;
            present::phase_ended(kept)
        }
        Verb::Backup { recipient, output } => {
            let target = target(output, connection.json);
            target.check("backup", false)?;
            return backup(&caller, &recipient, &target);
        }
        Verb::Restore { input } => {
            let keys = restore(&caller, input.path.as_deref())?;
            present::restored(keys)
        }
        Verb::Policy(PolicyVerb::Check { path }) => {
            check(&caller, &path)?;
            present::done("sound")
        }
        Verb::Policy(PolicyVerb::Explain {
            key,
            operation,
            peer,
        }) => {
            let found = caller.call(&key.name, |client| {
                client.explain(&key.name, operation, claim(&peer))
            })?;
            present::reasons(Some(found.allowed), &found.because)
        }
        _ => return Err(Failure::Form("the verb is not one of administration")),
    };
    standard.write(&answer)
}

fn changes(policy: &OwnPolicy) -> Result<KeyPolicy<'_>, Failure> {
    let wrappable_by = match &policy.wrappable_by {
        Some(keys) => Some(names(keys)?),
        None => policy.not_wrappable.then(Vec::new),
    };
    Ok(KeyPolicy {
        operations: set_of(policy.operations.as_deref()),
        max_uses: policy.max_uses,
        not_before: policy.not_before,
        not_after: policy.not_after,
        rate: policy.rate,
        wrappable_by,
        min_version: policy.min_version,
    })
}

fn claim(parts: &[PeerPart]) -> PeerClaim<'_> {
    let mut claim = PeerClaim::default();
    for part in parts {
        match part {
            PeerPart::Uid(uid) => claim.uid = Some(*uid),
            PeerPart::Gid(gid) => claim.gid = Some(*gid),
            PeerPart::Unit(unit) => claim.unit = Some(unit),
            PeerPart::Cgroup(cgroup) => claim.cgroup = Some(cgroup),
            PeerPart::Digest(digest) => claim.executable_digest = Some(digest),
        }
    }
    claim
}

fn check(caller: &Caller<'_>, path: &Path) -> Result<(), Failure> {
    let file = input::read("the policy", Some(path), MAX_POLICY_TEXT_LEN)?;
    let text = std::str::from_utf8(&file).map_err(|_| Failure::Form("the policy is not text"))?;
    let name = path.file_name().map(|name| name.to_string_lossy());
    let name: String = name.as_deref().unwrap_or("policy").chars().collect();
    let name = match name.len() <= MAX_LABEL_LEN && !name.chars().any(char::is_control) {
        true => name.as_str(),
        false => "policy",
    };
    let faults = caller.call_without_key(|client| client.check_policy(name, text))?;
    match faults.as_slice() {
        [] => Ok(()),
        _ => Err(Failure::Faults(faults)),
    }
}

fn backup(caller: &Caller<'_>, recipient: &str, target: &Target) -> Result<(), Failure> {
    let mut client = caller.connect()?;
    let mut pending = target.pending()?;
    let mut cursor: Option<Vec<u8>> = None;
    loop {
        let part = client
            .backup(recipient, cursor.as_deref())
            .map_err(|source| Failure::Vhsmd { key: None, source })?;
        if cursor.is_none() {
            // Not before there is something: a refusal leaves nothing behind.
            pending.write(BACKUP_MAGIC)?;
        }
        let len = u32::try_from(part.sealed.len()).unwrap_or(u32::MAX);
        pending.write(&len.to_be_bytes())?;
        pending.write(&part.sealed)?;
        match part.next {
            // The same place again would never end.
            Some(next) if Some(&next) != cursor.as_ref() => cursor = Some(next),
            Some(_) => return Err(Failure::Form("vhsmd does not get on with the backup")),
            None => return pending.commit(),
        }
    }
}

fn restore(caller: &Caller<'_>, path: Option<&Path>) -> Result<u64, Failure> {
    let mut file = input::begin("the backup", path, 0)?.into_more("the backup")?;
    let mut client = caller.connect()?;
    let mut keys = 0;
    each_part(&mut file, |part| {
        let failed = |source| Failure::Vhsmd { key: None, source };
        keys += client.restore(part).map_err(failed)?;
        Ok(())
    })?;
    Ok(keys)
}

/// Gives each part of a backup's file to `act`; there is at least one.
fn each_part(
    file: &mut impl Source,
    mut act: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    const FAULT: Failure = Failure::Form("the file is no backup, or not whole");
    let mut magic = [0; BACKUP_MAGIC.len()];
    if file.fill(&mut magic)? < magic.len() || magic != *BACKUP_MAGIC {
        return Err(FAULT);
    }
    for number in 0u64.. {
        let mut len = [0; 4];
        match file.fill(&mut len)? {
            0 if number > 0 => break,
            4 => {}
            _ => return Err(FAULT),
        }
        let len = u32::from_be_bytes(len) as usize;
        if len > MAX_SEALED_LEN {
            return Err(FAULT);
        }
        let mut part = vec![0; len];
        if file.fill(&mut part)? < len {
            return Err(FAULT);
        }
        act(&part)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_read_whole_or_not_at_all() {
        let read = |mut file: &[u8]| {
            let mut parts = Vec::new();
            each_part(&mut file, |part| {
                parts.push(part.to_vec());
                Ok(())
            })
            .map(|()| parts)
        };
        let whole = b"NVBACKUP\0\0\0\x02ab\0\0\0\x01c";
        assert_eq!(read(whole).unwrap(), [&b"ab"[..], b"c"]);
        for cut in 0..whole.len() {
            let ends_with_a_part = cut == 14;
            assert_eq!(read(&whole[..cut]).is_ok(), ends_with_a_part, "{cut}");
        }
        assert!(read(b"NVBACKUP\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn what_is_said_of_a_peer_is_asked() {
        let said = [PeerPart::Uid(7), PeerPart::Unit("web.service".into())];
        let claim = claim(&said);
        assert_eq!((claim.uid, claim.gid), (Some(7), None));
        assert_eq!(claim.unit, Some("web.service"));
    }
}
