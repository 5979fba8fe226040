//! A secret, from a confidential VM's evidence, with the real programs; and none once something else boots.

use crate::collected::{
    below, snp_hardware, snp_metadata, tdx_hardware, tdx_metadata, tdx_of_azure,
};
use crate::imds;
use crate::paravisor::{Hardware, Paravisor};
use anyhow::{Context, Result, ensure};
use nitride_protocol::{KeyType, Status};
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::rules::provisioned;
use nitride_support::world::{World, outcome};
use nitride_vectors::tdx;
use nitride_vectors::tdx::pki::Pki;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn plan() -> Plan {
    let first = provisioned("app/secret", KeyType::Secret, "demo/secret/one");
    let second = provisioned("app/second", KeyType::Secret, "demo/secret/two");
    Plan::chain(&(first + &second))
}

/// What systemd starts for `nitride-imds.socket`.
const FORWARDER: &str = "/usr/lib/systemd/systemd-socket-proxyd";

/// A process of the test's own.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A world whose machine is Azure's, above that hardware and with an empty folder of collateral. Its
/// metadata service is not there yet.
fn of_azure(
    tee: &str,
    policy: String,
    (number, hardware): (u32, Hardware),
) -> Result<(World, Paravisor)> {
    let mut plan = plan();
    plan.tee = tee.to_owned();
    plan.resource_policy = plan
        .resource_policy
        .replace("\"sample\"", &format!("\"{tee}\""));
    plan.attestation_policy = policy;
    let mut world = World::prepare(plan)?;
    let paravisor = Paravisor::start(&world.folder, number, hardware)?;
    world.plan.quote_tables = format!(
        "[azure]\ntcti = \"{}\"\nmetadata-socket = \"@DIR@/imds.sock\"\n",
        paravisor.tcti()
    );
    let collateral = world.path("collateral");
    std::fs::create_dir_all(&collateral)?;
    let config = world.path("provisiond.toml");
    let text = std::fs::read_to_string(&config)?;
    let line = format!("collateral = \"{}\"\n\n[tls]", collateral.display());
    world
        .folder
        .write("provisiond.toml", text.replacen("[tls]", &line, 1))?;
    Ok((world, paravisor))
}

/// One with SEV-SNP.
fn prepared() -> Result<(World, Paravisor, imds::Answers)> {
    let (vector, hardware) = snp_hardware();
    let policy = below(&vector.policy, "snp", "\"bound\"")?;
    let (world, paravisor) = of_azure("az-snp-vtpm", policy, (2, hardware))?;
    let product = vector.collateral.product.as_str().to_lowercase();
    let published = |name: &str| format!("collateral/amd/{product}/{name}");
    let folder = world.path("collateral/amd").join(&product);
    std::fs::create_dir_all(folder)?;
    std::fs::write(world.path(&published("ark.der")), &vector.collateral.ark)?;
    let ask = vector.collateral.ask.as_deref().context("an ASK")?;
    std::fs::write(world.path(&published("ask.der")), ask)?;
    let answers = snp_metadata(&vector)?;
    Ok((world, paravisor, answers))
}

/// One with TDX, whose collateral lasts: the service judges by its own clock.
fn prepared_with_tdx() -> Result<(World, Paravisor, imds::Answers)> {
    let spec = tdx_of_azure(tdx::Spec::lasting());
    let pki = Pki::make(&spec.pki)?;
    let made = spec.make_by(&pki)?;
    let policy = below(&made.policy, "tdx", "\"bound\"")?;
    let (world, paravisor) = of_azure("az-tdx-vtpm", policy, (4, tdx_hardware()))?;
    std::fs::create_dir_all(world.path("collateral/intel"))?;
    world
        .folder
        .write("collateral/intel/platform.json", made.bundle)?;
    let answers = tdx_metadata(move |data| {
        let mut quote = spec.quote.clone();
        quote.report_data = data;
        quote.make(&pki).ok()
    });
    Ok((world, paravisor, answers))
}

/// The metadata service, at the socket that the helper asks.
fn serve(world: &World, answers: imds::Answers) -> Result<()> {
    let listener = UnixListener::bind(world.path("imds.sock"))?;
    let connections = std::iter::from_fn(move || listener.accept().ok());
    imds::serve(connections.map(|(stream, _)| stream), answers);
    Ok(())
}

fn start(world: &mut World) -> Result<()> {
    world.start_quote()?;
    world.start_vhsmd()?;
    world.start_service()?;
    world.start_agent()?;
    let owner = world.owner();
    owner.deposit(&Deposit::secret("demo/secret/one", b"correct horse"))?;
    owner.deposit(&Deposit::secret("demo/secret/two", b"battery staple"))
}

#[test]
fn a_confidential_vm_gets_its_secrets_until_something_else_is_started() -> Result<()> {
    until_something_else_is_started(prepared()?)
}

#[test]
fn and_so_does_one_with_tdx() -> Result<()> {
    until_something_else_is_started(prepared_with_tdx()?)
}

fn until_something_else_is_started(
    (mut world, paravisor, answers): (World, Paravisor, imds::Answers),
) -> Result<()> {
    serve(&world, answers)?;
    start(&mut world)?;
    let mut app = world.application()?;
    let released = app.release("app/secret", None)?;
    ensure!(&**released.secret == b"correct horse");
    paravisor.extend(4)?;
    let refused = outcome(app.release("app/second", None))?;
    ensure!(refused != Status::Ok, "{refused:?}");
    Ok(())
}

/// The helper has no network: systemd's forwarder has, and passes on what it is told to one address.
#[test]
fn the_metadata_service_is_reached_through_systemds_forwarder() -> Result<()> {
    let activate = Path::new("/usr/bin/systemd-socket-activate");
    if !activate.exists() || !Path::new(FORWARDER).exists() {
        eprintln!("skipped: systemd is not installed");
        return Ok(());
    }
    let (mut world, _paravisor, answers) = prepared()?;
    let service = TcpListener::bind("127.0.0.1:0")?;
    let address = service.local_addr()?.to_string();
    let connections = std::iter::from_fn(move || service.accept().ok());
    imds::serve(connections.map(|(stream, _)| stream), answers);
    let socket = world.path("imds.sock");
    let forwarder = Command::new(activate)
        .arg("--listen")
        .arg(&socket)
        .args([FORWARDER, &address])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("systemd-socket-activate")?;
    let _forwarder = Running(forwarder);
    let until = Instant::now() + Duration::from_secs(60);
    while !socket.exists() {
        ensure!(Instant::now() < until, "the forwarder does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    start(&mut world)?;
    let released = world.application()?.release("app/secret", None)?;
    ensure!(&**released.secret == b"correct horse");
    Ok(())
}
