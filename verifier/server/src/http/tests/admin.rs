//! Writing over HTTP.

use super::world::{ADMIN, Answer, Guest, HttpRequest, PATH, Plan, SECRET, World, fetch};

fn write(world: &World, method: &str, path: &str, token: Option<&str>, body: &[u8]) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer
        .iter()
        .map(|bearer| ("Authorization", bearer.as_str()))
        .collect();
    let path = format!("/kbs/v0/resource/{path}");
    world.ask(&HttpRequest {
        method,
        path: &path,
        headers: &headers,
        body,
    })
}

#[test]
fn an_admin_stores_replaces_and_deletes() {
    let world = World::start();
    let guest = Guest::challenged(&world);
    let token = guest.token(&world, "1");
    for body in [b"first".as_slice(), SECRET] {
        assert_eq!(write(&world, "POST", PATH, Some(ADMIN), body).status, 200);
        assert_eq!(
            guest.open(&fetch(&world, PATH, &token)).as_deref(),
            Some(body)
        );
    }
    assert_eq!(write(&world, "DELETE", PATH, Some(ADMIN), b"").status, 200);
    fetch(&world, PATH, &token).assert_refused(404, "ResourceNotFound");
    write(&world, "DELETE", PATH, Some(ADMIN), b"").assert_refused(404, "ResourceNotFound");
}

#[test]
fn nobody_else_writes() {
    let world = World::start();
    world.put(PATH, SECRET);
    let guest = Guest::challenged(&world);
    let token = guest.token(&world, "1");
    for wrong in [None, Some("the-admin-s-toke"), Some(token.as_str())] {
        write(&world, "POST", PATH, wrong, b"x").assert_refused(401, "AdminAuthError");
        write(&world, "DELETE", PATH, wrong, b"").assert_refused(401, "AdminAuthError");
    }
    assert_eq!(
        guest.open(&fetch(&world, PATH, &token)).as_deref(),
        Some(SECRET)
    );
}

#[test]
fn a_service_without_an_admin_takes_no_token() {
    let world = World::of(Plan {
        has_admin: false,
        ..Plan::default()
    });
    write(&world, "POST", PATH, Some(ADMIN), b"x").assert_refused(401, "AdminAuthError");
}

#[test]
fn the_admin_s_token_reads_nothing() {
    let world = World::start();
    world.put(PATH, SECRET);
    fetch(&world, PATH, ADMIN).assert_refused(401, "TokenVerifierError");
}

#[test]
fn what_is_too_large_or_wrongly_named_is_not_stored() {
    let world = World::start();
    write(&world, "POST", PATH, Some(ADMIN), &[0; 65_537]).assert_refused(413, "RequestTooLarge");
    for path in ["a/b", "../x/y", "a/b/.c"] {
        write(&world, "POST", path, Some(ADMIN), b"x").assert_refused(400, "InvalidRequestPath");
    }
}

#[test]
fn of_two_admins_who_saw_one_version_one_is_refused() {
    let world = World::start();
    let bearer = format!("Bearer {ADMIN}");
    let path = format!("/kbs/v0/resource/{PATH}");
    let write = |method, expected: (&str, &str)| {
        world.ask(&HttpRequest {
            method,
            path: &path,
            headers: &[("Authorization", &bearer), expected],
            body: b"x",
        })
    };
    let first = write("POST", ("If-None-Match", "*"));
    assert_eq!((first.status, first.header("etag")), (200, Some("\"1\"")));
    write("POST", ("If-None-Match", "*")).assert_refused(412, "Conflict");
    assert_eq!(write("POST", ("If-Match", "\"1\"")).status, 200);
    write("POST", ("If-Match", "\"1\"")).assert_refused(412, "Conflict");
    write("DELETE", ("If-Match", "\"1\"")).assert_refused(412, "Conflict");
    for wrong in [
        "2",
        "\"02\"",
        "\"+2\"",
        "W/\"2\"",
        "\"2\", \"3\"",
        "*",
        "\"\"",
    ] {
        write("POST", ("If-Match", wrong)).assert_refused(400, "InvalidRequest");
    }
    write("POST", ("If-None-Match", "\"2\"")).assert_refused(400, "InvalidRequest");
    assert_eq!(write("DELETE", ("If-Match", "\"2\"")).status, 200);
}

#[test]
fn an_admin_sees_names_and_never_what_they_hold() {
    let world = World::start();
    world.put(PATH, SECRET);
    world.put("other/key/two", SECRET);
    let bearer = format!("Bearer {ADMIN}");
    let authorization = [("Authorization", bearer.as_str())];
    let see = |path: &str| world.get(path, &authorization);
    let all = see("/kbs/v0/nitride/resources");
    assert_eq!(all.status, 200);
    assert_eq!(
        all.body,
        br#"{"resources":["demo/key/one","other/key/two"]}"#
    );
    let one = see("/kbs/v0/nitride/resources?namespace=other");
    assert_eq!(one.body, br#"{"resources":["other/key/two"]}"#);
    for query in ["x=1", "namespace=", "namespace=a/b", "namespace=a&x=1", ""] {
        let wrong = see(&format!("/kbs/v0/nitride/resources?{query}"));
        wrong.assert_refused(400, "InvalidRequest");
    }
    // The role for resources is not the one for the audit, and nobody else sees anything.
    for path in ["status", "audit-head"] {
        let path = format!("/kbs/v0/nitride/{path}");
        see(&path).assert_refused(403, "AdminForbidden");
        world.get(&path, &[]).assert_refused(401, "AdminAuthError");
    }
    world
        .get("/kbs/v0/nitride/resources", &[])
        .assert_refused(401, "AdminAuthError");
}
