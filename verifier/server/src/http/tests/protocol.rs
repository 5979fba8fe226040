//! What works.

use super::world::{Guest, PATH, Plan, SECRET, World, fetch};
use crate::config::ThrottleLimits;
use crate::token_key::SigningAlgorithm;
use nitride_kbs::jwe::Jwe;
use nitride_kbs::messages::{Request, parse_attestation_response, parse_challenge};
use nitride_kbs::tee_key::TeeKeyForm;
use nitride_kbs::token::{EarStatus, PRIMARY_SUBMOD, UnverifiedToken};
use serde_json::Value;

#[test]
fn a_wanted_guest_gets_its_resource_by_token() {
    let world = World::start();
    world.put(PATH, SECRET);
    let guest = Guest::challenged(&world);
    let token = guest.token(&world, "1");
    let answer = fetch(&world, PATH, &token);
    assert_eq!(answer.status, 200);
    assert_eq!(guest.open(&answer).as_deref(), Some(SECRET));
    assert!(Jwe::parse(&answer.body).is_ok());
}

#[test]
fn the_cookie_serves_from_auth_to_resource() {
    let world = World::start();
    world.put(PATH, SECRET);
    let guest = Guest::challenged(&world);
    let attested = guest.attest(&world, "1");
    let cookie = attested.cookie().unwrap();
    assert_ne!(cookie, guest.cookie);
    let path = format!("/kbs/v0/resource/{PATH}");
    let answer = world.get(&path, &[("Cookie", &cookie)]);
    assert_eq!(guest.open(&answer).as_deref(), Some(SECRET));
}

#[test]
fn the_cookies_have_a_path_an_age_and_no_reader_but_http() {
    let world = World::start();
    let answer = world.post(
        "/kbs/v0/auth",
        &[],
        Request::new("sample").to_json().as_bytes(),
    );
    let cookie = answer.header("set-cookie").unwrap();
    let value = cookie
        .strip_prefix("kbs-session-id=")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    assert!(value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()));
    for attribute in ["Path=/kbs/v0", "Max-Age=60", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
}

#[test]
fn an_empty_leading_segment_is_passed_over() {
    let world = World::start();
    world.put(PATH, SECRET);
    let guest = Guest::challenged(&world);
    let token = guest.token(&world, "1");
    let answer = fetch(&world, &format!("/{PATH}"), &token);
    assert_eq!(guest.open(&answer).as_deref(), Some(SECRET));
}

#[test]
fn the_token_says_simulated_and_names_this_round_s_key() {
    let world = World::start();
    let guest = Guest::challenged(&world);
    let token = guest.token(&world, "1");
    let accepted = world
        .service
        .current()
        .issuer
        .accept(&token, world.service.clock.wall_secs())
        .unwrap();
    let claims = accepted.claims();
    assert_eq!(claims.simulated, Some(true));
    assert_eq!(claims.debug, Some(false));
    assert_eq!(claims.aud.as_deref(), Some("audience"));
    assert_eq!(claims.exp - claims.iat, 300);
    let submod = &claims.submods[PRIMARY_SUBMOD];
    assert_eq!(submod.status, EarStatus::Affirming);
    assert_eq!(submod.appraisal_policy_id.as_deref(), Some("policy"));
    let runtime = submod
        .annotated_evidence
        .as_ref()
        .unwrap()
        .runtime_data_claims
        .as_ref();
    let attested = guest.attestation("1").runtime_data;
    assert_eq!(runtime.unwrap().tee_pubkey, Some(attested.tee_pubkey));
    assert_eq!(
        runtime.unwrap().nonce.as_deref(),
        Some(guest.nonce.as_str())
    );
}

#[test]
fn unwanted_evidence_gets_a_contraindicated_token_and_no_resource() {
    let world = World::start();
    world.put(PATH, SECRET);
    let token = Guest::challenged(&world).token(&world, "2");
    let accepted = world
        .service
        .current()
        .issuer
        .accept(&token, world.service.clock.wall_secs())
        .unwrap();
    assert_eq!(
        accepted.claims().submods[PRIMARY_SUBMOD].status,
        EarStatus::Contraindicated
    );
    fetch(&world, PATH, &token).assert_refused(401, "PolicyDeny");
}

#[test]
fn a_guest_may_not_ask_beyond_its_minutes() {
    let world = World::start();
    world.put(PATH, SECRET);
    let token = Guest::challenged(&world).token(&world, "1");
    world.turn_clock(299);
    assert_eq!(fetch(&world, PATH, &token).status, 200);
    world.turn_clock(1);
    fetch(&world, PATH, &token).assert_refused(401, "TokenVerifierError");
}

#[test]
fn extra_params_may_be_an_empty_text_and_further_hashes_may_be_offered() {
    let world = World::start();
    for extra in [
        "\"\"",
        "{}",
        r#"{"supported-hash-algorithms":["sha256","sha384","sm3"]}"#,
    ] {
        let body = format!(r#"{{"version":"0.4.0","tee":"sample","extra-params":{extra}}}"#);
        let answer = world.post("/kbs/v0/auth", &[], body.as_bytes());
        assert_eq!(answer.status, 200, "{extra}");
        let challenge = parse_challenge(&answer.body).unwrap();
        assert_eq!(challenge.tee_keys(), TeeKeyForm::ALL);
    }
}

#[test]
fn every_version_of_0_4_is_answered() {
    let world = World::start();
    for version in ["0.4.0", "0.4.1", "0.4.12"] {
        let body = format!(r#"{{"version":"{version}","tee":"sample","extra-params":""}}"#);
        let answer = world.post("/kbs/v0/auth", &[], body.as_bytes());
        assert_eq!(answer.status, 200, "{version}");
    }
}

#[test]
fn a_token_that_no_header_has_room_for_serves_in_a_body() {
    let world = World::start();
    world.put(PATH, SECRET);
    let guest = Guest::challenged(&world);
    let token = guest.token(&world, "1");
    let path = format!("/kbs/v0/resource-by-token/{PATH}");
    let body = |token: &str| format!(r#"{{"token":"{token}"}}"#).into_bytes();
    let cookie = [("Cookie", guest.cookie.as_str())];
    for headers in [&[][..], &cookie] {
        let answer = world.post(&path, headers, &body(&token));
        assert_eq!(answer.status, 200);
        assert_eq!(guest.open(&answer).as_deref(), Some(SECRET));
    }
    // The empty segment of one client, as everywhere.
    let empty = format!("/kbs/v0/resource-by-token//{PATH}");
    assert_eq!(world.post(&empty, &[], &body(&token)).status, 200);
}

#[test]
fn a_token_in_a_body_is_judged_as_one_in_a_header_is() {
    let world = World::start();
    world.put(PATH, SECRET);
    let guest = Guest::challenged(&world);
    let token = guest.token(&world, "1");
    let path = format!("/kbs/v0/resource-by-token/{PATH}");
    let body = |token: &str| format!(r#"{{"token":"{token}"}}"#).into_bytes();
    let long = "e".repeat(131_073);
    for (bytes, status, kind) in [
        (body("a.b.c"), 401, "TokenVerifierError"),
        (body(&format!("{token}A")), 401, "TokenVerifierError"),
        (body(""), 400, "InvalidRequest"),
        (body(&long), 400, "InvalidRequest"),
        (body(&long.repeat(2)), 413, "RequestTooLarge"),
        (b"{}".to_vec(), 400, "InvalidRequest"),
        (token.clone().into_bytes(), 400, "InvalidRequest"),
        (Vec::new(), 400, "InvalidRequest"),
    ] {
        world.post(&path, &[], &bytes).assert_refused(status, kind);
    }
    // A second token beside it, and the session's own where the body has none.
    let bearer = format!("Bearer {token}");
    let both = [("Authorization", bearer.as_str())];
    world
        .post(&path, &both, &body(&token))
        .assert_refused(400, "InvalidRequest");
    let cookie = format!("kbs-session-id={token}");
    world
        .post(&path, &[("Cookie", &cookie)], b"")
        .assert_refused(400, "InvalidRequest");
    // It is no way to write, nor to read without.
    world
        .get(&path, &[])
        .assert_refused(405, "MethodNotAllowed");
    let unwanted = Guest::challenged(&world).token(&world, "2");
    world
        .post(&path, &[], &body(&unwanted))
        .assert_refused(401, "PolicyDeny");
    let other = "/kbs/v0/resource-by-token/demo/key/none";
    let answer = world.post(other, &[], &body(&token));
    assert!([401, 404].contains(&answer.status));
}

#[test]
fn what_the_store_holds_is_served_byte_for_byte() {
    let world = World::start();
    let bytes: Vec<u8> = (0..=255).cycle().take(65_536).collect();
    world.put(PATH, &bytes);
    let guest = Guest::challenged(&world);
    let answer = fetch(&world, PATH, &guest.token(&world, "1"));
    assert_eq!(guest.open(&answer), Some(bytes));
}

#[test]
fn health_is_told_to_anyone_and_not_throttled() {
    let throttle = ThrottleLimits {
        requests_per_second: 1,
        burst: 1,
    };
    let world = World::of(Plan {
        throttle,
        ..Plan::default()
    });
    for _ in 0..5 {
        assert_eq!(world.get("/healthz", &[]).status, 200);
    }
}

#[test]
fn the_keys_are_published_and_name_the_key_of_every_token() {
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::MlDsa65] {
        let world = World::of(Plan {
            algorithm,
            ..Plan::default()
        });
        let answer = world.get("/.well-known/jwks.json", &[]);
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("content-type"),
            Some("application/jwk-set+json")
        );
        assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
        let keys: Value = serde_json::from_slice(&answer.body).unwrap();
        let token = Guest::challenged(&world).token(&world, "1");
        let token = UnverifiedToken::parse(&token).unwrap();
        assert_eq!(keys["keys"][0]["kid"].as_str(), token.kid());
        assert_eq!(keys["keys"][0]["alg"], token.algorithm().as_str());
        assert!(!token.names_a_key());
        // The issuer of these tests is no host.
        world
            .get("/.well-known/openid-configuration", &[])
            .assert_refused(404, "NotFound");
    }
}

#[test]
fn a_token_of_ml_dsa_is_too_long_for_a_cookie_and_serves_as_bearer() {
    let world = World::of(Plan {
        algorithm: SigningAlgorithm::MlDsa65,
        ..Plan::default()
    });
    world.put(PATH, SECRET);
    let guest = Guest::challenged(&world);
    let attested = guest.attest(&world, "1");
    assert_eq!(attested.cookie(), None);
    let answer = fetch(&world, PATH, &guest.token(&world, "1"));
    assert_eq!(guest.open(&answer).as_deref(), Some(SECRET));
    // The cookie of the challenge is all there is, and it is no token.
    let path = format!("/kbs/v0/resource/{PATH}");
    world
        .get(&path, &[("Cookie", &guest.cookie)])
        .assert_refused(401, "TokenVerifierError");
}

#[test]
fn a_token_is_for_the_resources_that_its_guest_named_and_for_no_other() {
    let world = World::start();
    world.put(PATH, SECRET);
    world.put("demo/key/two", SECRET);
    let attest = |named: &[&str]| {
        let guest = Guest::challenged(&world);
        let cookie = [("Cookie", guest.cookie.as_str())];
        let named = named.iter().map(|names| ("nitride-resources", *names));
        let headers: Vec<_> = cookie.into_iter().chain(named).collect();
        let body = guest.attestation("1").to_json();
        world.post("/kbs/v0/attest", &headers, body.as_bytes())
    };
    let token = |named| {
        let answer = attest(named);
        parse_attestation_response(&answer.body).unwrap().token
    };
    let one = token(&[PATH]);
    assert_eq!(fetch(&world, PATH, &one).status, 200);
    let other = fetch(&world, "demo/key/two", &one);
    other.assert_refused(401, "TokenVerifierError");
    assert!(other.error().detail.contains("not for this resource"));
    // A gate's round wants none, and its token opens none.
    fetch(&world, PATH, &token(&[""])).assert_refused(401, "TokenVerifierError");
    let both = token(&["demo/key/two, demo/key/one"]);
    for path in [PATH, "demo/key/two"] {
        assert_eq!(fetch(&world, path, &both).status, 200);
    }
    for named in [&["demo/key"][..], &["*"], &[PATH, "demo/key/two"]] {
        attest(named).assert_refused(400, "InvalidRequest");
    }
}
