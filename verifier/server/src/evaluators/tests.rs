//! Whose turn it is, with a program that stands for the interpreter.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_millis(500);

/// Silent about what comes from hostile.rego, ended by what comes from fatal.rego; it knows no other module.
const PROGRAM: &str = "#!/bin/sh\nwhile :; do\n\
    case \"$(dd bs=65536 count=1 2>/dev/null | tr -d '\\000')\" in\n\
    '') exit ;;\n*hostile.rego*) exec sleep 60 ;;\n*fatal.rego*) exit ;;\nesac\n\
    printf '\\000\\000\\000\\017\"UnknownModule\"' >&0\ndone\n";

fn question() -> Ask {
    Ask::Allow {
        input: "{}".to_owned(),
        data: "{}".to_owned(),
        traced: false,
    }
}

fn module(file: &str) -> RegoModule {
    RegoModule::new("package policy\n", file).unwrap()
}

/// Evaluators whose program is this script, and its folder.
fn evaluators(script: &str) -> (tempfile::TempDir, Arc<Evaluators>) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let evaluators = Evaluators::of(&program, PATIENCE, PATIENCE, 2);
    (folder, Arc::new(evaluators))
}

/// Eight tenants that each have an evaluation under way whenever they may.
#[test]
fn hostile_tenants_keep_neither_the_service_nor_another_tenant_from_being_answered() {
    let (_folder, evaluators) = evaluators(PROGRAM);
    Runtime::new().unwrap().block_on(async {
        let mut hostile = JoinSet::new();
        for _ in 0..8 {
            let evaluators = evaluators.clone();
            hostile.spawn(async move {
                let turns = Turns::of_a_tenant();
                loop {
                    evaluators
                        .ask(&turns, &module("hostile.rego"), question())
                        .await;
                }
            });
        }
        // All of them ask by now, and some wait.
        sleep(PATIENCE / 4).await;
        let own = evaluators.all_turns();
        let begun = Instant::now();
        let answer = evaluators.ask(&own, &module("own.rego"), question()).await;
        assert_eq!(answer, Answer::UnknownModule);
        // Behind those that wait it would take nearly twice as long as one of them.
        let elapsed = begun.elapsed();
        assert!(elapsed < 3 * PATIENCE / 2, "{elapsed:?}");
        // Each of the eight has had its first evaluation, which none could be charged for before.
        sleep(5 * PATIENCE).await;
        let turns = Turns::of_a_tenant();
        let mut waited = Duration::ZERO;
        for _ in 0..10 {
            let begun = Instant::now();
            let answer = evaluators
                .ask(&turns, &module("good.rego"), question())
                .await;
            assert_eq!(answer, Answer::UnknownModule);
            waited += begun.elapsed();
            sleep(PATIENCE / 2).await;
        }
        assert!(waited < 10 * PATIENCE, "{waited:?}");
    });
}

#[test]
fn a_process_that_was_lost_is_charged_to_who_lost_it_however_soon() {
    let (_folder, evaluators) = evaluators(PROGRAM);
    Runtime::new().unwrap().block_on(async {
        let turns = Turns::of_a_tenant();
        let fatal = module("fatal.rego");
        let begun = Instant::now();
        let lost = evaluators.ask(&turns, &fatal, question()).await;
        assert!(matches!(lost, Answer::No(..)), "{lost:?}");
        // It was no long one.
        assert!(begun.elapsed() < PATIENCE);
        let later = evaluators.ask(&turns, &fatal, question()).await;
        assert_eq!(later, not_evaluated("its turn did not come in time"));
    });
}

#[test]
fn the_start_of_a_process_is_charged_to_nobody() {
    let slow = PROGRAM.replacen("while", "sleep 0.25\nwhile", 1);
    let (_folder, evaluators) = evaluators(&slow);
    Runtime::new().unwrap().block_on(async {
        let turns = Turns::of_a_tenant();
        let good = module("good.rego");
        for _ in 0..2 {
            let answer = evaluators.ask(&turns, &good, question()).await;
            assert_eq!(answer, Answer::UnknownModule);
        }
    });
}

#[test]
fn a_tenant_that_owes_keeps_its_turns_whatever_becomes_of_its_policy() {
    let (_folder, evaluators) = evaluators(PROGRAM);
    Runtime::new().unwrap().block_on(async {
        let turns = evaluators.turns_of("acme");
        evaluators
            .ask(&turns, &module("fatal.rego"), question())
            .await;
        // The policy is deleted, and put again.
        drop(turns);
        evaluators.forget_turns();
        let turns = evaluators.turns_of("acme");
        let answer = evaluators
            .ask(&turns, &module("good.rego"), question())
            .await;
        assert_eq!(answer, not_evaluated("its turn did not come in time"));
        // Another's are its own, and nobody's are forgotten.
        drop(evaluators.turns_of("other"));
        evaluators.forget_turns();
        let all = evaluators.turns.lock().unwrap();
        assert_eq!(all.keys().collect::<Vec<_>>(), ["acme"]);
    });
}
