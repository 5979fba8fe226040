//! Key files: PKCS#8, SPKI, and DER signatures. They are read in the arenas, as the vault does.

use nitride_secmem::crypto::{
    Curve, Ec, Ed25519, FixedSig, KeyAlgorithm, MlDsa65, MlKem768, Rsa, RsaPublic, RsaSize, X25519,
    parse_pkcs8, parse_spki, spki,
};
use nitride_secmem::{ArenaSizes, BackingChoice, SecretBuf, install};
use std::sync::OnceLock;

/// Bytes as any of them; and as changes to a file that was right, which reach further in.
pub fn key_files(data: &[u8]) {
    let template = template();
    read(data);
    // Three bytes a change: a place, and what is flipped there.
    let mut changed = template.expose().to_vec();
    for change in data.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]])) % changed.len();
        changed[place] ^= change[2];
    }
    if data.len() >= 3 {
        read(&changed);
    }
}

fn read(data: &[u8]) {
    if let Some(public) = parse_spki(data) {
        assert_eq!(spki(public.algorithm, public.key).as_deref(), Some(data));
        let _ = RsaPublic::from_spki(data);
    }
    for curve in Curve::ALL {
        if let Some(signature) = FixedSig::from_der(curve, data) {
            assert_eq!(signature.to_der().as_bytes(), data);
        }
    }
    let Ok(info) = parse_pkcs8(data) else {
        return;
    };
    assert!(info.secret.len() < data.len());
    // What is taken has the public key that stands in the file.
    let public = match info.algorithm {
        KeyAlgorithm::Ec(curve) => {
            let key = Ec::from_pkcs8(curve, data);
            key.map(|key| key.public_point().as_bytes().to_vec())
        }
        KeyAlgorithm::Ed25519 => Ed25519::from_pkcs8(data).map(|key| key.public().to_vec()),
        KeyAlgorithm::X25519 => X25519::from_pkcs8(data).map(|key| key.public().to_vec()),
        KeyAlgorithm::Rsa => {
            for size in RsaSize::ALL {
                let _ = Rsa::from_pkcs8(size, data);
            }
            return;
        }
        KeyAlgorithm::MlDsa65 => MlDsa65::from_pkcs8(data).map(|key| key.public().to_vec()),
        KeyAlgorithm::MlKem768 => MlKem768::from_pkcs8(data).map(|key| key.public().to_vec()),
    };
    if let (Ok(public), Some(stated)) = (public, info.public) {
        assert_eq!(public, stated);
    }
}

/// An RSA key's file. The arenas stand from here on.
fn template() -> &'static SecretBuf {
    static TEMPLATE: OnceLock<SecretBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let sizes = ArenaSizes {
            records_len: 1 << 16,
            records_max_len: 1 << 16,
            heap_len: 2 << 20,
        };
        let made = install(sizes, BackingChoice::Best, Vec::new())
            .map_err(|error| error.to_string())
            .and_then(|_| Rsa::generate(RsaSize::Bits2048).map_err(|error| error.to_string()))
            .and_then(|key| key.pkcs8().map_err(|error| error.to_string()));
        match made {
            Ok(file) => file,
            Err(error) => panic!("cannot make the template: {error}"),
        }
    })
}
