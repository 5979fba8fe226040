//! What the audit has of requests, and what is not answered without it.

use super::world::{ADMIN, Guest, HttpRequest, PATH, Plan, SECRET, World, fetch};
use crate::admin::{Namespaces, Role};
use crate::audit::entry::Kind;
use crate::audit::folder;
use crate::audit::trail::Trail;
use crate::audit::{Audit, AuditSettings, Sync, WhenFull};
use std::path::Path;

/// An audit in a folder within this one.
pub(super) fn audit_of(folder: &Path) -> Audit {
    let settings = AuditSettings {
        folder: folder.join("audit"),
        files: 8,
        file_len: 1 << 20,
        sync: Sync::Entry,
        full: WhenFull::Refuse,
    };
    Audit::open(Some(&settings), 1).unwrap()
}

fn world(folder: &Path) -> World {
    World::of(Plan {
        audit: audit_of(folder),
        ..Plan::default()
    })
}

/// Kind, who, what and outcome of every entry, with the whole text.
pub(super) fn entries(folder: &Path) -> (Vec<(Kind, String, String, String)>, String) {
    let mut trail = Trail::default();
    let (mut entries, mut text) = (Vec::new(), String::new());
    for path in folder::files(&folder.join("audit")).unwrap() {
        let bytes = folder::read(&path).unwrap();
        let read = trail.read(&bytes, |entry, _| {
            let texts = [&entry.who, &entry.what, &entry.outcome].map(ToString::to_string);
            let [who, what, outcome] = texts;
            entries.push((entry.kind, who, what, outcome));
        });
        read.unwrap();
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    trail.finish().unwrap();
    (entries, text)
}

#[test]
fn the_audit_has_every_decision_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let bearer = format!("Bearer {ADMIN}");
    let path = format!("/kbs/v0/resource/{PATH}");
    let stored = world.post(&path, &[("Authorization", &bearer)], SECRET);
    assert_eq!(stored.status, 200);
    let guest = Guest::challenged(&world);
    let token = guest.token(&world, "1");
    assert_eq!(fetch(&world, PATH, &token).status, 200);
    assert_eq!(fetch(&world, "other/key/one", &token).status, 401);
    let (entries, text) = entries(folder.path());
    let kinds: Vec<Kind> = entries.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::Start,
            Kind::Admin,
            Kind::Admin,
            Kind::Attest,
            Kind::Release,
            Kind::Refusal
        ]
    );
    let outcomes: Vec<&str> = entries.iter().map(|entry| entry.3.as_str()).collect();
    assert_eq!(
        outcomes,
        ["ok", "asked", "ok", "affirming", "ok", "PolicyDeny"]
    );
    assert_eq!(entries[1].1, "admin:of the test");
    assert_eq!(entries[2].2, format!("write resources {PATH}"));
    // The round is tied together by the key that it was for.
    assert!(entries[3].1.starts_with("tee:"));
    assert_eq!(entries[3].1, entries[4].1);
    assert_eq!(entries[4].2, PATH);
    assert_eq!(entries[5].2, "/kbs/v0/resource/other/key/one");
    for secret in [
        ADMIN,
        token.as_str(),
        guest.nonce.as_str(),
        std::str::from_utf8(SECRET).unwrap(),
    ] {
        assert!(!text.contains(secret));
    }
}

#[test]
fn nothing_is_released_that_the_audit_cannot_take() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    world.put(PATH, SECRET);
    let guest = Guest::challenged(&world);
    let token = guest.token(&world, "1");
    world.service.watch.audit.set_full(true);
    let refused = fetch(&world, PATH, &token);
    refused.assert_refused(500, "InternalError");
    assert!(guest.open(&refused).is_none());
    let other = Guest::challenged(&world);
    other
        .attest(&world, "1")
        .assert_refused(500, "InternalError");
    let bearer = format!("Bearer {ADMIN}");
    let path = "/kbs/v0/resource/demo/key/new";
    let stored = world.post(path, &[("Authorization", &bearer)], b"x");
    stored.assert_refused(500, "InternalError");
    assert!(world.service.watch.audit.is_refusing());
    fetch(&world, "demo/key/new", &token).assert_refused(404, "ResourceNotFound");
}

/// The names of admins, and how near credentials came to each, are for those who look after the service.
#[test]
fn who_is_no_admin_is_not_told_who_is_and_the_audit_is() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let path = format!("/kbs/v0/resource/{PATH}");
    let refused = world.post(&path, &[("Authorization", "Bearer x")], b"x");
    refused.assert_refused(401, "AdminAuthError");
    let detail = refused.error().detail;
    assert_eq!(
        detail,
        "neither the token nor the client certificate is an admin's"
    );
    let (_, text) = entries(folder.path());
    assert!(
        text.contains("is an admin's: of the test: another token"),
        "{text}"
    );
}

#[test]
fn what_admins_fail_at_names_who_tried_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let web = Namespaces::These(vec!["web".to_owned()]);
    let world = World::of(Plan {
        audit: audit_of(folder.path()),
        // Which has told none: who asks for them meets a failure.
        follows_store: true,
        admins: vec![
            ("of-policies", &[Role::Policies], Namespaces::All),
            ("of-web", &[Role::Resources], web),
        ],
        ..Plan::default()
    });
    let ask = |method, path: &str, token: &str, expected: Option<(&str, &str)>| {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.extend(expected);
        let (headers, body) = (headers.as_slice(), b"x".as_slice());
        world.ask(&HttpRequest {
            method,
            path,
            headers,
            body,
        })
    };
    let path = format!("/kbs/v0/resource/{PATH}");
    let policies = "/kbs/v0/nitride/policies";
    ask("GET", policies, "of-policies", None).assert_refused(503, "StoreError");
    ask("POST", &path, "of-web", None).assert_refused(403, "AdminForbidden");
    let third = Some(("If-Match", "\"3\""));
    ask("POST", &path, ADMIN, third).assert_refused(412, "Conflict");
    ask("POST", &path, "nobody", None).assert_refused(401, "AdminAuthError");
    // Of the same source, in the same second.
    let web = "/kbs/v0/resource/web/key/one";
    ask("POST", web, "of-web", third).assert_refused(412, "Conflict");
    let (entries, _) = entries(folder.path());
    let failed = entries
        .iter()
        .filter(|(kind, ..)| [Kind::Failure, Kind::Refusal].contains(kind));
    let failed: Vec<_> = failed
        .map(|(kind, who, what, outcome)| (*kind, who.as_str(), what.as_str(), outcome.as_str()))
        .collect();
    let path = path.as_str();
    assert_eq!(
        failed,
        [
            (Kind::Failure, "admin:of-policies", policies, "StoreError"),
            (Kind::Refusal, "admin:of-web", path, "AdminForbidden"),
            (Kind::Refusal, "admin:of the test", path, "Conflict"),
            (Kind::Refusal, "", path, "AdminAuthError"),
            (Kind::Refusal, "admin:of-web", web, "Conflict"),
        ]
    );
}
