//! Whom TLS believes. What is fetched is signed by the vendors and verified under pinned roots, so
//! that the machine's own roots will do; a PCCS of one's own usually wants its CA pinned.

use super::Trust;
use crate::files::Files;
use crate::obstacle::{Obstacle, told};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;

/// A distribution's bundle is about 250 KiB.
const MAX_PEM_LEN: u64 = 4 << 20;

/// Where distributions keep theirs; the first that is there counts.
const OF_THE_SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

pub(super) fn client_config(trust: &Trust) -> Result<ClientConfig, Obstacle> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Pinned(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|fault| {
                    let reason = format!("cannot be a trust anchor: {}", told(&fault));
                    Obstacle::at(path, reason, "give the CA's certificate in PEM")
                })?;
            }
        }
        Trust::System => {
            let mut candidates = OF_THE_SYSTEM.iter().map(Path::new);
            let path = candidates.find(|path| path.is_file()).ok_or_else(|| {
                let reason = format!("there is none of {}", OF_THE_SYSTEM.join(", "));
                let remedy = "install ca-certificates, or name a CA's certificate";
                Obstacle::of("trusted roots", reason, remedy)
            })?;
            // Distributions carry some that nothing can use.
            let (usable, _) = roots.add_parsable_certificates(certificates(path)?);
            if usable == 0 {
                let reason = "has no certificate that can be a trust anchor";
                return Err(Obstacle::at(path, reason, "name a CA's certificate"));
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|fault| Obstacle::of("TLS", told(&fault), "report this"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// At least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Obstacle> {
    let text = Files::new().read(path, MAX_PEM_LEN)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Obstacle::at(
            path,
            "has no certificate in PEM",
            "give the CA's certificate",
        )),
        Err(fault) => Err(Obstacle::at(
            path,
            format!("is not PEM: {fault:?}"),
            "give the CA's certificate in PEM",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_ca_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        for text in [
            "",
            "hello",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            std::fs::write(&path, text).unwrap();
            let told = client_config(&Trust::Pinned(path.clone())).unwrap_err();
            assert!(told.to_string().contains("ca.pem"), "{told}");
        }
    }
}
