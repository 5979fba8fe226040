//! What must not work, each with the error that says so.

use super::world::{Guest, HttpRequest, PATH, Plan, SECRET, World, fetch};
use crate::config::ThrottleLimits;
use crate::entropy::KernelEntropy;
use crate::key_file::{Key32, draw_p256};
use crate::revocation::Kind;
use crate::store::DirStore;
use crate::store::memory::MemoryStore;
use crate::token::tests::{NOW_SECS, issuer, runtime, verdict};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use nitride_kbs::messages::{Attestation, InitData};
use nitride_kbs::tee_key::TeePublicKey;
use nitride_kbs::token::assemble;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use std::sync::Arc;

#[test]
fn sample_evidence_that_the_policy_does_not_name_is_refused_at_attest() {
    let world = World::of(Plan {
        accept_sample: false,
        ..Plan::default()
    });
    let answer = Guest::challenged(&world).attest(&world, "1");
    answer.assert_refused(401, "AttestationError");
    assert!(answer.error().detail.contains("danger-accept-sample"));
}

#[test]
fn a_challenge_that_expired_is_refused() {
    let world = World::start();
    let guest = Guest::challenged(&world);
    world.turn_clock(61);
    let answer = guest.attest(&world, "1");
    answer.assert_refused(401, "SessionError");
    assert!(answer.error().detail.contains("expired"));
}

#[test]
fn a_tampered_challenge_is_refused() {
    let world = World::start();
    let guest = Guest::challenged(&world);
    let mut bytes = Base64::decode_vec(&guest.nonce).unwrap();
    // Of the random part: it is not the time in it that is refused.
    bytes[20] ^= 1;
    let tampered = Guest {
        nonce: Base64::encode_string(&bytes),
        ..guest
    };
    let answer = tampered.attest(&world, "1");
    answer.assert_refused(401, "SessionError");
    assert!(answer.error().detail.contains("not issued by this service"));
}

#[test]
fn evidence_replayed_for_another_challenge_is_refused() {
    let world = World::start();
    let old = Guest::challenged(&world);
    let evidence = old.attestation("1").tee_evidence;
    let fresh = Guest {
        key: old.key.clone(),
        ..Guest::challenged(&world)
    };
    let replayed = Attestation {
        tee_evidence: evidence,
        ..fresh.attestation("1")
    };
    fresh
        .send(&world, &replayed)
        .assert_refused(401, "AttestationError");
}

#[test]
fn evidence_replayed_with_another_key_under_the_same_challenge_is_refused() {
    let world = World::start();
    let victim = Guest::challenged(&world);
    let evidence = victim.attestation("1").tee_evidence;
    let thief = Guest {
        nonce: victim.nonce.clone(),
        cookie: victim.cookie.clone(),
        ..Guest::challenged(&world)
    };
    let substituted = Attestation {
        tee_evidence: evidence,
        ..thief.attestation("1")
    };
    let answer = thief.send(&world, &substituted);
    answer.assert_refused(401, "AttestationError");
    assert!(answer.error().detail.contains("report data"));
}

#[test]
fn a_cookie_of_another_session_is_refused() {
    let world = World::start();
    let other = Guest::challenged(&world);
    let guest = Guest {
        cookie: other.cookie,
        ..Guest::challenged(&world)
    };
    guest
        .attest(&world, "1")
        .assert_refused(401, "SessionError");
}

#[test]
fn attesting_without_a_session_is_refused() {
    let world = World::start();
    let guest = Guest::challenged(&world);
    let body = guest.attestation("1").to_json();
    world
        .post("/kbs/v0/attest", &[], body.as_bytes())
        .assert_refused(401, "SessionError");
}

#[test]
fn a_challenge_of_another_service_is_refused() {
    let guest = Guest::challenged(&World::start());
    let other = Plan {
        challenge_key: 2,
        ..Plan::default()
    };
    guest
        .attest(&World::of(other), "1")
        .assert_refused(401, "SessionError");
}

#[test]
fn what_sample_evidence_does_not_bind_is_refused() {
    let world = World::start();
    let guest = Guest::challenged(&world);
    let init_data = InitData {
        format: "toml".to_owned(),
        body: "version = \"0.1.0\"".to_owned(),
    };
    let with_init_data = Attestation {
        init_data: Some(init_data),
        ..guest.attestation("1")
    };
    guest
        .send(&world, &with_init_data)
        .assert_refused(401, "AttestationError");
}

#[test]
fn a_forged_token_with_its_own_key_in_the_header_gets_nothing() {
    let world = World::start();
    world.put(PATH, SECRET);
    let theirs = SigningKey::from(draw_p256(&mut KernelEntropy).unwrap());
    // The claims of a true token, all as they must be.
    let payload = Guest::challenged(&world).token(&world, "1");
    let payload = payload.split('.').nth(1).unwrap();
    let point = theirs.verifying_key().to_sec1_bytes();
    let header = serde_json::json!({ "alg": "ES256", "typ": "JWT", "jwk": {
        "kty": "EC", "crv": "P-256", "alg": "ES256",
        "x": Base64UrlUnpadded::encode_string(&point[1..33]),
        "y": Base64UrlUnpadded::encode_string(&point[33..]),
    }});
    let header = Base64UrlUnpadded::encode_string(header.to_string().as_bytes());
    let signed = format!("{header}.{payload}");
    let signature: Signature = theirs.sign(signed.as_bytes());
    let forged = assemble(&signed, &signature.to_bytes());
    let none = Base64UrlUnpadded::encode_string(br#"{"alg":"none"}"#);
    for token in [forged, format!("{none}.{payload}."), "a.b.c".to_owned()] {
        fetch(&world, PATH, &token).assert_refused(401, "TokenVerifierError");
    }
}

#[test]
fn a_token_of_another_issuer_s_key_gets_nothing() {
    let world = World::start();
    world.put(PATH, SECRET);
    let token = issuer()
        .issue(&verdict("1"), &runtime(), None, NOW_SECS)
        .unwrap();
    fetch(&world, PATH, &token).assert_refused(401, "TokenVerifierError");
}

#[test]
fn a_session_that_has_not_attested_gets_nothing() {
    let world = World::start();
    world.put(PATH, SECRET);
    let guest = Guest::challenged(&world);
    let path = format!("/kbs/v0/resource/{PATH}");
    for headers in [&[][..], &[("Cookie", guest.cookie.as_str())]] {
        world
            .get(&path, headers)
            .assert_refused(401, "TokenVerifierError");
    }
}

#[test]
fn what_no_rule_names_is_denied_whether_it_is_there_or_not() {
    let world = World::start();
    world.put("other/key/one", SECRET);
    let token = Guest::challenged(&world).token(&world, "1");
    let there = fetch(&world, "other/key/one", &token);
    let absent = fetch(&world, "other/key/two", &token);
    there.assert_refused(401, "PolicyDeny");
    absent.assert_refused(401, "PolicyDeny");
    assert_eq!(there.body, absent.body);
}

#[test]
fn a_missing_resource_is_not_found_in_the_protocol_s_form() {
    let world = World::start();
    let token = Guest::challenged(&world).token(&world, "1");
    fetch(&world, PATH, &token).assert_refused(404, "ResourceNotFound");
}

#[test]
fn paths_that_name_no_resource_are_refused() {
    let world = World::start();
    world.put(PATH, SECRET);
    let token = Guest::challenged(&world).token(&world, "1");
    for path in [
        "a/b",
        "a/b/c/d",
        "../../etc/passwd",
        "a/../c",
        "//a/b/c",
        "a/b/%2e%2e",
        "a/b/.c",
        "a//c",
        "kbs:///demo/key/one",
        "/kbs:///demo/key/one",
        "demo/key/%6fne",
    ] {
        fetch(&world, path, &token).assert_refused(400, "InvalidRequestPath");
    }
    let long = format!("a/b/{}", "c".repeat(600));
    fetch(&world, &long, &token).assert_refused(400, "InvalidRequestPath");
}

#[test]
fn a_name_that_no_file_can_have_is_the_client_s_fault() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key32::draw(&mut KernelEntropy).unwrap();
    let world = World::of(Plan {
        store: Arc::new(DirStore::open(folder.path(), key).unwrap()),
        ..Plan::default()
    });
    let token = Guest::challenged(&world).token(&world, "1");
    let path = format!("demo/key/{}", "a".repeat(255));
    fetch(&world, &path, &token).assert_refused(400, "InvalidRequestPath");
}

#[test]
fn unknown_paths_and_methods_are_refused_in_the_same_form() {
    let world = World::start();
    for path in [
        "/",
        "/kbs/v0/",
        "/kbs/v1/auth",
        "/kbs/v0/resource/",
        "/metrics",
        "/kbs/v0/auth/",
    ] {
        world.get(path, &[]).assert_refused(404, "NotFound");
    }
    world
        .get("/kbs/v0/auth", &[])
        .assert_refused(405, "MethodNotAllowed");
    let put = HttpRequest {
        method: "PUT",
        path: "/kbs/v0/attest",
        headers: &[],
        body: b"",
    };
    world.ask(&put).assert_refused(405, "MethodNotAllowed");
}

#[test]
fn bodies_that_are_not_the_message_are_refused() {
    let world = World::start();
    for body in [
        "",
        "{",
        "null",
        "[]",
        r#"{"version":"0.4.0","tee":"sample"}"#,
    ] {
        world
            .post("/kbs/v0/auth", &[], body.as_bytes())
            .assert_refused(400, "InvalidRequest");
    }
    let guest = Guest::challenged(&world);
    let cookie = [("Cookie", guest.cookie.as_str())];
    let good = guest.attestation("1").to_json();
    let deep = "[".repeat(100_000);
    let twice = good.replacen('{', r#"{"init-data":null,"#, 1);
    let off_the_curve = good.replace("\"x\":\"", "\"x\":\"A");
    for body in [
        "",
        "{}",
        &deep,
        &twice,
        &good[..good.len() - 1],
        &off_the_curve,
    ] {
        let answer = world.post("/kbs/v0/attest", &cookie, body.as_bytes());
        answer.assert_refused(400, "InvalidRequest");
    }
}

#[test]
fn a_tee_key_off_the_curve_is_refused() {
    let world = World::start();
    let guest = Guest::challenged(&world);
    let key = TeePublicKey::EcP256 {
        x: [1; 32],
        y: [2; 32],
    };
    let answer = guest.send(&world, &guest.attestation_of(&key, "1"));
    answer.assert_refused(401, "AttestationError");
    assert!(
        answer
            .error()
            .detail
            .contains("not a key of ECDH-ES+A256KW-P256")
    );
}

#[test]
fn oversized_bodies_are_refused() {
    let world = World::start();
    let cookie = [("Cookie", "kbs-session-id=00")];
    let auth = vec![b' '; 4097];
    world
        .post("/kbs/v0/auth", &[], &auth)
        .assert_refused(413, "RequestTooLarge");
    let attest = vec![b' '; 256 * 1024 + 1];
    world
        .post("/kbs/v0/attest", &cookie, &attest)
        .assert_refused(413, "RequestTooLarge");
}

#[test]
fn other_versions_tees_and_hashes_are_told_apart() {
    let world = World::start();
    let auth = |version: &str, tee: &str, extra: &str| {
        let body = format!(r#"{{"version":"{version}","tee":"{tee}","extra-params":{extra}}}"#);
        world.post("/kbs/v0/auth", &[], body.as_bytes())
    };
    for version in ["0.3.0", "0.5.0", "0.4", "1.4.0", ""] {
        let refused = auth(version, "sample", "{}");
        refused.assert_refused(400, "ProtocolVersion");
        // What it speaks stands in the error, where a client finds it.
        assert_eq!(refused.error().spoken_version(), Some("0.4.0"), "{version}");
    }
    auth("0.4.0", "sgx", "{}").assert_refused(400, "UnsupportedTee");
    // Known, and not in this service's policy: told before the guest makes any evidence.
    auth("0.4.0", "tdx", "{}").assert_refused(400, "UnsupportedTee");
    auth(
        "0.4.0",
        "sample",
        r#"{"supported-hash-algorithms":["sha256"]}"#,
    )
    .assert_refused(400, "InvalidRequest");
    let long = "9".repeat(2000);
    auth(&long, "sample", "{}").assert_refused(400, "ProtocolVersion");
}

#[test]
fn a_source_that_asks_too_much_is_told_when_to_come_again() {
    let throttle = ThrottleLimits {
        requests_per_second: 1,
        burst: 2,
    };
    let world = World::of(Plan {
        throttle,
        ..Plan::default()
    });
    let ask = || world.post("/kbs/v0/auth", &[], b"{}");
    ask().assert_refused(400, "InvalidRequest");
    ask().assert_refused(400, "InvalidRequest");
    let answer = ask();
    answer.assert_refused(429, "TooManyRequests");
    assert_eq!(answer.header("retry-after"), Some("1"));
    world.turn_clock(1);
    ask().assert_refused(400, "InvalidRequest");
}

#[test]
fn a_source_that_attests_too_much_still_gets_challenges_and_takes_nothing_from_others() {
    let world = World::of(Plan {
        attest_throttle: ThrottleLimits {
            requests_per_second: 1,
            burst: 2,
        },
        ..Plan::default()
    });
    let request = HttpRequest {
        method: "POST",
        path: "/kbs/v0/attest",
        headers: &[],
        body: b"{}",
    };
    let attest = || world.ask(&request);
    attest().assert_refused(401, "SessionError");
    attest().assert_refused(401, "SessionError");
    let answer = attest();
    answer.assert_refused(429, "TooManyRequests");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let auth = world.post("/kbs/v0/auth", &[], b"{}");
    auth.assert_refused(400, "InvalidRequest");
    let other = world.ask_over(world.connect_from("127.0.0.9"), &request);
    other.assert_refused(401, "SessionError");
    world.turn_clock(1);
    attest().assert_refused(401, "SessionError");
}

#[test]
fn a_store_that_fails_is_not_a_missing_resource() {
    let world = World::of(Plan {
        store: Arc::new(MemoryStore::broken()),
        ..Plan::default()
    });
    let token = Guest::challenged(&world).token(&world, "1");
    fetch(&world, PATH, &token).assert_refused(503, "StoreError");
}

#[test]
fn the_store_is_not_asked_for_what_is_denied() {
    let world = World::of(Plan {
        store: Arc::new(MemoryStore::broken()),
        ..Plan::default()
    });
    let token = Guest::challenged(&world).token(&world, "1");
    fetch(&world, "other/key/one", &token).assert_refused(401, "PolicyDeny");
}

#[test]
fn what_is_revoked_gets_nothing_within_the_time_that_is_stated() {
    for (kind, what, attests) in [
        (Kind::Vm, "sample.svn=1", false),
        (Kind::Image, "sample.svn=1", false),
        (Kind::Tenant, "demo", true),
        (Kind::Resource, PATH, true),
        (Kind::Vm, "sample.svn=2", true),
    ] {
        let world = World::start();
        world.put(PATH, SECRET);
        let guest = Guest::challenged(&world);
        let token = guest.token(&world, "1");
        assert_eq!(fetch(&world, PATH, &token).status, 200);
        world.revoke(kind, what);
        world.turn_clock(5);
        // A token from before is of no use either.
        if what.ends_with("=2") {
            assert_eq!(fetch(&world, PATH, &token).status, 200);
        } else {
            fetch(&world, PATH, &token).assert_refused(401, "PolicyDeny");
        }
        let again = Guest::challenged(&world).attest(&world, "1");
        assert_eq!(again.status == 200, attests, "{what}");
    }
}
