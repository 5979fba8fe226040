//! Who a peer is: real users and real cgroups. These tests need root.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_protocol::KeyType;
use nitride_support::binaries::Binaries;
use nitride_support::folder::Folder;
use nitride_support::plan::Plan;
use nitride_support::program::{RunAs, command_as};
use nitride_support::unit::{Unit, is_root_or_says_so};
use nitride_support::world::{World, run};
use std::path::PathBuf;

const STRANGER: u32 = 4321;
const OTHER_STRANGER: u32 = 4322;

fn as_user(uid: u32) -> RunAs {
    RunAs {
        user: Some((uid, uid)),
        ..RunAs::default()
    }
}

fn in_cgroup(folder: PathBuf) -> RunAs {
    RunAs {
        cgroup: Some(folder),
        ..RunAs::default()
    }
}

/// A rule that lets `peer` use `app/**`.
fn rule(name: &str, peer: &str) -> String {
    format!(
        "[[rule]]\nname = {name:?}\nkeys = [\"app/**\"]\npeers = [{{ {peer} }}]\n\
         operations = [\"sign\", \"describe\"]\n"
    )
}

/// A vault with these rules, and beside them one that lets only the admin in; and a key.
fn world(rules: &str) -> Result<World> {
    let mut plan = Plan::vault(rules);
    // Without the rule that lets whoever runs the tests do everything.
    plan.policy = format!(
        "{rules}\n[[rule]]\nname = \"setup\"\nkeys = [\"app/k\"]\npeers = [{{ uid = @UID@ }}]\n\
         operations = [\"generate\"]\n"
    );
    let world = World::start(plan)?;
    world
        .application()?
        .generate("app/k", KeyType::EcP256, None)?;
    Ok(world)
}

/// The exit code of `vhsm sign app/k` as this peer: 0 served, 1 refused, 3 not even let in.
fn signs(world: &World, peer: &RunAs) -> Result<Option<i32>> {
    let output = world.vhsm(peer, &["sign", "app/k"], b"message")?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.status.code())
}

#[test]
fn a_user_that_a_rule_names_is_served_and_another_is_denied() -> Result<()> {
    if !is_root_or_says_so("a_user_that_a_rule_names_is_served_and_another_is_denied") {
        return Ok(());
    }
    let world = world(&rule("users", "uid = 4321"))?;
    assert_eq!(signs(&world, &as_user(STRANGER))?, Some(0));
    assert_eq!(signs(&world, &as_user(OTHER_STRANGER))?, Some(1));
    // Root is a user like any other: what no rule says it may not.
    assert_eq!(signs(&world, &RunAs::default())?, Some(1));
    Ok(())
}

#[test]
fn a_group_counts_as_the_first_and_as_a_supplementary_one() -> Result<()> {
    if !is_root_or_says_so("a_group_counts_as_the_first_and_as_a_supplementary_one") {
        return Ok(());
    }
    // On every Debian system there is a group `daemon`, and it is number 1.
    let first = RunAs {
        user: Some((STRANGER, 1)),
        ..RunAs::default()
    };
    let supplementary = RunAs {
        groups: vec![5554, 1],
        ..as_user(STRANGER)
    };
    let neither = RunAs {
        groups: vec![5554],
        ..as_user(STRANGER)
    };
    let by_name = world(&rule("groups", "group = \"daemon\""))?;
    assert_eq!(signs(&by_name, &first)?, Some(0));
    assert_eq!(signs(&by_name, &supplementary)?, Some(0));
    assert_eq!(signs(&by_name, &neither)?, Some(1));
    let by_number = world(&rule("groups", "gid = 1"))?;
    assert_eq!(signs(&by_number, &first)?, Some(0));
    assert_eq!(signs(&by_number, &neither)?, Some(1));
    Ok(())
}

#[test]
fn a_unit_is_served_by_its_cgroup_and_another_unit_is_denied() -> Result<()> {
    if !is_root_or_says_so("a_unit_is_served_by_its_cgroup_and_another_unit_is_denied") {
        return Ok(());
    }
    let ours = Unit::create("nitride-e2e-web.service")?;
    let other = Unit::create("nitride-e2e-other.service")?;
    let world = world(&rule("units", "unit = \"nitride-e2e-web.service\""))?;
    assert_eq!(
        signs(&world, &in_cgroup(ours.folder().to_owned()))?,
        Some(0)
    );
    assert_eq!(
        signs(&world, &in_cgroup(other.folder().to_owned()))?,
        Some(1)
    );
    assert_eq!(signs(&world, &RunAs::default())?, Some(1));
    Ok(())
}

#[test]
fn a_folder_of_the_units_name_elsewhere_is_not_the_unit() -> Result<()> {
    if !is_root_or_says_so("a_folder_of_the_units_name_elsewhere_is_not_the_unit") {
        return Ok(());
    }
    let delegating = Unit::create("nitride-e2e-delegating.service")?;
    let disguised = delegating.delegate("nitride-e2e-victim.service")?;
    let user_like = Unit::create("nitride-e2e-user@1000.service")?;
    let nested = user_like
        .delegate("app.slice")?
        .join("nitride-e2e-victim.service");
    std::fs::create_dir_all(&nested)?;
    let other_slice = Unit::create_slice("nitride-e2e.slice")?;
    let outside = other_slice.delegate("nitride-e2e-victim.service")?;
    let world = world(&rule("units", "unit = \"nitride-e2e-victim.service\""))?;
    assert_eq!(signs(&world, &in_cgroup(disguised))?, Some(1));
    assert_eq!(signs(&world, &in_cgroup(nested))?, Some(1));
    assert_eq!(signs(&world, &in_cgroup(outside))?, Some(1));
    Ok(())
}

#[test]
fn every_condition_of_a_peer_must_hold() -> Result<()> {
    if !is_root_or_says_so("every_condition_of_a_peer_must_hold") {
        return Ok(());
    }
    let unit = Unit::create("nitride-e2e-both.service")?;
    let world = world(&rule(
        "both",
        "uid = 4321, unit = \"nitride-e2e-both.service\"",
    ))?;
    let both = RunAs {
        cgroup: Some(unit.folder().to_owned()),
        ..as_user(STRANGER)
    };
    assert_eq!(signs(&world, &both)?, Some(0));
    assert_eq!(signs(&world, &as_user(STRANGER))?, Some(1));
    assert_eq!(
        signs(&world, &in_cgroup(unit.folder().to_owned()))?,
        Some(1)
    );
    Ok(())
}

#[test]
fn the_admin_socket_is_for_administrators_alone() -> Result<()> {
    if !is_root_or_says_so("the_admin_socket_is_for_administrators_alone") {
        return Ok(());
    }
    let mut plan = Plan::vault("");
    plan.vhsmd_tables = String::new();
    let world = World::start(plan)?;
    // Even where the socket's mode lets everybody connect.
    std::fs::set_permissions(
        world.path("admin.sock"),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )?;
    let stranger = as_user(STRANGER);
    let import = ["import", "app/i", "--type", "hmac-sha256"];
    let refused = world.vhsm(&stranger, &import, &[1; 32])?;
    assert!(!refused.status.success());
    for verb in [
        &["status", "--admin"][..],
        &["list", "--admin"],
        &["reload"],
    ] {
        assert!(
            !world.vhsm(&stranger, verb, b"")?.status.success(),
            "{verb:?}"
        );
    }
    assert!(
        world
            .vhsm(&RunAs::default(), &import, &[1; 32])?
            .status
            .success()
    );
    Ok(())
}

#[test]
fn a_user_who_is_not_the_agent_gets_no_order() -> Result<()> {
    if !is_root_or_says_so("a_user_who_is_not_the_agent_gets_no_order") {
        return Ok(());
    }
    // The agent is uid 4321 here; the test, which is root, is a stranger.
    let mut plan = Plan::vault("");
    plan.agent_as = as_user(STRANGER);
    let world = World::start(plan)?;
    let courier = nitride_support::courier::Courier::connect(&world.path("agent.sock"));
    assert!(courier.is_err(), "a stranger was greeted as the agent");
    assert!(!world.application()?.status()?.agent_connected);
    Ok(())
}

#[test]
fn the_agent_runs_as_a_user_of_its_own_without_privileges() -> Result<()> {
    if !is_root_or_says_so("the_agent_runs_as_a_user_of_its_own_without_privileges") {
        return Ok(());
    }
    let mut plan = Plan::chain(
        r#"
[[key]]
name = "app/mac"
type = "hmac-sha256"
source = "kbs:///demo/key/mac"
service = "main"
signer = "owner"
operations = ["mac"]
"#,
    );
    plan.agent_as = as_user(STRANGER);
    let world = World::start(plan)?;
    let deposit =
        nitride_support::owner::Deposit::key("demo/key/mac", KeyType::HmacSha256, &[1; 32]);
    world.owner().deposit(&deposit)?;
    world.application()?.mac("app/mac", b"d")?;
    Ok(())
}

#[test]
fn the_evidence_helper_answers_the_vaults_user_alone() -> Result<()> {
    if !is_root_or_says_so("the_evidence_helper_answers_the_vaults_user_alone") {
        return Ok(());
    }
    use nitride_protocol::quote::EvidenceRequest;
    use nitride_support::asker::Asker;
    // vhsmd is uid 4321 here; the test is root, who may connect to anything and is nobody special.
    let mut plan = Plan::vault("");
    plan.vhsmd_as = as_user(STRANGER);
    let mut world = World::prepare(plan)?;
    world.start_quote()?;
    let asked = Asker::connect_silently(&world.path("quote.sock")).and_then(|mut asker| {
        asker.ask(&EvidenceRequest {
            tee: "sample",
            report_data: &[1; 48],
            yields: false,
        })
    });
    let served = asked.is_ok_and(|answer| answer.status == nitride_protocol::Status::Ok);
    assert!(
        !served,
        "a stranger got evidence over report_data of its own making"
    );
    let quote = world
        .quote
        .as_ref()
        .map(nitride_support::program::Program::log);
    assert!(
        quote.is_some_and(|log| log.contains("uid 0 is not the caller")),
        "the helper's log does not name who was refused"
    );
    Ok(())
}

#[test]
fn a_connection_handed_to_another_process_keeps_the_identity_of_who_connected() -> Result<()> {
    if !is_root_or_says_so("a_connection_handed_to_another_process_keeps_its_identity") {
        return Ok(());
    }
    let world = world(&rule("users", "uid = 4321"))?;
    // Connects as root, then becomes the user that the rule names, and asks.
    let script = format!(
        "import os,socket\ns=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\n\
         s.connect({:?})\nos.setgid(4321); os.setuid(4321)\n\
         s.send(bytes.fromhex('830000850101617000f4'))\ns.recv(4096)\n\
         s.send(bytes.fromhex('83010684656170702f6bf6416df4'))\nprint(s.recv(4096)[2])\n",
        world.path("vhsm.sock").display().to_string()
    );
    let python = std::path::Path::new("/usr/bin/python3");
    let output = run(
        command_as(&RunAs::default(), python).args(["-c", &script]),
        b"",
    )?;
    let status = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert_eq!(
        status,
        "5",
        "not denied: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The soft and the hard limit of core files. The soft one is zero on most machines without any
/// program's doing; the hard one is not.
fn core_limits(pid: u32) -> Result<Vec<String>> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let core = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"))
        .context("the kernel tells the limit of core files")?;
    Ok(core.split_whitespace().take(2).map(str::to_owned).collect())
}

#[test]
fn a_process_of_the_same_user_can_neither_trace_nor_read_the_vault_and_it_leaves_no_core()
-> Result<()> {
    if !is_root_or_says_so("a_process_of_the_same_user_can_neither_trace_nor_read_the_vault") {
        return Ok(());
    }
    // The vault runs as an ordinary user here.
    let mut plan = Plan::vault("");
    plan.vhsmd_as = as_user(STRANGER);
    let mut world = World::prepare(plan)?;
    // The helper, which is root, reads nothing out of a folder of somebody else's.
    world.start_quote()?;
    let folder = world.folder.path().to_owned();
    std::os::unix::fs::chown(&folder, Some(STRANGER), Some(STRANGER))?;
    world.start_vhsmd()?;
    let pid = world.vhsmd()?.pid();
    let same_user = as_user(STRANGER);
    for (what, script) in [
        ("memory", format!("head -c 1 /proc/{pid}/mem")),
        ("mappings", format!("cat /proc/{pid}/maps")),
        ("environment", format!("cat /proc/{pid}/environ")),
        ("descriptors", format!("ls -l /proc/{pid}/fd/")),
    ] {
        let shell = std::path::Path::new("/bin/sh");
        let output = run(command_as(&same_user, shell).args(["-c", &script]), b"")?;
        assert!(!output.status.success(), "{what} can be read: {output:?}");
    }
    assert_eq!(core_limits(pid)?, ["0", "0"]);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    assert!(status.contains("NoNewPrivs:\t1"));
    Ok(())
}

/// seccomp's mode 2 is a filter (proc_pid_status(5)).
#[test]
fn the_vault_is_confined_before_it_serves() -> Result<()> {
    let world = World::start(Plan::vault(""))?;
    let pid = world.vhsmd()?.pid();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = std::fs::read_to_string(thread?.path().join("status"))?;
        assert!(status.contains("Seccomp:\t2"), "{status}");
        assert!(status.contains("Seccomp_filters:\t3"), "{status}");
    }
    Ok(())
}

/// Landlock shows nowhere in /proc, but by what it refuses: the vault reads its own folder, and
/// policies that are elsewhere when it reloads it cannot.
#[test]
fn the_vault_is_confined_in_its_files_before_it_serves() -> Result<()> {
    let mut world = World::start(Plan::vault(""))?;
    let warnings = world.application()?.status()?.warnings;
    if warnings.iter().any(|each| each.contains("no Landlock")) {
        eprintln!("SKIPPED: the kernel has no Landlock");
        return Ok(());
    }
    let elsewhere = Folder::new()?;
    let (folder, moved) = (world.path("policy.d"), elsewhere.join("policy.d"));
    // A copy: what is allowed is the folder, wherever it is moved.
    std::fs::create_dir(&moved)?;
    for file in std::fs::read_dir(&folder)? {
        let file = file?;
        std::fs::copy(file.path(), moved.join(file.file_name()))?;
    }
    std::fs::remove_dir_all(&folder)?;
    std::os::unix::fs::symlink(&moved, &folder)?;
    let refused = world.admin()?.reload();
    ensure!(refused.is_err());
    let log = world.vhsmd()?.log();
    ensure!(log.contains("Permission denied"), "{log}");
    // The same, read by one that is confined with it.
    world.vhsmd.take().context("vhsmd runs")?.kill()?;
    let config = std::fs::read_to_string(world.path("vhsmd.toml"))?;
    let named = |of: &std::path::Path| format!("policy-dir = \"{}\"", of.display());
    let config = config.replace(&named(&folder), &named(&moved));
    world.folder.write("vhsmd.toml", config)?;
    world.start_vhsmd()?;
    world.admin()?.reload()?;
    Ok(())
}

#[test]
fn every_program_refuses_new_privileges_and_core_dumps() -> Result<()> {
    let world = World::start(Plan::chain(""))?;
    let programs = [&world.vhsmd, &world.quote, &world.agent];
    for program in programs.into_iter().flatten() {
        let pid = program.pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        assert!(status.contains("NoNewPrivs:\t1"), "{}", program.name());
        assert_eq!(core_limits(pid)?, ["0", "0"], "{}", program.name());
    }
    assert!(Binaries::find()?.vhsmd.exists());
    Ok(())
}
