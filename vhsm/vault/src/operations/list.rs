use super::Call;
use crate::access::KeylessGrant;
use crate::policy::Source;
use crate::refusal::Stop;
use crate::{Now, Outcome, Refusal, Session, Vault};
use nitride_protocol::application::{List, ListEntry, Listing};
use nitride_protocol::limits::MAX_LIST_LEN;
use nitride_protocol::{KeyNameBuf, KeyState, KeyType, Message, Operation, Reader};
use std::collections::BTreeSet;
use std::ops::Bound;

/// Names looked at before the table's lock is let go.
const PAGE_LEN: usize = 256;

struct Entry {
    name: KeyNameBuf,
    key_type: KeyType,
    state: KeyState,
    newest_version: u32,
    plaintext_courier: bool,
}

/// Shows the names on which the peer may `describe`, and says nothing of the others.
pub(super) fn list(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let List { prefix, after, max } = List::decode_last(params)?;
    KeylessGrant::new(session, Operation::List)?;
    let max = usize::try_from(max).map_or(MAX_LIST_LEN, |max| max.min(MAX_LIST_LEN));

    let mut entries = Vec::new();
    let mut more = false;
    // Where the peer may see nothing, nothing is looked at: others may have a million names.
    let starts: Vec<String> = session
        .starts_granted(Operation::Describe)
        .into_iter()
        .filter_map(|start| narrower(start, prefix))
        .map(str::to_owned)
        .collect();
    'starts: for start in starts {
        let mut from = match after {
            Some(after) if after.as_str() >= start.as_str() => Bound::Excluded(after.to_owned()),
            _ => Bound::Unbounded,
        };
        'pages: loop {
            let names = page(vault, session, &from, &start)?;
            let Some(last) = names.last() else { break };
            let next = Bound::Excluded(last.clone());
            for name in names {
                if !name.as_str().starts_with(&start) {
                    break 'pages;
                }
                let Some(entry) = entry(vault, session, name, call.now)? else {
                    continue;
                };
                if entries.len() == max {
                    more = true;
                    break 'starts;
                }
                entries.push(entry);
            }
            from = next;
        }
    }
    let entries = entries
        .iter()
        .map(|entry| ListEntry {
            key: entry.name.as_name(),
            key_type: entry.key_type,
            state: entry.state,
            newest_version: entry.newest_version,
            plaintext_courier: entry.plaintext_courier,
        })
        .collect();
    call.answer(&Listing { entries, more })
}

/// The longer of two texts that a name is to begin with, if it can begin with both.
fn narrower<'t>(one: &'t str, other: &'t str) -> Option<&'t str> {
    match (one.starts_with(other), other.starts_with(one)) {
        (true, _) => Some(one),
        (_, true) => Some(other),
        _ => None,
    }
}

/// The next names in order, of keys and of key rules, whoever may see them.
fn page(
    vault: &Vault,
    session: &Session,
    from: &Bound<KeyNameBuf>,
    prefix: &str,
) -> Result<BTreeSet<KeyNameBuf>, Refusal> {
    let from = match from {
        Bound::Excluded(name) | Bound::Included(name) => Bound::Excluded(name.as_str()),
        Bound::Unbounded => Bound::Included(prefix),
    };
    let keys = vault.keys.page(from, PAGE_LEN)?;
    let rules = session.policy().key_rules();
    let stated = rules.range::<str, _>((from, Bound::Unbounded));
    let both: BTreeSet<KeyNameBuf> = keys
        .iter()
        .map(|key| key.name().clone())
        .chain(stated.map(|(name, _)| name.clone()).take(PAGE_LEN))
        .collect();
    // Of two pages of one length, only the first of that many names are surely the next ones.
    Ok(both.into_iter().take(PAGE_LEN).collect())
}

fn entry(
    vault: &Vault,
    session: &Session,
    name: KeyNameBuf,
    now: Now,
) -> Result<Option<Entry>, Refusal> {
    let granted = session.granted_on(name.as_name());
    if !granted.contains(Operation::Describe) {
        return Ok(None);
    }
    let rule = session.policy().key_rule(name.as_str());
    if let Some(key) = vault.keys.find(name.as_str())? {
        let body = key.read()?;
        return Ok(Some(Entry {
            name,
            key_type: body.key_type,
            state: body.shown_state(rule.map(|rule| &**rule), now),
            newest_version: body.newest_version(),
            plaintext_courier: body.versions.iter().any(|version| version.was_in_clear),
        }));
    }
    // A key that is stated and will come at its first use; by request alone is not that.
    let coming = rule.filter(|rule| rule.source != Source::Local);
    Ok(coming.map(|rule| Entry {
        name,
        key_type: rule.key_type,
        state: KeyState::Pending,
        newest_version: 0,
        plaintext_courier: false,
    }))
}
