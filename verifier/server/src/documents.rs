//! The texts that judgements are made of, wherever they are kept: in files that the configuration
//! names, or in the store (`policy_set`), and never in both.

use crate::config::{PolicyFiles, read_text};
use crate::policies::PolicyError;
use nitride_kbs::resource::ResourcePath;
use nitride_verify::AttestationPolicy;
use nitride_verify::strict_toml::FileError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::{Table, Value};

/// More tenants than this want a service of their own.
pub(crate) const MAX_TENANTS: usize = 10_000;
/// `azure.snp.reference`: no list of reference values lies deeper.
const MAX_DEPTH: usize = 2;
const VALUES_REMEDY: &str = "write [[set]] and [[TEE.reference]] alone; the rest is the policy's";

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Form {
    Toml,
    Rego,
    Json,
}

impl Form {
    /// How it is named over HTTP.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Toml => "application/toml",
            Self::Json => "application/json",
            // As OPA's API has it: Rego has no type of its own.
            Self::Rego => "text/plain",
        }
    }
}

/// One text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    /// Its name for people: a file's path, or the name in the store.
    pub(crate) file: String,
    pub(crate) form: Form,
    pub(crate) text: Arc<str>,
}

/// Which of the tenants' documents keep all the others from being in force if they cannot be read. Those
/// of the service always do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Strict {
    /// Each: they are one operator's, who reads why.
    All,
    /// Only this tenant's, which is being put. Those that are in force already were checked, by another
    /// replica perhaps, and a tenant is not to decide over all others.
    Put(Option<String>),
}

/// All of them.
#[derive(Debug, Clone)]
pub(crate) struct Documents {
    pub(crate) strict: Strict,
    pub(crate) attestation: Document,
    /// Reference values that are kept apart from the attestation policy, which they follow.
    pub(crate) attestation_values: Option<Document>,
    pub(crate) resource: Document,
    /// By repository.
    pub(crate) tenants: BTreeMap<String, Document>,
    pub(crate) appraisal: Option<Document>,
    /// What the appraisal asks for by name.
    pub(crate) named_values: Option<Document>,
}

impl Document {
    /// Reads a file: Rego or JSON where its name ends so, else TOML.
    pub(crate) fn of_file(path: &Path) -> Result<Self, PolicyError> {
        Ok(Self {
            file: path.display().to_string(),
            form: match path.extension().and_then(OsStr::to_str) {
                Some("rego") => Form::Rego,
                Some("json") => Form::Json,
                _ => Form::Toml,
            },
            text: read_text(path)?.into(),
        })
    }

    /// The same text, whatever its file's name says of its form.
    fn written_as(self, form: Form) -> Self {
        Self { form, ..self }
    }
}

impl Documents {
    /// Reads every file that the configuration names.
    pub(crate) fn of_files(files: &PolicyFiles) -> Result<Self, PolicyError> {
        let mut tenants = BTreeMap::new();
        if let Some(folder) = &files.tenants {
            for path in files_of(folder)? {
                let repository = repository_of(&path)?;
                let document = Document::of_file(&path)?;
                if tenants.insert(repository.clone(), document).is_some() {
                    let folder = folder.clone();
                    return Err(PolicyError::Twice { repository, folder });
                }
            }
        }
        let optional = |path: &Option<PathBuf>, form| {
            let read = path.as_deref().map(Document::of_file).transpose()?;
            Ok::<_, PolicyError>(read.map(|document| document.written_as(form)))
        };
        Ok(Self {
            strict: Strict::All,
            attestation: Document::of_file(&files.attestation)?.written_as(Form::Toml),
            attestation_values: None,
            resource: Document::of_file(&files.resource)?,
            tenants,
            appraisal: optional(&files.appraisal, Form::Rego)?,
            named_values: optional(&files.reference_values, Form::Json)?,
        })
    }

    /// Whether this tenant's document is to be good, or nothing is.
    pub(crate) fn is_strict(&self, repository: &str) -> bool {
        match &self.strict {
            Strict::All => true,
            Strict::Put(put) => put.as_deref() == Some(repository),
        }
    }

    /// The attestation policy with its reference values, and the text that it was read from.
    pub(crate) fn attestation_policy(&self) -> Result<(AttestationPolicy, String), PolicyError> {
        let Document { file, text, .. } = &self.attestation;
        let Some(values) = &self.attestation_values else {
            return Ok((AttestationPolicy::parse(text, file)?, text.to_string()));
        };
        check_table(file, text)?;
        check_values(values)?;
        // An array of tables goes on where it is named again. What the values' first line belongs to is
        // theirs to say, and not the policy's last table: they begin with a header.
        let both = format!("{text}\n{}", values.text);
        let above = u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX);
        let above = above.saturating_add(1);
        let policy = AttestationPolicy::parse(&both, file).map_err(|error| {
            match error.line.checked_sub(above).filter(|line| *line > 0) {
                Some(line) => FileError {
                    file: values.file.clone(),
                    line,
                    ..error
                },
                None => error,
            }
        })?;
        Ok((policy, both))
    }
}

/// A text that is a whole TOML document by itself.
fn check_table(file: &str, text: &str) -> Result<Table, FileError> {
    toml::from_str(text).map_err(|error| FileError {
        file: file.to_owned(),
        line: 1,
        reason: error.message().trim_end().replace('\n', ", "),
        remedy: "write TOML".to_owned(),
    })
}

/// Whoever sets reference values says which images are wanted, and nothing else of a policy.
fn check_values(values: &Document) -> Result<(), FileError> {
    let refused = |reason: String| FileError {
        file: values.file.clone(),
        line: 1,
        reason,
        remedy: VALUES_REMEDY.to_owned(),
    };
    let table = check_table(&values.file, &values.text)?;
    let mut lines = values.text.lines().map(str::trim_start);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    if first.is_some_and(|line| !line.starts_with('[')) {
        return Err(refused("it begins with no table".to_owned()));
    }
    match stranger(&table, 0) {
        None => Ok(()),
        Some(key) => Err(refused(format!("{key:?} is no list of reference values"))),
    }
}

/// What of a table is neither a list of reference values nor, at the top, one of sets.
fn stranger(table: &Table, depth: usize) -> Option<&str> {
    table.iter().find_map(|(key, value)| match value {
        Value::Array(_) if key == "reference" && depth > 0 => None,
        Value::Array(_) if key == "set" && depth == 0 => None,
        Value::Table(inner) if depth < MAX_DEPTH => stranger(inner, depth + 1),
        _ => Some(key.as_str()),
    })
}

/// The files of a folder, but for hidden ones, by name.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, PolicyError> {
    let unreadable = |source| PolicyError::Folder {
        folder: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        files.push(path);
        if files.len() > MAX_TENANTS {
            let folder = folder.to_owned();
            return Err(PolicyError::TooMany { folder });
        }
    }
    files.sort();
    Ok(files)
}

/// `REPOSITORY.toml` or `REPOSITORY.rego`.
fn repository_of(path: &Path) -> Result<String, PolicyError> {
    let stranger = || PolicyError::Stranger {
        file: path.to_owned(),
    };
    let form = path.extension().and_then(OsStr::to_str);
    let stem = path.file_stem().and_then(OsStr::to_str);
    let (Some("toml" | "rego"), Some(stem)) = (form, stem) else {
        return Err(stranger());
    };
    let probe = ResourcePath::parse(&format!("{stem}/type/tag")).map_err(|_| stranger())?;
    Ok(probe.repository().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "version = 1\ndanger-accept-sample = true\ndanger-test-anchors = []\n\
        [sample]\nsvn = []\n";

    fn documents(values: &str) -> Documents {
        let document = |file: &str, text: &str| Document {
            file: file.to_owned(),
            form: Form::Toml,
            text: text.into(),
        };
        Documents {
            strict: Strict::All,
            attestation: document("policy", POLICY),
            attestation_values: Some(document("values", values)),
            resource: document("resource", "version = 1\n"),
            tenants: BTreeMap::new(),
            appraisal: None,
            named_values: None,
        }
    }

    #[test]
    fn values_that_are_kept_apart_are_the_policy_s() {
        let good = "# of the pipeline\n\n[[set]]\nname = \"one\"\nvalid-from = \"any\"\n\
            valid-until = \"any\"\n[[sample.reference]]\nname = \"web\"\nset = \"one\"\nsvn = \"7\"\n";
        let (apart, text) = documents(good).attestation_policy().unwrap();
        let together = AttestationPolicy::parse(&format!("{POLICY}\n{good}"), "policy").unwrap();
        assert_eq!(apart, together);
        assert!(text.starts_with(POLICY) && text.ends_with(good));
        assert!(documents("").attestation_policy().is_ok());
    }

    #[test]
    fn values_say_nothing_else_of_a_policy() {
        for bad in [
            "svn = [\"2\"]\n",
            "# svn\nsvn = [\"2\"]\n",
            "sample.svn = [\"2\"]\n",
            "[sample]\nsvn = [\"2\"]\n",
            "[snp]\ndanger-allow-debug = true\n",
            "[[danger-test-anchors]]\nx = 1\n",
            "[[reference]]\nname = \"web\"\nsvn = \"7\"\n",
            "[[sample.set]]\nname = \"one\"\n",
            "[sample.reference]\nname = \"web\"\nsvn = \"7\"\n",
            "[[a.b.c.d.reference]]\nname = \"web\"\n",
            "set = []\n",
            "sample = { reference = [] }\n",
            "[[sample.reference]\n",
            "\"\"\"",
            "[gpu]\n",
        ] {
            let error = documents(bad).attestation_policy().unwrap_err();
            assert!(error.to_string().starts_with("values:"), "{bad}: {error}");
        }
        // Nor what the policy leaves unsaid: another TEE, or what its last line is followed by.
        for bad in ["[sample]\nsvn = [\"2\"]\n", "set = []\n"] {
            let mut documents = documents(bad);
            documents.attestation.text = POLICY.split_once("[sample]").unwrap().0.into();
            let error = documents.attestation_policy().unwrap_err();
            assert!(error.to_string().starts_with("values:"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_mistake_is_told_by_its_own_file_and_line() {
        let bad = "[[sample.reference]]\nname = \"web\"\nsvn = 7\n";
        let error = documents(bad).attestation_policy().unwrap_err();
        assert!(error.to_string().starts_with("values:3:"), "{error}");
        let mut documents = documents("");
        documents.attestation.text = POLICY.replace("[]\n[sample]", "7\n[sample]").into();
        let error = documents.attestation_policy().unwrap_err();
        assert!(error.to_string().starts_with("policy:3:"), "{error}");
    }
}
