//! What a kill switch may be called: something that evidence, or a path, can be called, and stays.

use super::Kind;
use nitride_kbs::resource::ResourcePath;
use nitride_verify::{ClaimForm, Tee};

const MAX_WHAT_LEN: usize = 600;

/// Whether anything is ever called that: who revokes what nothing is called believes that it is gone.
pub(super) fn can_match(kind: Kind, what: &str) -> Result<(), String> {
    let path = |text: &str| ResourcePath::parse(text).ok();
    let holds = |holds: bool, remedy: &str| holds.then_some(()).ok_or_else(|| remedy.to_owned());
    match kind {
        _ if what.len() > MAX_WHAT_LEN => holds(false, "it is too long"),
        Kind::Vm | Kind::Image => claim_can_match(what),
        Kind::Tenant => {
            let tenant = path(&format!("{what}/type/tag"));
            let is_one = tenant.is_some_and(|path| path.repository() == what);
            holds(is_one, "write the first part of a path, without kbs:///")
        }
        Kind::Resource => {
            // One spelling, which is what is compared.
            let is_path = path(what).is_some_and(|path| path.as_str() == what);
            holds(is_path, "write repo/type/tag, without kbs:///")
        }
    }
}

fn claim_can_match(what: &str) -> Result<(), String> {
    let parts = what.split_once('=').and_then(|(claim, value)| {
        let (tee, name) = claim.split_once('.')?;
        Some((tee, name, value))
    });
    let Some((tee, name, value)) = parts else {
        return Err("write TEE.CLAIM=VALUE, as a token has it".to_owned());
    };
    let of = Tee::parse(tee).ok_or_else(|| format!("{tee:?} is no TEE that is judged here"))?;
    match ClaimForm::of(of, name) {
        None => Err(format!(
            "evidence of {tee} has no claim {name:?} of one value; see docs/fleet.md for those that \
             name machines and images"
        )),
        Some(ClaimForm::Passing) => Err(format!(
            "{name} is another one when the machine starts again, or asks again, which would undo \
             it; see docs/fleet.md for claims that stay"
        )),
        Some(form) if !form.takes(value) => Err(format!("{name} is {form}")),
        Some(_) => Ok(()),
    }
}
