use super::*;
use crate::config::PolicyFiles;
use crate::token::tests::{NOW_SECS, issuer, runtime, verdict};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;

fn rules(resources: &str) -> String {
    format!(
        "version = 1\n[[rule]]\nname = \"one\"\nresources = [\"{resources}\"]\n\
         status = \"affirming\"\ntee = [\"sample\"]\ndanger-allow-simulated = true\n\
         danger-allow-debug = false\nclaims = {{}}\n"
    )
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
