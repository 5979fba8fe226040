//! What happens when the arena has no room in the midst of a call.

use super::sabotage::{held, refuse_after};
use crate::SecretBuf;
use crate::crypto::{
    AeadAlgorithm, AeadKey, CryptoError, Curve, Ec, Ed25519, HashAlgorithm, Hmac, Input, Kwp,
    MlDsa65, MlKem768, Rsa, RsaPadding, RsaPublic, RsaScheme, RsaSize, X25519, Xaes256Gcm,
    aes256_key_unwrap, concat_kdf_sha256, encapsulate_ml_kem_768, fill_random, hkdf, verify_ecdsa,
    verify_ed25519, verify_ml_dsa_65,
};
use crate::testing::installed;

/// A verification that was not made is a refusal.
fn as_result(verified: bool) -> Result<(), CryptoError> {
    verified.then_some(()).ok_or(CryptoError::ArenaFull)
}

/// Refuses the first, second, third … allocation within `work` until it succeeds; gives how
/// many there are.
fn refuse_each<R>(name: &str, work: impl Fn() -> Result<R, CryptoError>) -> usize {
    fill_random(&mut [0]);
    for count in 0..200 {
        let before = held();
        refuse_after(Some(count));
        let result = work();
        refuse_after(None);
        match result {
            Ok(_) => {
                println!("{name}: {count} allocations");
                return count;
            }
            Err(error) => assert_eq!(error, CryptoError::ArenaFull, "{name} {count}"),
        }
        assert_eq!(held(), before, "{name} {count} leaks");
    }
    panic!("{name} never succeeds");
}

#[test]
fn every_refused_allocation_is_an_error_and_leaks_nothing() {
    installed();
    for curve in Curve::ALL {
        assert!(refuse_each("ec generate", || Ec::generate(curve)) > 0);
        let mut scalar = vec![1; curve.scalar_len()];
        scalar[0] = 0;
        assert!(refuse_each("ec import", || Ec::from_scalar(curve, &scalar)) > 0);
        let key = Ec::generate(curve).unwrap();
        let (hash, input) = (HashAlgorithm::Sha384, Input::Message(b"x"));
        assert!(refuse_each("ec sign", || key.sign(hash, input)) > 0);
        // On the reserve, where nothing is refused.
        let point = key.public_point();
        refuse_each("ec agree", || key.ecdh(point.as_bytes()));
        let signature = key.sign(hash, input).unwrap();
        refuse_each("ec verify", || {
            let (point, signature) = (point.as_bytes(), signature.as_bytes());
            as_result(verify_ecdsa(curve, hash, point, input, signature))
        });
    }
    refuse_each("ed25519 generate", Ed25519::generate);
    let key = Ed25519::generate().unwrap();
    refuse_each("ed25519 sign", || key.sign(b"x"));
    let (public, signature) = (key.public(), key.sign(b"x").unwrap());
    refuse_each("ed25519 verify", || {
        as_result(verify_ed25519(&public, b"x", &signature))
    });
    refuse_each("x25519", || X25519::from_private(&[1; 32])?.agree(&[9; 32]));
    for algorithm in AeadAlgorithm::ALL {
        let raw = vec![1; algorithm.key_len()];
        assert!(refuse_each("aead expand", || AeadKey::new(algorithm, &raw)) > 0);
        let key = AeadKey::new(algorithm, &raw).unwrap();
        let mut sealed = [0; 116];
        key.seal(&[1; 12], &[b"a"], &[7; 100], &mut sealed).unwrap();
        refuse_each("seal", || {
            key.seal(&[1; 12], &[b"a"], &[7; 100], &mut [0; 116])
        });
        refuse_each("open", || {
            key.open(&[1; 12], &[b"a"], &sealed, &mut [0; 100])
        });
    }
    for hash in HashAlgorithm::ALL {
        assert!(refuse_each("hmac key", || Hmac::new(hash, &[1; 200])) > 0);
        let key = Hmac::new(hash, &[1; 32]).unwrap();
        assert!(refuse_each("hmac tag", || key.tag(b"x", &mut [0; 64])) > 0);
        assert!(refuse_each("hmac verify", || key.verify(b"x", b"y")) > 0);
        refuse_each("hkdf", || hkdf(hash, &[1; 32], b"salt", b"info", 100));
    }
    let xaes = Xaes256Gcm::new(&[1; 32]).unwrap();
    refuse_each("xaes", || {
        xaes.seal(&[1; 24], &[b"a"], &[7; 100], &mut [0; 116])
    });
    refuse_each("kwp", || {
        let mut wrapped = [0; 40];
        Kwp::new(&[1; 32])?.wrap(&[2; 32], &mut wrapped)?;
        Kwp::new(&[1; 32])?.unwrap(&wrapped)
    });
    let z = SecretBuf::copy_of(&[1; 32]).unwrap();
    refuse_each("kdf", || concat_kdf_sha256(&z, b"x"));
    let wrapped = [
        0x28, 0xc9, 0xf4, 0x04, 0xc4, 0xb8, 0x10, 0xf4, 0xcb, 0xcc, 0xb3, 0x5c, 0xfb, 0x87, 0xf8,
        0x26, 0x3f, 0x57, 0x86, 0xe2, 0xd8, 0x0e, 0xd3, 0x26, 0xcb, 0xc7, 0xf0, 0xe7, 0x1a, 0x99,
        0xf4, 0x3b, 0xfb, 0x98, 0x8b, 0x9b, 0x7a, 0x02, 0xdd, 0x21,
    ];
    let kek: Vec<u8> = (0..32).collect();
    refuse_each("unwrap", || aes256_key_unwrap(&kek, &wrapped));
}

#[test]
fn a_refused_allocation_in_a_lattice_is_an_error_and_leaks_nothing() {
    installed();
    assert!(refuse_each("ml-dsa expand", || MlDsa65::from_seed(&[1; 32])) > 0);
    let key = MlDsa65::from_seed(&[1; 32]).unwrap();
    assert!(refuse_each("ml-dsa sign", || key.sign(b"x")) > 0);
    let signature = key.sign(b"x").unwrap();
    refuse_each("ml-dsa verify", || {
        as_result(verify_ml_dsa_65(key.public(), b"x", &signature))
    });
    assert!(refuse_each("ml-kem expand", || MlKem768::from_seed(&[1; 64])) > 0);
    let key = MlKem768::from_seed(&[1; 64]).unwrap();
    refuse_each("ml-kem encapsulate", || {
        encapsulate_ml_kem_768(key.public())
    });
    let (ciphertext, _) = key.encapsulate().unwrap();
    assert!(refuse_each("ml-kem decapsulate", || key.decapsulate(&ciphertext)) > 0);
}

#[test]
fn a_refused_allocation_in_rsa_is_an_error_and_leaks_nothing() {
    installed();
    let size = RsaSize::Bits2048;
    let key = Rsa::generate(size).unwrap();
    let file = key.pkcs8().unwrap();
    assert!(refuse_each("rsa import", || Rsa::from_pkcs8(size, file.expose())) > 0);
    assert!(refuse_each("rsa export", || key.pkcs8()) > 0);
    let (hash, input) = (HashAlgorithm::Sha256, Input::Message(b"x"));
    for padding in [RsaPadding::Pss, RsaPadding::Pkcs1] {
        let scheme = RsaScheme { padding, hash };
        // The first use of a key keeps something: each is of a new one.
        let fresh = || Rsa::from_pkcs8(size, file.expose());
        refuse_each("rsa first sign", || fresh()?.sign(scheme, input));
        let signature = key.sign(scheme, input).unwrap();
        assert!(refuse_each("rsa sign", || key.sign(scheme, input)) > 0);
        refuse_each("rsa verify", || {
            let public = RsaPublic::from_spki(key.spki())?;
            as_result(public.verify(scheme, input, &signature))
        });
    }
    let public = || RsaPublic::from_spki(key.spki());
    refuse_each("rsa encrypt", || {
        public()?.encrypt_oaep(hash, b"label", b"x")
    });
    let ciphertext = key.encrypt_oaep(hash, b"label", b"x").unwrap();
    refuse_each("rsa decrypt", || {
        key.decrypt_oaep(hash, b"label", &ciphertext)
    });
    // Making one takes thousands: some of them, the last ones included.
    for count in (0..60).chain((60..6000).step_by(331)) {
        let before = held();
        refuse_after(Some(count));
        let result = Rsa::generate(size).map(drop);
        refuse_after(None);
        if let Err(error) = result {
            assert_eq!(error, CryptoError::ArenaFull, "{count}");
        }
        assert_eq!(held(), before, "{count} leaks");
    }
}
