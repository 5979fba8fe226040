use super::*;
use crate::config::PolicyFiles;
use crate::documents::Strict;
use crate::token::tests::{NOW_SECS, issuer, runtime, verdict};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;

fn rules(resources: &str) -> String {
    format!(
        "version = 1\n[[rule]]\nname = \"one\"\nresources = [\"{resources}\"]\n\
         status = \"affirming\"\ntee = [\"sample\"]\ndanger-allow-simulated = true\n\
         danger-allow-debug = false\nclaims = {{}}\n"
    )
}

fn document(file: &str, form: Form, text: &str) -> Document {
    Document {
        file: file.to_owned(),
        form,
        text: text.into(),
    }
}

/// As the store has them.
fn documents(tenants: &[(&str, Document)], put: Option<&str>) -> Documents {
    Documents {
        strict: Strict::Put(put.map(str::to_owned)),
        attestation: document("attestation", Form::Toml, "version = 1\n"),
        attestation_values: None,
        resource: document("resource", Form::Toml, &rules("**")),
        tenants: tenants
            .iter()
            .map(|(name, document)| ((*name).to_owned(), document.clone()))
            .collect(),
        appraisal: None,
        named_values: None,
    }
}

/// A folder with the service's policy and its tenants'. No Rego: its process is the program's.
struct Folder(TempDir);

impl Folder {
    fn with(tenants: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.0.path().join("resource.toml"), rules("**")).unwrap();
        fs::create_dir(folder.0.path().join("d")).unwrap();
        for (name, text) in tenants {
            fs::write(folder.0.path().join("d").join(name), text).unwrap();
        }
        folder
    }

    fn load(&self) -> Result<Policies, PolicyError> {
        let files = PolicyFiles {
            attestation: self.0.path().join("resource.toml"),
            resource: self.0.path().join("resource.toml"),
            tenants: Some(self.0.path().join("d")),
            appraisal: None,
            reference_values: None,
        };
        let documents = Documents::of_files(&files)?;
        let evaluators = Evaluators::new(Duration::from_secs(1));
        Policies::read(&documents, &evaluators, None)
    }
}

fn decided(policies: &Policies, path: &str) -> Result<String, Denied> {
    let issuer = issuer();
    let token = issuer
        .issue(&verdict("1"), &runtime(), None, NOW_SECS)
        .unwrap();
    let token = issuer.accept(&token, NOW_SECS).unwrap();
    let path = ResourcePath::parse(path).unwrap();
    let evaluators = Evaluators::new(Duration::from_secs(1));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let allowed = runtime.block_on(policies.decide(&evaluators, &token, &path))?;
    assert_eq!(*allowed.tee_key(), token.tee_key());
    assert_eq!(allowed.path(), &path);
    Ok(allowed.rule().to_owned())
}

#[test]
fn a_tenant_is_decided_by_its_own_policy_alone() {
    let folder = Folder::with(&[
        ("closed.toml", "version = 1\n"),
        ("half.toml", &rules("half/open/*")),
        (".hidden.toml", "not even a policy"),
    ]);
    let policies = folder.load().unwrap();
    assert_eq!(policies.tenants_count(), 2);
    assert!(decided(&policies, "other/key/one").is_ok());
    assert!(decided(&policies, "half/open/one").is_ok());
    for path in ["half/key/one", "closed/key/one"] {
        let denied = decided(&policies, path).unwrap_err();
        assert!(matches!(denied, Denied::NotNamed { .. }), "{denied}");
    }
}

#[test]
fn a_tenants_policy_that_is_not_one_is_an_error_and_nobody_elses() {
    for (files, word) in [
        (&[("a.toml", "version = 2\n")][..], "version 2"),
        (&[("a.toml", rules("b/**").as_str())], "is not of a"),
        (&[("a.txt", "")], "no tenant's policy"),
        (&[("a b.toml", "version = 1\n")], "no tenant's policy"),
        (&[("noextension", "version = 1\n")], "no tenant's policy"),
    ] {
        let error = Folder::with(files).load().unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    let folder = Folder::with(&[]);
    fs::remove_dir(folder.0.path().join("d")).unwrap();
    assert!(matches!(folder.load(), Err(PolicyError::Folder { .. })));
}

#[test]
fn each_policys_text_is_under_the_digest() {
    let digested = |folder: Folder| -> Vec<String> {
        let policies = folder.load().unwrap();
        policies.texts().map(str::to_owned).collect()
    };
    let one = digested(Folder::with(&[("a.toml", "version = 1\n")]));
    let other = digested(Folder::with(&[("b.toml", "version = 1\n")]));
    assert_ne!(one, other);
    assert_eq!(one, digested(Folder::with(&[("a.toml", "version = 1\n")])));
}

#[test]
fn what_one_tenant_has_in_the_store_closes_its_own_resources_alone() {
    let evaluators = Evaluators::new(Duration::from_secs(1));
    let toml = |text: &str| document("policies/tenant/bad", Form::Toml, text);
    let good = ("good", document("good", Form::Toml, &rules("good/**")));
    let tenants = [("bad", toml("version = 2\n")), good.clone()];
    let policies = Policies::read(&documents(&tenants, None), &evaluators, None).unwrap();
    for path in ["good/key/one", "other/key/one"] {
        decided(&policies, path).unwrap();
    }
    let denied = decided(&policies, "bad/key/one").unwrap_err().to_string();
    assert!(denied.contains("version 2"), "{denied}");
    let faults: Vec<_> = policies.faults().map(|(name, _)| name).collect();
    assert_eq!(faults, ["bad"]);
    // Who puts it is told, also where it was taken up before; who puts another is not kept from it.
    for before in [None, Some(&policies)] {
        let put = documents(&tenants, Some("bad"));
        let error = Policies::read(&put, &evaluators, before).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
        let put = documents(&tenants, Some("good"));
        Policies::read(&put, &evaluators, before).unwrap();
    }
    // The service's own is good or there is none.
    let mut own = documents(&[good], None);
    own.resource = toml("version = 2\n");
    Policies::read(&own, &evaluators, None).unwrap_err();
    // It is whole again with the next one that is.
    let tenants = [("bad", toml(&rules("bad/**")))];
    let policies = Policies::read(&documents(&tenants, None), &evaluators, Some(&policies));
    let policies = policies.unwrap();
    decided(&policies, "bad/key/one").unwrap();
    assert_eq!(policies.faults().count(), 0);
}

#[test]
fn a_tenants_turns_outlive_each_text_of_its_policy() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    let yes = "#!/bin/sh\nwhile [ -n \"$(dd bs=65536 count=1 2>/dev/null | tr -d '\\000')\" ]; do\n\
        printf '\\000\\000\\000\\014{\"Yes\":null}' >&0\ndone\n";
    fs::write(&program, yes).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let read = |evaluators: &Evaluators, text: &str, before: Option<&Policies>| {
        let tenants = [("acme", document("acme", Form::Rego, text))];
        Policies::read(&documents(&tenants, Some("acme")), evaluators, before).unwrap()
    };
    let turns = |policies: &Policies| match &policies.tenants["acme"].decider {
        Decider::Rego { turns, .. } => turns.clone(),
        other => panic!("{other:?}"),
    };
    let patience = Duration::from_secs(1);
    let evaluators = || Evaluators::of(&program, patience, patience, 2);
    let (one, other) = (evaluators(), evaluators());
    let first = read(&one, "package policy\n", None);
    let second = read(&one, "package policy\n# changed\n", Some(&first));
    assert!(turns(&first).are(&turns(&second)));
    let strange = read(&other, "package policy\n", None);
    assert!(!turns(&first).are(&turns(&strange)));
}
