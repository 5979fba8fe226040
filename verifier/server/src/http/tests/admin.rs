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
