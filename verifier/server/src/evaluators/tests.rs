//! Whose turn it is, with a program that stands for the interpreter.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_millis(500);

/// Silent about what comes from hostile.rego; it knows no other module.
const PROGRAM: &str = "#!/bin/sh\nwhile :; do\n\
    case \"$(dd bs=65536 count=1 2>/dev/null | tr -d '\\000')\" in\n\
    '') exit ;;\n*hostile.rego*) exec sleep 60 ;;\nesac\n\
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

/// Eight tenants that each have an evaluation under way whenever they may.
#[test]
fn hostile_tenants_keep_neither_the_service_nor_another_tenant_from_being_answered() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    fs::write(&program, PROGRAM).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let evaluators = Arc::new(Evaluators::of(&program, PATIENCE, PATIENCE, 2));
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
