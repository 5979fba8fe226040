//! A machine with a GPU, from the library that asks it to a secret, with the real programs. The GPU is a
//! stand-in under a test PKI, below NVIDIA's library.
#![forbid(unsafe_code)]

use anyhow::{Result, ensure};
use nitride_protocol::{KeyType, Status};
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::rules::provisioned;
use nitride_support::world::{World, outcome};
use nitride_tsm::nvml::{Asked, Nvml};
use nitride_vectors::gpu::{Draft, Made};

/// A GPU of the test PKI's that signs over `change` of the nonce it is asked for.
fn device(made: &Made, change: fn(&mut [u8; 32])) -> Result<Nvml> {
    let chain = made.evidence.chain.clone();
    Nvml::start(&[], move |asked| match asked {
        Asked::Chain { .. } => chain.clone(),
        Asked::Report { mut nonce, .. } => {
            change(&mut nonce);
            let good = Draft::good();
            Draft { nonce, ..good }.report()
        }
    })
}

/// The plan for a machine whose policy wants the GPU of `made`.
fn plan(made: &Made, evidence_lines: &str, quote_tables: String) -> Plan {
    let mut plan = Plan::chain(&provisioned(
        "app/secret",
        KeyType::Secret,
        "demo/secret/one",
    ));
    plan.evidence_lines = evidence_lines.to_owned();
    plan.quote_tables = quote_tables;
    plan.attestation_policy.clone_from(&made.policy);
    plan.resource_policy = plan
        .resource_policy
        .replace("[\"sample\"]", "[\"sample\", \"nvidia\"]")
        .replace(
            "claims = {}",
            "claims = { \"nvidia.model\" = [\"GH100\"], \"nvidia.device_id\" = [\"11\"] }",
        );
    plan
}

fn released(plan: Plan) -> Result<(World, Status)> {
    let mut world = World::prepare(plan)?;
    world.start_quote()?;
    world.start_vhsmd()?;
    world.start_service()?;
    world.start_agent()?;
    let secret = Deposit::secret("demo/secret/one", b"correct horse");
    world.owner().deposit(&secret)?;
    let status = outcome(world.application()?.release("app/secret", None))?;
    Ok((world, status))
}

/// That nothing was released, and that a log says why.
fn refused(plan: Plan, why: &str) -> Result<()> {
    let (world, status) = released(plan)?;
    ensure!(status != Status::Ok, "{why}");
    let logs = world.logs();
    ensure!(logs.contains(why), "{why}: {logs}");
    Ok(())
}

const DEVICES: &str = "devices = \"nvidia\"";

#[test]
fn a_machine_with_the_gpu_that_is_wanted_gets_its_secret() -> Result<()> {
    let made = Draft::good().build();
    let nvml = device(&made, |_| {})?;
    let (world, status) = released(plan(&made, DEVICES, nvml.lines(1)))?;
    ensure!(status == Status::Ok, "{status:?}");
    let logs = world.logs();
    ensure!(logs.contains("gpu0"), "{logs}");
    Ok(())
}

#[test]
fn a_machine_that_leaves_its_gpu_out_gets_nothing() -> Result<()> {
    let made = Draft::good().build();
    let nvml = device(&made, |_| {})?;
    refused(
        plan(&made, "", nvml.lines(1)),
        "0 devices beside the machine",
    )
}

#[test]
fn a_gpu_that_answers_another_challenge_gives_no_secret() -> Result<()> {
    let made = Draft::good().build();
    let nvml = device(&made, |nonce| nonce[31] ^= 1)?;
    refused(
        plan(&made, DEVICES, nvml.lines(1)),
        "the nvidia evidence covers other data",
    )
}

#[test]
fn a_gpu_that_the_policy_does_not_know_gives_no_secret() -> Result<()> {
    let mut made = Draft::good().build();
    let nvml = device(&made, |_| {})?;
    made.policy = made.policy.replace("96.00.9F.00.01", "96.00.9F.00.02");
    refused(plan(&made, DEVICES, nvml.lines(1)), "gpu.vbios")
}

#[test]
fn devices_that_only_vhsmd_is_told_of_end_the_round() -> Result<()> {
    let made = Draft::good().build();
    refused(plan(&made, DEVICES, String::new()), "take a [gpu] here")
}
