//! What is refused: a courier that lies, and a machine that is not what its owner wants.

use crate::case_b::owner_deposits;
use crate::policy;
use crate::story::Story;
use anyhow::{Context, Result, ensure};
use nitride_protocol::Status;
use nitride_support::courier::{BoundEvidence, Courier, KbsSession, Order};
use nitride_support::forge::Signatory;
use nitride_support::world::{World, outcome};

const ONE: &str = "demo/key/one";
const TWO: &str = "demo/key/two";

/// The agent's place is taken by one that lies.
pub(crate) fn courier(story: &mut Story, world: &mut World) -> Result<()> {
    story.part("A courier that lies, in the agent's place and with its uid.");
    world.agent.take().context("the agent runs")?.stop()?;
    let world = &*world;
    story.step("it attests with a key of its own", || {
        let ended = round(world, &["app/one"], |courier, session, order| {
            let nonce = session.auth(&order.tee)?;
            let evidence = courier.challenge(order, &nonce)?;
            let mut own = Signatory::numbered(3)?.jwk();
            own["alg"] = "ECDH-ES+A256KW".into();
            let substituted = BoundEvidence {
                tee_pubkey: own.to_string(),
                ..evidence
            };
            let answer = session.post_evidence(&nonce, &substituted)?;
            ensure!(answer.status() != 200, "the service took the key");
            Ok(())
        })?;
        ensure!(!ended.contains(&Status::Ok));
        Ok("the service refuses: the evidence is for another key")
    })?;
    story.step("it swaps two resources", || {
        let ended = round(world, &["app/one", "app/two"], |courier, session, order| {
            let nonce = session.auth(&order.tee)?;
            let evidence = courier.challenge(order, &nonce)?;
            session.attest(&nonce, &evidence)?;
            let (one, two) = (session.resource(ONE)?, session.resource(TWO)?);
            for (path, jwe) in [(ONE, two), (TWO, one)] {
                let taken = courier.resource(order, path, &jwe)?;
                ensure!(taken == Status::ResourceRefused, "{path}: {taken}");
            }
            Ok(())
        })?;
        ensure!(ended == [Status::ResourceRefused; 2], "{ended:?}");
        Ok("the vault refuses both: their envelopes name themselves")
    })
}

/// Takes the agent's place, has applications ask for `keys`, and lets `act` carry the round that
/// follows; one order for all of them, since it is taken when all are waiting.
fn round(
    world: &World,
    keys: &[&str],
    act: impl FnOnce(&mut Courier, &mut KbsSession, &Order) -> Result<()>,
) -> Result<Vec<Status>> {
    let mut courier = Courier::connect(&world.path("agent.sock"))?;
    std::thread::scope(|scope| {
        let waiting: Vec<_> = keys
            .iter()
            .map(|key| scope.spawn(|| outcome(world.application()?.mac(key, b"data"))))
            .collect();
        let acted = parked(world, keys.len()).and_then(|()| {
            let order = courier.next_round()?;
            let mut session = KbsSession::open(&world.service_upstream()?)?;
            act(&mut courier, &mut session, &order)?;
            courier.finish(&order)
        });
        acted?;
        waiting
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .ok()
                    .context("an application's thread ended")?
            })
            .collect()
    })
}

fn parked(world: &World, count: usize) -> Result<()> {
    let mut watcher = world.application_waiting(std::time::Duration::ZERO)?;
    nitride_support::program::wait_until(
        "the requests wait",
        std::time::Duration::from_secs(20),
        || Ok(watcher.status()?.parked == count as u64),
    )
}

/// A machine whose evidence says svn 0 asks for the secrets of one that says svn 1.
pub(crate) fn machine_that_is_not_wanted(story: &mut Story) -> Result<()> {
    let mut world = World::prepare(policy::other_machine())?;
    world.start_quote()?;
    world.start_vhsmd()?;
    world.start_service()?;
    owner_deposits(story, &world)?;
    world.start_agent()?;
    story.part("A machine that is not what its owner wants: its evidence says svn 0, not 1.");
    let mut app = world.application()?;
    story.step("release a secret", || {
        let refused = outcome(app.release("app/api-key", None))?;
        ensure!(refused == Status::DeniedByVerifier, "{refused}");
        Ok(format!("refused: {refused}"))
    })?;
    let log = std::fs::read_to_string(world.path("provisiond.log"))?;
    for word in ["attested", "refused"] {
        let decision = log
            .lines()
            .filter_map(|line| line.split_once("decision="))
            .map(|(_, decision)| decision)
            .rfind(|decision| decision.starts_with(&format!("\"{word}\"")))
            .with_context(|| format!("the service's log has no decision {word:?}"))?;
        story.remark(&format!("the service's log: {decision}"));
    }
    world.talkative = false;
    Ok(())
}
