//! What documents there can be, and how each may be written.

use crate::documents::Form;
use nitride_kbs::resource::ResourcePath;
use std::fmt;

/// What a document is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DocumentName {
    Attestation,
    Resource,
    Appraisal,
    /// Of a repository.
    Tenant(String),
    /// What follows the attestation policy.
    AttestationValues,
    /// What the appraisal asks for by name.
    NamedValues,
}

impl DocumentName {
    /// `policies/attestation`, `policies/resource`, `policies/appraisal`, `policies/tenant/REPOSITORY`,
    /// `reference-values/attestation` or `reference-values/named`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "policies/attestation" => Self::Attestation,
            "policies/resource" => Self::Resource,
            "policies/appraisal" => Self::Appraisal,
            "reference-values/attestation" => Self::AttestationValues,
            "reference-values/named" => Self::NamedValues,
            _ => {
                let repository = text.strip_prefix("policies/tenant/")?;
                let path = ResourcePath::parse(&format!("{repository}/t/t")).ok()?;
                let is_it = path.repository() == repository;
                is_it.then(|| Self::Tenant(repository.to_owned()))?
            }
        })
    }

    /// Whether it may be written so.
    pub(crate) fn takes(&self, form: Form) -> bool {
        match self {
            Self::Attestation | Self::AttestationValues => form == Form::Toml,
            Self::Resource | Self::Tenant(_) => matches!(form, Form::Toml | Form::Rego),
            Self::Appraisal => form == Form::Rego,
            Self::NamedValues => form == Form::Json,
        }
    }

    /// Whether it is one of the reference values.
    pub(crate) fn is_values(&self) -> bool {
        matches!(self, Self::AttestationValues | Self::NamedValues)
    }
}

impl fmt::Display for DocumentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attestation => f.write_str("policies/attestation"),
            Self::Resource => f.write_str("policies/resource"),
            Self::Appraisal => f.write_str("policies/appraisal"),
            Self::Tenant(repository) => write!(f, "policies/tenant/{repository}"),
            Self::AttestationValues => f.write_str("reference-values/attestation"),
            Self::NamedValues => f.write_str("reference-values/named"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_one_name_and_nothing_else_is_one() {
        for name in [
            "policies/attestation",
            "policies/resource",
            "policies/appraisal",
            "policies/tenant/web-1",
            "reference-values/attestation",
            "reference-values/named",
        ] {
            assert_eq!(DocumentName::parse(name).unwrap().to_string(), name);
        }
        for name in [
            "",
            "policies",
            "policies/",
            "policies/tenant/",
            "policies/tenant/a/b",
            "policies/tenant/..",
            "policies/tenant/kbs:///a",
            "policies/tenant/a%2fb",
            "policies/named",
            "reference-values/tenant/web",
            "policies/resource/",
        ] {
            assert!(DocumentName::parse(name).is_none(), "{name}");
        }
    }
}
