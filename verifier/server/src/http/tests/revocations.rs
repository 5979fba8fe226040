//! The kill switch over HTTP.

use super::world::{ADMIN, Answer, Guest, HttpRequest, PATH, Plan, SECRET, World, fetch};
use crate::admin::{Namespaces, Role};

fn world() -> World {
    let web = Namespaces::These(vec!["demo".to_owned()]);
    World::of(Plan {
        admins: vec![
            ("of-revocations", &[Role::Revocations], Namespaces::All),
            ("of-demo", &[Role::Revocations], web),
        ],
        ..Plan::default()
    })
}

fn ask(world: &World, (method, admin): (&str, &str), path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {admin}");
    world.ask(&HttpRequest {
        method,
        path: &format!("/kbs/v0/nitride/revocations{path}"),
        headers: &[("Authorization", &bearer)],
        body: body.as_bytes(),
    })
}

#[test]
fn what_an_admin_revokes_is_given_nothing_until_it_is_lifted() {
    let world = world();
    world.put(PATH, SECRET);
    let guest = Guest::challenged(&world);
    let token = guest.token(&world, "1");
    let is_served = || guest.open(&fetch(&world, PATH, &token)).as_deref() == Some(SECRET);
    assert!(is_served());
    let tenant = r#"{"kind":"tenant","what":"demo","reason":"stolen"}"#;
    for _ in 0..2 {
        assert_eq!(
            ask(&world, ("POST", "of-revocations"), "", tenant).status,
            200
        );
    }
    world.turn_clock(5);
    assert!(!is_served());
    let list = ask(&world, ("GET", "of-revocations"), "", "");
    let list: serde_json::Value = serde_json::from_slice(&list.body).unwrap();
    assert_eq!(list["revoked"].as_array().unwrap().len(), 1);
    assert_eq!(list["revoked"][0]["reason"], "stolen");
    let lift = r#"{"kind":"tenant","what":"demo"}"#;
    assert_eq!(
        ask(&world, ("POST", "of-revocations"), "/lift", lift).status,
        200
    );
    ask(&world, ("POST", "of-revocations"), "/lift", lift).assert_refused(404, "NotFound");
    world.turn_clock(5);
    assert!(is_served());
}

#[test]
fn nobody_else_revokes_and_nothing_else_is_revoked() {
    let world = world();
    let tenant = r#"{"kind":"tenant","what":"demo","reason":""}"#;
    for path in ["", "/lift"] {
        for admin in [ADMIN, "of-demo"] {
            ask(&world, ("POST", admin), path, tenant).assert_refused(403, "AdminForbidden");
        }
        ask(&world, ("POST", "nobody"), path, tenant).assert_refused(401, "AdminAuthError");
    }
    ask(&world, ("GET", ADMIN), "", "").assert_refused(403, "AdminForbidden");
    let long = format!(
        r#"{{"kind":"tenant","what":"demo","reason":"{}"}}"#,
        "x".repeat(256)
    );
    for body in [
        "",
        "{}",
        r#"{"kind":"planet","what":"earth"}"#,
        r#"{"kind":"tenant","what":"de/mo"}"#,
        r#"{"kind":"vm","what":"mine"}"#,
        r#"{"kind":"tenant","what":"demo","colour":1}"#,
        &long,
    ] {
        ask(&world, ("POST", "of-revocations"), "", body).assert_refused(400, "InvalidRequest");
    }
    let endless = "x".repeat(9 * 1024);
    ask(&world, ("POST", "of-revocations"), "", &endless).assert_refused(413, "RequestTooLarge");
}
