use super::*;
use crate::store::memory::MemoryStore;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

async fn put(store: &dyn Store, known: &PolicySet, text: &str) -> PolicySet {
    let (set, seen) = PolicySet::read(store, known, 0).await.unwrap();
    let fresh = Fresh::draw(Form::Toml, text).unwrap();
    fresh.write(store).await.unwrap();
    let next = set.with(&DocumentName::Resource, Some(&fresh)).unwrap();
    assert!(next.write(store, seen).await.unwrap());
    next
}

#[test]
fn a_set_reads_back_and_of_two_who_saw_one_the_second_is_refused() {
    runtime().block_on(async {
        let store = MemoryStore::default();
        let none = PolicySet::default();
        let one = put(&store, &none, "one").await;
        let (read, seen) = PolicySet::read(&store, &none, 0).await.unwrap();
        assert_eq!(read.serial, 1);
        let kept = read.document(&DocumentName::Resource).unwrap();
        assert_eq!((&*kept.text, kept.version().number()), ("one", 1));
        put(&store, &one, "two").await;
        let late = Fresh::draw(Form::Toml, "late").unwrap();
        let late = read.with(&DocumentName::Appraisal, Some(&late)).unwrap();
        assert!(!late.write(&store, seen).await.unwrap());
    });
}

#[test]
fn a_change_names_what_it_expects() {
    runtime().block_on(async {
        let set = put(&MemoryStore::default(), &PolicySet::default(), "one").await;
        let (there, absent) = (DocumentName::Resource, DocumentName::Appraisal);
        let version = |number| Expected::Version(Version::new(number));
        for (name, expected) in [
            (&there, Expected::Any),
            (&absent, Expected::Any),
            (&there, version(1)),
            (&absent, Expected::Absent),
        ] {
            set.check(name, expected).unwrap();
        }
        for (name, expected) in [
            (&there, Expected::Absent),
            (&there, version(2)),
            (&absent, version(1)),
        ] {
            let refused = set.check(name, expected).unwrap_err();
            assert!(
                matches!(refused, PolicySetError::Conflict { .. }),
                "{refused}"
            );
        }
        let none = set.with(&absent, None).unwrap_err();
        assert!(matches!(none, PolicySetError::NoSuch { .. }), "{none}");
    });
}

#[test]
fn a_set_below_the_stated_one_is_refused_by_who_has_seen_none() {
    runtime().block_on(async {
        let store = MemoryStore::default();
        let none = PolicySet::default();
        put(&store, &none, "one").await;
        assert!(PolicySet::read(&store, &none, 1).await.is_ok());
        for (store, found) in [(&store, 1), (&MemoryStore::default(), 0)] {
            let refused = PolicySet::read(store, &none, 2).await.unwrap_err();
            let told = refused.to_string();
            assert!(
                told.contains(&format!("set {found}")) && told.contains("wants 2"),
                "{told}"
            );
        }
    });
}

#[test]
fn what_is_no_set_is_not_read() {
    runtime().block_on(async {
        let entry = |form: &str, version: u64| {
            format!("{{\"form\":\"{form}\",\"version\":{version},\"text\":\"a\",\"sha256\":\"b\"}}")
        };
        for text in [
            String::new(),
            "{}".to_owned(),
            "{\"version\":2,\"serial\":1,\"documents\":{}}".to_owned(),
            "{\"version\":1,\"serial\":0,\"documents\":{}}".to_owned(),
            "{\"version\":1,\"serial\":1,\"documents\":{},\"more\":1}".to_owned(),
            format!(
                "{{\"version\":1,\"serial\":1,\"documents\":{{\"policies/x\":{}}}}}",
                entry("toml", 1)
            ),
            format!(
                "{{\"version\":1,\"serial\":1,\"documents\":{{\"policies/resource\":{}}}}}",
                entry("json", 1)
            ),
            format!(
                "{{\"version\":1,\"serial\":1,\"documents\":{{\"policies/resource\":{}}}}}",
                entry("toml", 2)
            ),
        ] {
            let store = MemoryStore::default();
            let place = Place::from(&RecordName::parse(POLICY_SET).unwrap());
            let bytes = Resource::new(text.clone().into_bytes());
            store.write(&place, bytes, Expected::Any).await.unwrap();
            let refused = PolicySet::read(&store, &PolicySet::default(), 0)
                .await
                .unwrap_err();
            assert!(
                matches!(refused, PolicySetError::Malformed),
                "{text}: {refused}"
            );
        }
    });
}

#[test]
fn a_set_is_strict_with_what_is_being_put_and_with_nothing_that_was() {
    runtime().block_on(async {
        let store = MemoryStore::default();
        let none = PolicySet::default();
        let fresh = Fresh::draw(Form::Toml, "version = 1\n").unwrap();
        fresh.write(&store).await.unwrap();
        let name = DocumentName::Tenant("acme".to_owned());
        let next = none.with(&name, Some(&fresh)).unwrap();
        let put = Strict::Put(Some("acme".to_owned()));
        assert_eq!(next.to_documents().strict, put);
        assert!(next.write(&store, Expected::Absent).await.unwrap());
        let (read, _) = PolicySet::read(&store, &next, 0).await.unwrap();
        assert_eq!(read.to_documents().strict, Strict::Put(None));
        let without = next.with(&name, None).unwrap();
        assert_eq!(without.to_documents().strict, Strict::Put(None));
    });
}
