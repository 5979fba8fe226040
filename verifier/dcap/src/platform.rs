//! What a PCK certificate says about its platform: Intel's "SGX PCK Certificate and Certificate
//! Revocation List Profile Specification", section 1.3.5.
//!
//! `dcap-qvl` reads the same for itself, and [`PlatformFacts::agree_with`] compares.

use dcap_qvl::{PckCertFlag, PckIdentity};
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag, Tagged};
use nitride_verify::x509::Certificate;
use thiserror::Error;

/// The extension; all of its members are below it.
const SGX: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1");
const TCB: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.2");
const PCE_SVN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.2.17");
const CPU_SVN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.2.18");
const PCE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.3");
const FMSPC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.4");
const SGX_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.5");
const INSTANCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.6");
const CONFIGURATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.7");
const DYNAMIC_PLATFORM: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.7.1");
const CACHED_KEYS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.7.2");
const SMT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.7.3");

/// The profile has 7 members, of which the TCB has 18.
const MAX_MEMBERS: usize = 32;

/// What a PCK certificate says about its platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlatformFacts {
    pub(crate) cpu_svn: [u8; 16],
    pub(crate) pce_svn: u16,
    pub(crate) pce_id: [u8; 2],
    pub(crate) fmspc: [u8; 6],
    /// How memory of enclaves is protected: 0 standard, 1 scalable, 2 scalable with integrity.
    pub(crate) sgx_type: u8,
    /// Of platforms of the Platform CA, as are the three after it.
    pub(crate) instance: Option<[u8; 16]>,
    pub(crate) dynamic_platform: Option<bool>,
    pub(crate) cached_keys: Option<bool>,
    pub(crate) smt: Option<bool>,
}

/// Why a certificate is no PCK's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NoPlatform {
    #[error("the PCK certificate has no extension of Intel's SGX")]
    NoExtension,
    #[error("the PCK certificate's SGX extension is not of its form: {0}")]
    Form(#[from] der::Error),
    #[error("the PCK certificate's SGX extension has more than {MAX_MEMBERS} members")]
    TooMany,
    #[error("the PCK certificate's SGX extension has {0} twice")]
    Twice(ObjectIdentifier),
    #[error("the PCK certificate's SGX extension is without {0}")]
    Missing(ObjectIdentifier),
    #[error("in the PCK certificate's SGX extension {0} is not of its type and length")]
    Value(ObjectIdentifier),
}

impl PlatformFacts {
    pub(crate) fn of(pck: &Certificate) -> Result<Self, NoPlatform> {
        Self::read(pck.extension(&SGX).ok_or(NoPlatform::NoExtension)?)
    }

    fn read(extension: &[u8]) -> Result<Self, NoPlatform> {
        let members = Members::of(AnyRef::from_der(extension)?)?;
        let tcb = Members::of(members.required(TCB)?)?;
        let configuration = members.optional(CONFIGURATION);
        let configuration = configuration.map(Members::of).transpose()?;
        let flag = |oid| configuration.as_ref().map_or(Ok(None), |of| of.flag(oid));
        Ok(Self {
            cpu_svn: tcb.octets(CPU_SVN)?,
            pce_svn: tcb.number(PCE_SVN)?,
            pce_id: members.octets(PCE_ID)?,
            fmspc: members.octets(FMSPC)?,
            sgx_type: members.enumerated(SGX_TYPE)?,
            instance: match members.optional(INSTANCE) {
                Some(_) => Some(members.octets(INSTANCE)?),
                None => None,
            },
            dynamic_platform: flag(DYNAMIC_PLATFORM)?,
            cached_keys: flag(CACHED_KEYS)?,
            smt: flag(SMT)?,
        })
    }

    /// Whether the library has read the same.
    pub(crate) fn agree_with(&self, read: &PckIdentity) -> bool {
        read.cpu_svn == self.cpu_svn
            && read.pce_svn == self.pce_svn
            && read.pce_id == self.pce_id
            && read.fmspc == self.fmspc
            && read.sgx_type == self.sgx_type
            && read.platform_instance_id == self.instance
            && read.dynamic_platform == PckCertFlag::from(self.dynamic_platform)
            && read.cached_keys == PckCertFlag::from(self.cached_keys)
            && read.smt_enabled == PckCertFlag::from(self.smt)
    }
}

/// A sequence of pairs of a name and a value.
struct Members<'a>(Vec<(ObjectIdentifier, AnyRef<'a>)>);

impl<'a> Members<'a> {
    fn of(value: AnyRef<'a>) -> Result<Self, NoPlatform> {
        value.tag().assert_eq(Tag::Sequence)?;
        let mut reader = SliceReader::new(value.value())?;
        let mut members = Vec::new();
        while !reader.is_finished() {
            if members.len() == MAX_MEMBERS {
                return Err(NoPlatform::TooMany);
            }
            let (oid, value) = reader.sequence(|pair| {
                Ok::<_, der::Error>((ObjectIdentifier::decode(pair)?, AnyRef::decode(pair)?))
            })?;
            if members.iter().any(|(known, _)| *known == oid) {
                return Err(NoPlatform::Twice(oid));
            }
            members.push((oid, value));
        }
        Ok(Self(members))
    }

    fn optional(&self, oid: ObjectIdentifier) -> Option<AnyRef<'a>> {
        let found = self.0.iter().find(|(name, _)| *name == oid);
        found.map(|(_, value)| *value)
    }

    fn required(&self, oid: ObjectIdentifier) -> Result<AnyRef<'a>, NoPlatform> {
        self.optional(oid).ok_or(NoPlatform::Missing(oid))
    }

    fn octets<const N: usize>(&self, oid: ObjectIdentifier) -> Result<[u8; N], NoPlatform> {
        let value = self.required(oid)?;
        let octets = (value.tag() == Tag::OctetString).then_some(value.value());
        octets
            .and_then(|octets| octets.try_into().ok())
            .ok_or(NoPlatform::Value(oid))
    }

    fn number(&self, oid: ObjectIdentifier) -> Result<u16, NoPlatform> {
        let value = self.required(oid)?.decode_as::<u16>();
        value.map_err(|_| NoPlatform::Value(oid))
    }

    fn flag(&self, oid: ObjectIdentifier) -> Result<Option<bool>, NoPlatform> {
        let value = self.optional(oid).map(AnyRef::decode_as::<bool>);
        value.transpose().map_err(|_| NoPlatform::Value(oid))
    }

    fn enumerated(&self, oid: ObjectIdentifier) -> Result<u8, NoPlatform> {
        let value = self.required(oid)?;
        match (value.tag(), value.value()) {
            (Tag::Enumerated, [one]) => Ok(*one),
            _ => Err(NoPlatform::Value(oid)),
        }
    }
}

#[cfg(test)]
mod tests;
