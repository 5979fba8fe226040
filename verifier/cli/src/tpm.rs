//! Enrolling a TPM's attestation key, from files: docs/decisions/0025.

use crate::arguments::TpmVerb;
use crate::exit::Exit;
use nitride_collateral::Files;
use nitride_collateral::{Obstacle, told};
use nitride_verify::enrolment::{self, Enrolment, EnrolmentFault, MAX_FORM_LEN, is_answered};
use serde_json::{Map, Value, json};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

pub(crate) fn run(verb: &TpmVerb) -> Result<(String, Exit), Obstacle> {
    let mut files = Files::new();
    match verb {
        TpmVerb::Challenge {
            request,
            endorsement_key,
            challenge,
            keep,
        } => {
            let expected = hexadecimal::<32>("--endorsement-key", endorsement_key)?;
            let text = files.read_text(request, MAX_FORM_LEN as u64)?;
            let wrong = |fault: EnrolmentFault| {
                Obstacle::at(request, told(&fault), "ask the machine's operator again")
            };
            let enrolment = Enrolment::read(&text).map_err(wrong)?;
            let (seed, secret) = (drawn()?, drawn()?);
            let made = enrolment.challenge(&expected, &seed, &secret);
            let made = made.map_err(wrong)?;
            let kept = json!({
                "version": 1,
                "name": hex(enrolment.name()),
                "answer_sha256": hex(&enrolment::kept(&secret)),
            });
            write_new(challenge, &made)?;
            write_new(keep, &format!("{kept}\n"))?;
            let told = "the challenge is for the TPM alone, and expires with what was kept\n";
            Ok((told.to_owned(), Exit::Accepted))
        }
        TpmVerb::Pin { kept, answer } => pin(kept, answer, &mut files),
    }
}

fn pin(kept: &Path, answer: &Path, files: &mut Files) -> Result<(String, Exit), Obstacle> {
    let known = files.read_text(kept, MAX_FORM_LEN as u64)?;
    let foreign = || Obstacle::at(kept, "is not what `tpm challenge` kept", "name that file");
    let Kept { name, wanted } = Kept::read(&known).ok_or_else(foreign)?;
    let text = files.read_text(answer, MAX_FORM_LEN as u64)?;
    let answered = is_answered(&text, &wanted);
    let answered =
        answered.map_err(|fault| Obstacle::at(answer, told(&fault), "name the TPM's answer"))?;
    Ok(if answered {
        let line = format!("attestation-keys = [\"{}\"]\n", hex(&name));
        (line, Exit::Accepted)
    } else {
        let line = "refused: another TPM, or another key, has answered\n";
        (line.to_owned(), Exit::Refused)
    })
}

/// What `tpm challenge` keeps until the answer comes.
struct Kept {
    /// The attestation key's.
    name: [u8; 34],
    /// The SHA-256 of what has to be answered.
    wanted: [u8; 32],
}

impl Kept {
    /// Nothing but what was written: of a later version a member might change what the others mean.
    fn read(text: &str) -> Option<Self> {
        let members: Map<String, Value> = serde_json::from_str(text).ok()?;
        if members.len() != 3 || members.get("version") != Some(&Value::from(1)) {
            return None;
        }
        let member = |name: &str| members.get(name).and_then(Value::as_str);
        Some(Self {
            name: hexadecimal("name", member("name")?).ok()?,
            wanted: hexadecimal("answer_sha256", member("answer_sha256")?).ok()?,
        })
    }
}

fn drawn() -> Result<[u8; 32], Obstacle> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        Obstacle::of(
            "the kernel",
            format!("gives no randomness: {error}"),
            "try again",
        )
    })?;
    Ok(bytes)
}

/// Never over what is there: it may be another machine's.
fn write_new(path: &Path, text: &str) -> Result<(), Obstacle> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| {
            let reason = format!("cannot be written: {error}");
            Obstacle::at(path, reason, "name a file that is not there yet")
        })
}

fn hexadecimal<const N: usize>(what: &str, text: &str) -> Result<[u8; N], Obstacle> {
    let mut bytes = [0; N];
    match base16ct::mixed::decode(text, &mut bytes) {
        Ok(decoded) if decoded.len() == N => Ok(bytes),
        _ => {
            let reason = format!("{text:?} is not {N} bytes in hexadecimal");
            Err(Obstacle::of(what, reason, "give all of its digits"))
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_challenge_kept_is_pinned() {
        let name = format!("000b{}", "01".repeat(32));
        let good = json!({ "version": 1, "name": name, "answer_sha256": "02".repeat(32) });
        assert!(Kept::read(&good.to_string()).is_some());
        for (member, value) in [
            ("version", json!(2)),
            ("version", Value::Null),
            ("name", json!("000b")),
            ("answer_sha256", json!(1)),
            ("endorsement_key", json!("03")),
        ] {
            let mut other = good.clone();
            other[member] = value;
            assert!(Kept::read(&other.to_string()).is_none(), "{member}");
        }
        assert!(Kept::read("[]").is_none());
    }
}
