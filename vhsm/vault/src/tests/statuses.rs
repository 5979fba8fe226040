//! Every status that the vault gives by itself can be reached, and every operation answers
//! hostile params with one.

use super::world::{EVERYTHING, Not, World, arenas, kbs, key, name, policy, rule};
use crate::policy::{Source, Unsigned};
use crate::{Outcome, Refusal, Surroundings, VaultLimits, Want};
use nitride_protocol::admin::{Destroy, Import, Reload};
use nitride_protocol::application::{
    Disable, Encrypt, Generate, Hello, Mac, Random, SealStatus, Sign, VaultStatus, Verify,
};
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::{
    Call, KeyType, MaterialFormat, Message, Operation, Reader, RequestHead, SignScheme, Status,
    open_reply, write_request,
};
use proptest::prelude::*;
use std::collections::HashSet;

fn world() -> World {
    let mut expired = key("expired", KeyType::HmacSha256, Source::Generate);
    expired.not_after = Some(1);
    let mut narrow = key("narrow", KeyType::HmacSha256, Source::Generate);
    narrow.operations = nitride_protocol::OperationSet::EMPTY;
    let keys = vec![
        expired,
        narrow,
        key("ec", KeyType::EcP256, Source::Generate),
        key("gcm", KeyType::Aes256Gcm, Source::Generate),
        key("tag", KeyType::HmacSha256, Source::Generate),
        key("off", KeyType::HmacSha256, Source::Generate),
        key("gone", KeyType::HmacSha256, Source::Generate),
        key("full", KeyType::Aes256Gcm, Source::Generate),
    ];
    let limits = VaultLimits {
        keys: 1,
        keys_per_uid: 1,
        expanded_len: 256 << 10,
    };
    World::with_limits(policy(vec![rule(1, "**", EVERYTHING)], keys), limits)
}

fn mac(key: &str) -> Mac<'_> {
    Mac {
        key: name(key),
        data: b"",
    }
}

fn encrypt(key: &str) -> Encrypt<'_> {
    Encrypt {
        key: name(key),
        plaintext: b"",
        aad: b"",
        scheme: None,
    }
}

#[test]
fn every_status_of_the_vault_is_reachable() {
    let mut world = world();
    let mut app = world.application(1);
    let mut admin = world.admin(0);
    let mut seen = HashSet::new();
    let mut refused = |asked: Result<(), Not>, expected: Status| {
        assert_eq!(asked, Err(Not::Done(expected)));
        seen.insert(expected);
    };
    refused(
        world.ask(&mut app, &mac("narrow")).map(drop),
        Status::Denied,
    );
    refused(
        world.ask(&mut app, &mac("nowhere")).map(drop),
        Status::KeyNotFound,
    );
    refused(
        world.ask(&mut app, &mac("expired")).map(drop),
        Status::KeyExpired,
    );
    refused(
        world.ask(&mut app, &mac("ec")).map(drop),
        Status::WrongKeyType,
    );
    refused(
        world.ask(&mut app, &Random { len: u32::MAX }).map(drop),
        Status::TooLarge,
    );
    let hello = Hello {
        min_version: 2,
        max_version: 9,
        client: "test",
        wait_ms: 5,
        attaches: true,
    };
    refused(
        world.ask(&mut app, &hello).map(drop),
        Status::UnsupportedVersion,
    );
    let import = Import {
        key: name("new"),
        key_type: KeyType::EcP256,
        operations: None,
        material: &[0; 32],
        format: MaterialFormat::Raw,
        wrapping_key: None,
        wrappable_by: Vec::new(),
    };
    refused(world.ask(&mut admin, &import).map(drop), Status::Malformed);

    world.ask(&mut app, &mac("off")).unwrap();
    let disable = Disable {
        key: name("off"),
        version: None,
    };
    world.ask(&mut app, &disable).unwrap();
    refused(
        world.ask(&mut app, &mac("off")).map(drop),
        Status::KeyDisabled,
    );

    world.ask(&mut app, &mac("gone")).unwrap();
    let destroy = Destroy {
        key: name("gone"),
        version: None,
    };
    world.ask(&mut admin, &destroy).unwrap();
    refused(
        world.ask(&mut app, &mac("gone")).map(drop),
        Status::KeyDestroyed,
    );

    let mut verify = Verify {
        key: name("ec"),
        version: None,
        scheme: None,
        message: b"",
        signature: &[1; 64],
        prehashed: false,
    };
    refused(
        world.ask(&mut app, &verify).map(drop),
        Status::VerificationFailed,
    );
    verify.scheme = Some(SignScheme::Ed25519);
    refused(
        world.ask(&mut app, &verify).map(drop),
        Status::WrongParameters,
    );
    verify.scheme = None;
    verify.version = Some(2);
    refused(
        world.ask(&mut app, &verify).map(drop),
        Status::VersionNotFound,
    );

    let generate = |key| Generate {
        key: name(key),
        key_type: KeyType::Secret,
        operations: None,
        wrappable_by: Vec::new(),
    };
    world.ask(&mut app, &generate("mine")).unwrap();
    refused(
        world.ask(&mut app, &generate("mine")).map(drop),
        Status::KeyExists,
    );
    refused(
        world.ask(&mut app, &generate("more")).map(drop),
        Status::QuotaExceeded,
    );

    world.ask(&mut app, &encrypt("full")).unwrap();
    let full = world.vault.keys.find("full").unwrap().unwrap();
    full.read().unwrap().versions[0].nonces().start_at(1 << 32);
    refused(
        world.ask(&mut app, &encrypt("full")).map(drop),
        Status::KeyExhausted,
    );

    // Of the rest: no number is one of an operation, below; a full arena, in secmem and below by
    // its mapping; the others are the rounds' and the daemon's.
    seen.extend([Status::UnknownOperation, Status::ArenaFull]);
    let of_others = [
        Status::Ok,
        Status::DeniedByVerifier,
        Status::ServiceUnreachable,
        Status::TimedOut,
        Status::AgentAbsent,
        Status::ShuttingDown,
        Status::EvidenceUnavailable,
        Status::ResourceRefused,
        Status::RoundNotFound,
        Status::Internal,
        Status::RateLimited,
        Status::NotYetValid,
        Status::AuditUnavailable,
        Status::BufferNotFound,
        Status::PolicyInvalid,
        Status::PlatformAbsent,
        Status::PlatformChanged,
        Status::PlatformForeign,
        Status::CounterLost,
        Status::SealUnavailable,
        Status::NotDurable,
    ];
    for status in Status::ALL {
        assert!(
            seen.contains(&status) != of_others.contains(&status),
            "{status}"
        );
    }
}

#[test]
fn a_full_arena_is_a_status() {
    let refusal = Refusal::from(nitride_secmem::ArenaFull);
    assert_eq!(refusal.status(), Status::ArenaFull);
    let refusal = Refusal::from(nitride_secmem::crypto::CryptoError::ArenaFull);
    assert_eq!(refusal.status(), Status::ArenaFull);
}

fn raw(world: &mut World, operation: u16, params: &[u8], reply: &mut [u8]) -> Outcome {
    let mut session = world.application(1);
    let head = RequestHead { id: 9, operation };
    world.vault.perform(
        &mut session,
        head,
        Reader::new(params),
        world.now,
        &mut world.draw,
        reply,
    )
}

#[test]
fn a_number_of_no_operation_is_named() {
    let mut world = world();
    let mut reply = [0; 64];
    for operation in [39, 1000, u16::MAX] {
        let Outcome::Reply(len) = raw(&mut world, operation, &[0x80], &mut reply) else {
            panic!("no reply");
        };
        let (head, _) = open_reply(&reply[..len]).unwrap();
        assert_eq!((head.id, head.status), (9, Status::UnknownOperation));
    }
}

#[test]
fn a_reply_buffer_that_is_too_small_changes_nothing_else() {
    let mut world = world();
    let mut session = world.application(1);
    let params = {
        let mut packet = [0; 64];
        let random = Random { len: 32 };
        let len = write_request(&mut packet, 9, Random::OPERATION, &random).unwrap();
        packet[3..len].to_vec()
    };
    let head = RequestHead {
        id: 9,
        operation: Operation::Random.to_wire(),
    };
    for len in 0..40 {
        let mut reply = vec![0; len];
        let outcome = world.vault.perform(
            &mut session,
            head,
            Reader::new(&params),
            world.now,
            &mut world.draw,
            &mut reply,
        );
        match outcome {
            Outcome::Reply(written) => {
                let (head, _) = open_reply(&reply[..written]).unwrap();
                let expected = if written > 30 {
                    Status::Ok
                } else {
                    Status::TooLarge
                };
                assert_eq!(head.status, expected);
            }
            Outcome::Close => assert!(len < 4),
            outcome => panic!("{outcome:?}"),
        }
    }
}

#[test]
fn hello_sets_how_long_a_request_may_wait() {
    let mut world = world();
    let mut app = world.application(1);
    assert_eq!(app.wait_ms(), 0);
    assert!(!app.attaches());
    let hello = Hello {
        min_version: 1,
        max_version: 3,
        client: "test",
        wait_ms: 1500,
        attaches: true,
    };
    let welcome = world.ask(&mut app, &hello).unwrap();
    assert_eq!(welcome.result().version, 1);
    assert_eq!(app.wait_ms(), 1500);
    assert!(app.attaches());
    // A stranger may say hello and learn nothing more by it.
    let mut stranger = world.application(9);
    world.ask(&mut stranger, &hello).unwrap();
}

#[test]
fn status_says_what_is_weak_and_how_old_approvals_are() {
    let mut unsigned = key("plain", KeyType::Secret, kbs("r/t/plain"));
    unsigned.unsigned = Unsigned::Accept;
    let mut set = policy(vec![rule(1, "**", EVERYTHING)], vec![unsigned]);
    set.gates[0].danger_accept_simulated = true;
    set.generation = 42;
    let mut world = World::new(set);
    world.approve("vm", 1234);
    let mut reply = vec![0; MAX_PACKET_LEN];
    let outcome = raw(&mut world, Operation::Status.to_wire(), &[0x80], &mut reply);
    let Outcome::Status(request) = outcome else {
        panic!("{outcome:?}");
    };
    let seal = SealStatus {
        state: "open",
        platform: "tpm",
        generation: 7,
        keys: 1,
        left_out: None,
        because: None,
    };
    let around = Surroundings {
        are_records_kept: true,
        arena_kind: "locked",
        connections: 3,
        parked: 2,
        agent_connected: true,
        tee: "sample",
        warnings: &["from the daemon"],
        seal: Some(seal),
    };
    let outcome = world
        .vault
        .write_status(&request, &around, world.now, &mut reply);
    let Outcome::Reply(len) = outcome else {
        panic!("{outcome:?}");
    };
    let (_, params) = open_reply(&reply[..len]).unwrap();
    let status = VaultStatus::decode_last(params).unwrap();
    assert_eq!(status.policy_generation, 42);
    assert_eq!(status.seal, Some(seal));
    assert_eq!(status.policy_digest, &[0xd1; 32]);
    assert_eq!(status.gates[0].age_ms, Some(1234));
    assert_eq!((status.connections, status.parked), (3, 2));
    assert!(status.records_size > 0);
    let warnings = status.warnings.join("\n");
    for expected in ["from the daemon", "gate vm", "key plain"] {
        assert!(warnings.contains(expected), "{expected}");
    }
}

#[test]
fn reload_is_the_daemons_to_do() {
    let mut world = world();
    let mut admin = world.admin(0);
    let head = RequestHead {
        id: 1,
        operation: Reload::OPERATION,
    };
    let outcome = world.vault.perform(
        &mut admin,
        head,
        Reader::new(&[0x80]),
        world.now,
        &mut world.draw,
        &mut [0; 64],
    );
    assert!(matches!(outcome, Outcome::Reload));
}

#[test]
fn nothing_happens_for_a_request_that_parks() {
    let keys = vec![key("k", KeyType::EcP256, kbs("r/t/k"))];
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], keys));
    let mut app = world.application(1);
    let sign = Sign {
        key: name("k"),
        scheme: None,
        message: b"",
        prehashed: false,
    };
    let parked = world.ask(&mut app, &sign).unwrap_err();
    let wanted = Want::Key {
        name: "k".parse().unwrap(),
    };
    assert_eq!(parked, Not::Yet(wanted));
    assert_eq!(world.vault.keys.count(), Ok(0));
    assert_eq!(app.refusal(), None);
}

proptest! {
    #[test]
    fn any_params_of_any_operation_give_an_answer(
        operation in 0u16..20,
        params in proptest::collection::vec(any::<u8>(), 0..80),
        is_admin in any::<bool>(),
    ) {
        arenas();
        let mut world = world();
        let mut session = if is_admin { world.admin(0) } else { world.application(1) };
        let mut reply = vec![0; MAX_PACKET_LEN];
        let outcome = world.vault.perform(
            &mut session,
            RequestHead { id: 3, operation },
            Reader::new(&params),
            world.now,
            &mut world.draw,
            &mut reply,
        );
        if let Outcome::Reply(len) = outcome {
            prop_assert!(open_reply(&reply[..len]).is_ok());
        } else {
            prop_assert!(matches!(outcome, Outcome::Status(_) | Outcome::Reload));
        }
    }
}
