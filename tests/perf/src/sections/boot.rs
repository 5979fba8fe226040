use crate::elsewhere::Elsewhere;
use crate::report::{Bound, Report};
use crate::scale::Scale;
use anyhow::{Context, Result, anyhow, ensure};
use nitride_support::cryptsetup::read_key_file;
use nitride_support::initrd;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::program::Program;
use nitride_support::world::World;
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use std::time::{Duration, Instant};

const BOOTS: u32 = 40;
/// Of an initrd's time, all that is ours and not the network's, the service's or the platform's.
const BUDGET_MS: f64 = 150.0;
const PASSPHRASE: &[u8] = b"a passphrase of 256 bits, or so it is said";
const PROGRAMS: [&str; 3] = ["nitride-quote", "vhsmd", "nitride-agent"];

/// What one start of the three programs took, in milliseconds.
struct Boot {
    whole: f64,
    own: f64,
    /// Of a processor, by each of [`PROGRAMS`].
    busy: [f64; 3],
    /// From its start until it is ready, of each.
    ready: [f64; 3],
}

/// The initrd's three programs by its example configuration, from nothing to the passphrase on the
/// key-file socket, over and over. They start one after the other, each once the last is ready, where
/// an initrd starts them at once and while the network comes up: what is measured is more than a
/// boot waits. What the relay waits for the service is not counted; TLS to the relay, the stand-in's
/// evidence and the starting of processes are.
/// Where a machine has other work, `chrt -r 1` keeps that out.
pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    report.placement("all four programs, the relay and the reader on every CPU".to_owned());
    let mut world = World::prepare(Plan::chain(""))?;
    world.talkative = false;
    initrd::configure(&world)?;
    world.start_service()?;
    world.owner().deposit(&Deposit {
        release_to: vec!["volume:root".to_owned()],
        ..Deposit::secret("disk/secret/root", PASSPHRASE)
    })?;
    initrd::configure_agent(&world)?;
    let elsewhere = Elsewhere::behind(world.relay()?);
    // The first reads programs from the disk.
    boot(&mut world, &elsewhere)?;
    let boots = (0..scale.count(BOOTS)).map(|_| boot(&mut world, &elsewhere));
    let boots: Vec<Boot> = boots.collect::<Result<_>>()?;
    let middle = |of: &dyn Fn(&Boot) -> f64| middle(boots.iter().map(of).collect());
    let whole = middle(&|boot| boot.whole)?;
    let own = middle(&|boot| boot.own)?;
    report.figure("start of the daemons to the passphrase", whole, "ms");
    report.figure("of that, behind the relay", whole - own, "ms");
    for (at, name) in PROGRAMS.iter().enumerate() {
        let busy = middle(&|boot| boot.busy[at])?;
        report.figure(format!("time of a processor, {name}"), busy, "ms");
        let ready = middle(&|boot| boot.ready[at])?;
        report.figure(format!("start to ready, {name}"), ready, "ms");
    }
    let slowest = boots.iter().map(|boot| boot.own).fold(0.0, f64::max);
    report.figure("the slowest, less the time behind the relay", slowest, "ms");
    let name = "start of the daemons to the passphrase, less the time behind the relay, ms";
    report.budget(name, own, Bound::AtMost(BUDGET_MS));
    Ok(())
}

fn boot(world: &mut World, elsewhere: &Elsewhere) -> Result<Boot> {
    for program in [world.agent.take(), world.vhsmd.take(), world.quote.take()] {
        program.map(|program| program.kill()).transpose()?;
    }
    elsewhere.taken();
    let begun = Instant::now();
    world.start_quote_as_configured()?;
    let quote_is_ready = begun.elapsed();
    world.start_vhsmd()?;
    let vhsmd_is_ready = begun.elapsed();
    // As nitride-unlock does, before there is a courier.
    let socket = world.path("root.key");
    let reader = std::thread::spawn(move || read_key_file(&socket, "root"));
    world.start_agent_as_configured()?;
    let agent_is_ready = begun.elapsed();
    let read = reader.join().map_err(|_| anyhow!("the reader ended"))??;
    let took = begun.elapsed();
    ensure!(
        read == PASSPHRASE,
        "what was read is no passphrase\n{}",
        world.logs()
    );
    let spent = elsewhere.taken();
    // Else it was the last boot's.
    ensure!(!spent.is_zero(), "there was no round");
    let busy = [&world.quote, &world.vhsmd, &world.agent];
    let busy = busy.map(|program| busy_ms(program.as_ref()));
    let [quote, vhsmd, agent] = busy;
    Ok(Boot {
        whole: millis(took),
        own: millis(took.saturating_sub(spent)),
        busy: [quote?, vhsmd?, agent?],
        ready: [
            millis(quote_is_ready),
            millis(vhsmd_is_ready.saturating_sub(quote_is_ready)),
            millis(agent_is_ready.saturating_sub(vhsmd_is_ready)),
        ],
    })
}

/// What a program has had of a processor, with the shell's share before it was one.
fn busy_ms(program: Option<&Program>) -> Result<f64> {
    let program = program.context("it was started")?;
    let pid = Pid::from_raw(i32::try_from(program.pid())?);
    let time = clock_getcpuclockid(pid)?.now()?;
    Ok(millis(Duration::from(time)))
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

fn middle(mut values: Vec<f64>) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().context("no boot")
}
