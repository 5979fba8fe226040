//! Policies and reference values that admins put, and that replicas take up.

mod following;

use super::world::{Answer, Guest, HttpRequest, PATH, Plan, RULES, SECRET, World, fetch};
use crate::admin::{Namespaces, Role};
use crate::policy_set::PolicySet;
use crate::store::memory::MemoryStore;
use crate::store::{RecordName, Store, Under};
use std::sync::Arc;
use std::thread;

const ATTESTATION: &str = "version = 1\ndanger-accept-sample = true\ndanger-test-anchors = []\n\
    [sample]\nsvn = [\"1\"]\n";
const TOML: &str = "application/toml";

/// A replica of a store, with admins of policies, of one tenant's, and of reference values.
fn replica(store: &Arc<dyn Store>) -> World {
    let web = Namespaces::These(vec!["web".to_owned()]);
    let world = World::of(Plan {
        store: store.clone(),
        follows_store: true,
        admins: vec![
            (
                "everything",
                &[Role::Policies, Role::ReferenceValues],
                Namespaces::All,
            ),
            ("of-web", &[Role::Policies, Role::ReferenceValues], web),
            ("of-values", &[Role::ReferenceValues], Namespaces::All),
        ],
        ..Plan::default()
    });
    world.look();
    world
}

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

/// A replica that has the policies of other tests.
fn governed() -> World {
    let world = replica(&store());
    for (name, text) in [("attestation", ATTESTATION), ("resource", RULES)] {
        let name = format!("policies/{name}");
        assert_eq!(
            put(&world, "everything", &name, TOML, text, None).status,
            200
        );
    }
    world
}

fn ask(
    world: &World,
    (method, admin): (&str, &str),
    path: &str,
    more: &[(&str, &str)],
    body: &str,
) -> Answer {
    let bearer = format!("Bearer {admin}");
    let headers = [&[("Authorization", bearer.as_str())], more].concat();
    world.ask(&HttpRequest {
        method,
        path: &format!("/kbs/v0/nitride/{path}"),
        headers: &headers,
        body: body.as_bytes(),
    })
}

fn put(
    world: &World,
    admin: &str,
    name: &str,
    form: &str,
    text: &str,
    expected: Option<(&str, &str)>,
) -> Answer {
    let mut headers = vec![("Content-Type", form)];
    headers.extend(expected);
    ask(world, ("PUT", admin), name, &headers, text)
}

fn is_served(world: &World) -> bool {
    let guest = Guest::challenged(world);
    let token = guest.token(world, "1");
    let answer = fetch(world, PATH, &token);
    guest.open(&answer).as_deref() == Some(SECRET)
}

#[test]
fn nothing_is_judged_before_policies_were_put_and_then_by_these() {
    let store = store();
    let unknown = World::of(Plan {
        store: store.clone(),
        follows_store: true,
        ..Plan::default()
    });
    let request = br#"{"version":"0.4.0","tee":"sample","extra-params":{}}"#;
    unknown
        .post("/kbs/v0/auth", &[], request)
        .assert_refused(503, "StoreError");
    let world = replica(&store);
    world.put(PATH, SECRET);
    let request = br#"{"version":"0.4.0","tee":"snp","extra-params":{}}"#;
    world
        .post("/kbs/v0/auth", &[], request)
        .assert_refused(400, "UnsupportedTee");
    let put = |name: &str, text| put(&world, "everything", name, TOML, text, None);
    let stored = put("policies/attestation", ATTESTATION);
    assert_eq!((stored.status, stored.header("etag")), (200, Some("\"1\"")));
    assert!(!is_served(&world));
    assert_eq!(
        put("policies/resource", RULES).header("etag"),
        Some("\"2\"")
    );
    assert!(is_served(&world));
    let read = ask(&world, ("GET", "everything"), "policies/resource", &[], "");
    assert_eq!(read.body, RULES.as_bytes());
    assert_eq!(read.header("etag"), Some("\"2\""));
    assert_eq!(read.header("content-type"), Some(TOML));
    let list = ask(&world, ("GET", "everything"), "policies", &[], "");
    let list: serde_json::Value = serde_json::from_slice(&list.body).unwrap();
    assert_eq!(list["set"], 2);
    assert_eq!(list["documents"][1]["name"], "policies/resource");
    assert_eq!(list["documents"][1]["version"], 2);
}

#[test]
fn what_one_replica_was_told_another_obeys() {
    let store = store();
    let (here, there) = (replica(&store), replica(&store));
    here.put(PATH, SECRET);
    for (name, text) in [("attestation", ATTESTATION), ("resource", RULES)] {
        put(
            &here,
            "everything",
            &format!("policies/{name}"),
            TOML,
            text,
            None,
        );
    }
    there.look();
    assert!(is_served(&here) && is_served(&there));
    put(
        &here,
        "everything",
        "policies/resource",
        TOML,
        "version = 1\n",
        None,
    );
    there.look();
    assert!(!is_served(&here) && !is_served(&there));
}

#[test]
fn what_cannot_be_a_policy_is_refused_and_the_old_one_stays() {
    let world = governed();
    world.put(PATH, SECRET);
    let foreign = RULES.replace("demo/**", "other/**");
    for (name, text, word) in [
        (
            "policies/resource",
            "version = 9\n",
            "policies/resource:1: version 9",
        ),
        ("policies/resource", "not toml", "policies/resource:1:"),
        (
            "policies/attestation",
            "version = 1\n",
            "policies/attestation:",
        ),
        // It would refuse every report for want of AMD's lists.
        (
            "policies/attestation",
            include_str!("../../../../../examples/config/service/attestation-snp.toml"),
            "revocation list",
        ),
        ("policies/tenant/web", &foreign, "is not of web"),
        (
            "reference-values/attestation",
            "version = 1\n",
            "begins with no table",
        ),
        (
            "reference-values/attestation",
            "[[snp.reference]]\nname = \"a\"\n",
            "reference-values",
        ),
    ] {
        let refused = put(&world, "everything", name, TOML, text, None);
        refused.assert_refused(422, "PolicyRefused");
        let detail = refused.error().detail;
        assert!(detail.contains(word), "{detail}");
    }
    let bytes = HttpRequest {
        method: "PUT",
        path: "/kbs/v0/nitride/policies/resource",
        headers: &[
            ("Authorization", "Bearer everything"),
            ("Content-Type", TOML),
        ],
        body: b"\xff",
    };
    world.ask(&bytes).assert_refused(422, "PolicyRefused");
    let values = put(
        &world,
        "everything",
        "reference-values/named",
        "application/json",
        "{}",
        None,
    );
    values.assert_refused(422, "PolicyRefused");
    let long = "#".repeat(512 * 1024 + 1);
    let refused = put(&world, "everything", "policies/resource", TOML, &long, None);
    refused.assert_refused(413, "RequestTooLarge");
    assert!(is_served(&world));
    // And nothing of it lies in the store.
    let texts = RecordName::parse("policy/text").unwrap();
    let listing = world.store(world.service.store.list(Under::Records(&texts)));
    assert_eq!(listing.unwrap().places.len(), 2);
}

#[test]
fn a_document_is_written_in_its_form_and_by_its_name() {
    let world = governed();
    for (name, form) in [
        ("policies/attestation", "text/plain"),
        ("policies/appraisal", TOML),
        ("policies/resource", "application/json"),
        ("reference-values/named", TOML),
        ("reference-values/attestation", "text/plain"),
    ] {
        let refused = put(&world, "everything", name, form, "version = 1\n", None);
        refused.assert_refused(400, "InvalidRequest");
    }
    for name in [
        "policies/other",
        "policies/tenant/a/b",
        "policies/tenant/%61",
    ] {
        let refused = put(&world, "everything", name, TOML, "version = 1\n", None);
        refused.assert_refused(404, "NotFound");
    }
    for name in ["policies/attestation", "policies/resource"] {
        ask(&world, ("DELETE", "everything"), name, &[], "")
            .assert_refused(405, "MethodNotAllowed");
    }
}

#[test]
fn a_tenants_admin_has_his_tenants_policy_and_no_other() {
    let world = governed();
    let rules = RULES.replace("demo", "web");
    let stored = put(&world, "of-web", "policies/tenant/web", TOML, &rules, None);
    assert_eq!(stored.status, 200);
    for name in [
        "policies/tenant/demo",
        "policies/resource",
        "policies/attestation",
    ] {
        put(&world, "of-web", name, TOML, "version = 1\n", None)
            .assert_refused(403, "AdminForbidden");
        ask(&world, ("GET", "of-web"), name, &[], "").assert_refused(403, "AdminForbidden");
        ask(&world, ("DELETE", "of-web"), name, &[], "").assert_refused(403, "AdminForbidden");
    }
    put(
        &world,
        "of-web",
        "reference-values/attestation",
        TOML,
        "",
        None,
    )
    .assert_refused(403, "AdminForbidden");
    ask(&world, ("GET", "of-web"), "policies", &[], "").assert_refused(403, "AdminForbidden");
    let own = ask(&world, ("GET", "of-web"), "policies?namespace=web", &[], "");
    let own: serde_json::Value = serde_json::from_slice(&own.body).unwrap();
    assert_eq!(own["documents"].as_array().unwrap().len(), 1);
    // Whoever has reference values has no policy, and the other way round nobody has both for nothing.
    put(
        &world,
        "of-values",
        "policies/resource",
        TOML,
        "version = 1\n",
        None,
    )
    .assert_refused(403, "AdminForbidden");
    put(
        &world,
        "nobody",
        "policies/resource",
        TOML,
        "version = 1\n",
        None,
    )
    .assert_refused(401, "AdminAuthError");
    assert_eq!(
        ask(&world, ("DELETE", "of-web"), "policies/tenant/web", &[], "").status,
        200
    );
    ask(&world, ("DELETE", "of-web"), "policies/tenant/web", &[], "")
        .assert_refused(404, "NotFound");
}

#[test]
fn reference_values_say_which_images_and_nothing_else() {
    let world = governed();
    world.put(PATH, SECRET);
    let none = ATTESTATION.replace("\"1\"", "");
    put(
        &world,
        "everything",
        "policies/attestation",
        TOML,
        &none,
        None,
    );
    assert!(!is_served(&world));
    let values = "[[sample.reference]]\nname = \"web 1\"\nsvn = \"1\"\n";
    let stored = put(
        &world,
        "of-values",
        "reference-values/attestation",
        TOML,
        values,
        None,
    );
    assert_eq!(
        stored.status,
        200,
        "{}",
        String::from_utf8_lossy(&stored.body)
    );
    assert!(is_served(&world));
    let name = "reference-values/attestation";
    assert_eq!(
        ask(&world, ("DELETE", "of-values"), name, &[], "").status,
        200
    );
    assert!(!is_served(&world));
}

#[test]
fn of_many_who_saw_one_version_one_changes_it() {
    let store = store();
    let (here, there) = (replica(&store), replica(&store));
    put(
        &here,
        "everything",
        "policies/attestation",
        TOML,
        ATTESTATION,
        None,
    );
    put(&here, "everything", "policies/resource", TOML, RULES, None);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let racing: Vec<_> = (0..8)
            .map(|number| {
                let world = [&here, &there][number % 2];
                let text = format!("{RULES}# {number}\n");
                let name = "policies/resource";
                let seen = Some(("If-Match", "\"2\""));
                scope.spawn(move || put(world, "everything", name, TOML, &text, seen).status)
            })
            .collect();
        racing.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let won = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(won, 1, "{statuses:?}");
    assert!(
        statuses.iter().all(|status| [200, 412].contains(status)),
        "{statuses:?}"
    );
    // Those of different tenants hinder nobody.
    thread::scope(|scope| {
        for number in 0..8 {
            let (world, name) = (
                [&here, &there][number % 2],
                format!("policies/tenant/t{number}"),
            );
            scope.spawn(move || {
                let absent = Some(("If-None-Match", "*"));
                let stored = put(world, "everything", &name, TOML, "version = 1\n", absent);
                assert_eq!(stored.status, 200);
            });
        }
    });
    let (set, _) = here
        .store(PolicySet::read(store.as_ref(), &PolicySet::default(), 0))
        .unwrap();
    assert_eq!((set.serial, set.documents().count()), (11, 10));
    let texts = RecordName::parse("policy/text").unwrap();
    let listing = here.store(store.list(Under::Records(&texts))).unwrap();
    assert_eq!(listing.places.len(), 10);
}

#[test]
fn where_the_policies_are_files_no_admin_changes_them() {
    let world = World::of(Plan {
        admins: vec![("everything", &[Role::Policies], Namespaces::All)],
        ..Plan::default()
    });
    let refused = put(
        &world,
        "everything",
        "policies/resource",
        TOML,
        "version = 1\n",
        None,
    );
    refused.assert_refused(404, "NotFound");
    ask(&world, ("GET", "everything"), "policies", &[], "").assert_refused(404, "NotFound");
}
