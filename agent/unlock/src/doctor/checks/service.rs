//! Whom a boot has to reach.

use super::{Verdict, verdict};
use crate::doctor::facts::{Facts, Service};

/// A judgement of each service.
fn of_services(facts: &Facts, good: &str, faults: impl Fn(&Service) -> Vec<String>) -> Verdict {
    match &facts.machine.services {
        Err(said) => Verdict::Bad(said.clone()),
        Ok(services) if services.is_empty() => {
            Verdict::Bad("agent.toml names no service".to_owned())
        }
        Ok(services) => verdict(services.iter().flat_map(faults).collect(), good),
    }
}

pub(super) fn names_resolve(facts: &Facts) -> Verdict {
    of_services(facts, "every host has an address", |service| {
        let lost = service
            .endpoints
            .iter()
            .filter(|endpoint| !endpoint.resolves);
        lost.map(|endpoint| format!("{} has no address", endpoint.host))
            .collect()
    })
}

pub(super) fn ca_is_there(facts: &Facts) -> Verdict {
    of_services(facts, "every CA is there, in the initrd too", |service| {
        let path = service.ca.display().to_string();
        let initrd = facts.machine.initrd.as_ref();
        let is_inside = initrd.is_ok_and(|initrd| initrd.has(&path));
        match (service.ca_is_there, is_inside) {
            (false, _) => vec![format!("{path} is not there")],
            (true, false) => vec![format!("{path} is not in the initrd")],
            (true, true) => Vec::new(),
        }
    })
}

/// Who stands there is what the round finds out.
pub(super) fn services_answer(facts: &Facts) -> Verdict {
    of_services(facts, "every service takes a connection", |service| {
        let mut endpoints = service.endpoints.iter();
        match endpoints.any(|endpoint| endpoint.answers) {
            true => Vec::new(),
            false => vec![format!(
                "no endpoint of {} takes a connection",
                service.name
            )],
        }
    })
}

pub(super) fn vault_answers(facts: &Facts) -> Verdict {
    match &facts.machine.vault {
        Err(said) => Verdict::Bad(said.clone()),
        Ok(vault) if !vault.agent_is_connected => {
            Verdict::Bad("nitride-agent is not connected to it".to_owned())
        }
        Ok(_) => Verdict::Good("it answers, and its courier is there".to_owned()),
    }
}
