//! What happens when the arena has no room in the midst of a call.

use super::sabotage::{self, Refuse, held};
use crate::SecretBuf;
use crate::crypto::{
    AeadAlgorithm, AeadKey, CryptoError, Curve, Ec, EcP256, Ed25519, HashAlgorithm, Hmac, Input,
    Kwp, MlDsa65, MlKem768, Rsa, RsaPadding, RsaPublic, RsaScheme, RsaSize, X25519, Xaes256Gcm,
    aes256_key_unwrap, concat_kdf_sha256, encapsulate_ml_kem_768, fill_random, hkdf, hkdf_expand,
    verify_ecdsa, verify_ed25519, verify_ml_dsa_65,
};
use crate::testing::{installed, refuse_each};
use std::thread;

/// As [`refuse_each`], of what takes at least one allocation.
fn refuse<R>(name: &str, work: impl Fn() -> Result<R, CryptoError>) -> R {
    let (count, result) = refuse_each(name, work);
    assert!(count > 0, "{name} allocates nothing");
    result
}

/// A verification, of a signature that is right and of one that is not: a full arena is neither.
fn refuse_verdict(
    name: &str,
    signature: &[u8],
    verify: impl Fn(&[u8]) -> Result<bool, CryptoError>,
) {
    let (_, is_taken) = refuse_each(name, || verify(signature));
    assert!(is_taken, "{name}");
    for place in [0, signature.len() / 2, signature.len() - 1] {
        let mut wrong = signature.to_vec();
        wrong[place] ^= 1;
        let (_, is_taken) = refuse_each(name, || verify(&wrong));
        assert!(!is_taken, "{name} {place}");
    }
}

#[test]
fn every_refused_allocation_on_a_curve_is_an_error_and_leaks_nothing() {
    installed();
    for curve in Curve::ALL {
        refuse("ec generate", || Ec::generate(curve));
        let mut scalar = vec![1; curve.scalar_len()];
        scalar[0] = 0;
        refuse("ec import", || Ec::from_scalar(curve, &scalar));
        let key = Ec::generate(curve).unwrap();
        refuse_each("ec export", || {
            key.scalar_into(&mut vec![0; curve.scalar_len()])
        });
        let (hash, input) = (HashAlgorithm::Sha384, Input::Message(b"x"));
        let signature = refuse("ec sign", || key.sign(hash, input));
        let point = key.public_point();
        let signature = signature.as_bytes();
        refuse_verdict("ec verify", signature, |signature| {
            verify_ecdsa(curve, hash, point.as_bytes(), input, signature)
        });
        refuse_verdict("ec verify with the private key", signature, |signature| {
            key.verify(hash, input, signature)
        });
        // On the reserve, where AWS-LC is refused nothing.
        refuse("ec agree", || key.ecdh(point.as_bytes()));
    }
    refuse("p-256", || EcP256::generate()?.sign(b"x"));
    refuse("ed25519 generate", Ed25519::generate);
    refuse("ed25519 import", || Ed25519::from_seed(&[1; 32]));
    let key = Ed25519::generate().unwrap();
    let (_, signature) = refuse_each("ed25519 sign", || key.sign(b"x"));
    refuse_verdict("ed25519 verify", &signature, |signature| {
        verify_ed25519(&key.public(), b"x", signature.try_into().unwrap())
    });
    refuse("x25519 generate", X25519::generate);
    refuse("x25519", || X25519::from_private(&[1; 32])?.agree(&[9; 32]));
}

#[test]
fn every_refused_allocation_of_a_symmetric_key_is_an_error_and_leaks_nothing() {
    installed();
    for algorithm in AeadAlgorithm::ALL {
        let raw = vec![1; algorithm.key_len()];
        let key = refuse("aead expand", || AeadKey::new(algorithm, &raw));
        // Additional data that is joined in the arena, too.
        for aad in [&[&b"a"[..]][..], &[&[7; 300], &[8; 300]]] {
            let sealed = || {
                let mut sealed = [0; 116];
                key.seal(&[1; 12], aad, &[7; 100], &mut sealed)?;
                Ok(sealed)
            };
            let (_, sealed) = refuse_each("seal", sealed);
            let mut wrong = sealed;
            wrong[7] ^= 1;
            refuse_each("open", || {
                let mut opened = [9; 100];
                let result = key.open(&[1; 12], aad, &sealed, &mut opened);
                assert!(opened == if result.is_ok() { [7; 100] } else { [0; 100] });
                result
            });
            refuse_each("open what is changed", || {
                match key.open(&[1; 12], aad, &wrong, &mut [0; 100]) {
                    Err(CryptoError::NotAuthentic) => Ok(()),
                    other => other.map(|_| panic!("it is not authentic")),
                }
            });
        }
    }
    for hash in HashAlgorithm::ALL {
        let key = refuse("hmac key", || Hmac::new(hash, &[1; 200]));
        let (allocations, tag) = refuse_each("hmac tag", || {
            let mut tag = [0; 64];
            let len = key.tag(b"x", &mut tag)?;
            Ok(tag[..len].to_vec())
        });
        assert_eq!(allocations, 0, "the copy is on the stack in the arena");
        refuse_verdict("hmac verify", &tag, |tag| key.verify(b"x", tag));
        refuse("hkdf", || hkdf(hash, &[1; 32], b"salt", b"info", 100));
        refuse("hkdf expand", || hkdf_expand(hash, &[1; 64], b"info", 100));
    }
    let xaes = refuse("xaes expand", || Xaes256Gcm::new(&[1; 32]));
    let sealed = refuse("xaes", || {
        let mut sealed = [0; 116];
        xaes.seal(&[1; 24], &[b"a"], &[7; 100], &mut sealed)?;
        Ok(sealed)
    });
    refuse("xaes open", || {
        let mut opened = [9; 100];
        let result = xaes.open(&[1; 24], &[b"a"], &sealed, &mut opened);
        assert!(opened == if result.is_ok() { [7; 100] } else { [0; 100] });
        result
    });
    let kwp = refuse("kwp expand", || Kwp::new(&[1; 32]));
    let (_, wrapped) = refuse_each("kwp wrap", || {
        let mut wrapped = [0; 40];
        kwp.wrap(&[2; 32], &mut wrapped)?;
        Ok(wrapped)
    });
    refuse("kwp unwrap", || kwp.unwrap(&wrapped));
    let z = SecretBuf::copy_of(&[1; 32]).unwrap();
    refuse("kdf", || concat_kdf_sha256(&[&z], b"x"));
    let wrapped = [
        0x28, 0xc9, 0xf4, 0x04, 0xc4, 0xb8, 0x10, 0xf4, 0xcb, 0xcc, 0xb3, 0x5c, 0xfb, 0x87, 0xf8,
        0x26, 0x3f, 0x57, 0x86, 0xe2, 0xd8, 0x0e, 0xd3, 0x26, 0xcb, 0xc7, 0xf0, 0xe7, 0x1a, 0x99,
        0xf4, 0x3b, 0xfb, 0x98, 0x8b, 0x9b, 0x7a, 0x02, 0xdd, 0x21,
    ];
    let kek: Vec<u8> = (0..32).collect();
    refuse("unwrap", || aes256_key_unwrap(&kek, &wrapped));
}

#[test]
fn a_refused_allocation_in_a_lattice_is_an_error_and_leaks_nothing() {
    installed();
    refuse("ml-dsa generate", MlDsa65::generate);
    let key = refuse("ml-dsa expand", || MlDsa65::from_seed(&[1; 32]));
    let signature = refuse("ml-dsa sign", || key.sign(b"x"));
    refuse_verdict("ml-dsa verify", &signature, |signature| {
        verify_ml_dsa_65(key.public(), b"x", signature)
    });
    refuse_verdict("ml-dsa verify with the key", &signature, |signature| {
        key.verify(b"x", signature)
    });
    refuse("ml-kem generate", MlKem768::generate);
    let key = refuse("ml-kem expand", || MlKem768::from_seed(&[1; 64]));
    refuse("ml-kem encapsulate", || {
        encapsulate_ml_kem_768(key.public())
    });
    let (ciphertext, shared) = refuse("ml-kem encapsulate with the key", || key.encapsulate());
    let same = refuse("ml-kem decapsulate", || key.decapsulate(&ciphertext));
    assert_eq!(same.expose(), shared.expose());
}

#[test]
fn a_refused_allocation_in_rsa_is_an_error_and_leaks_nothing() {
    installed();
    for size in RsaSize::ALL {
        let key = Rsa::generate(size).unwrap();
        let file = refuse("rsa export", || key.pkcs8());
        refuse("rsa import", || Rsa::from_pkcs8(size, file.expose()));
        let hash = HashAlgorithm::Sha256;
        let input = Input::Message(b"x");
        for padding in [RsaPadding::Pss, RsaPadding::Pkcs1] {
            let scheme = RsaScheme { padding, hash };
            // The first use of a key keeps something: each is of a new one, or a later one.
            key.sign(scheme, input).unwrap();
            let fresh = || Rsa::from_pkcs8(size, file.expose());
            refuse("rsa first sign", || fresh()?.sign(scheme, input));
            let signature = refuse("rsa sign", || key.sign(scheme, input));
            refuse_verdict("rsa verify", &signature, |signature| {
                RsaPublic::from_spki(key.spki())?.verify(scheme, input, signature)
            });
            refuse_verdict("rsa verify with the private key", &signature, |signature| {
                key.verify(scheme, input, signature)
            });
        }
        let public = || RsaPublic::from_spki(key.spki());
        let ciphertext = refuse("rsa encrypt", || {
            public()?.encrypt_oaep(hash, b"label", b"x")
        });
        let opened = refuse("rsa decrypt", || {
            key.decrypt_oaep(hash, b"label", &ciphertext)
        });
        assert_eq!(opened.expose(), b"x");
        refuse("rsa decrypt what is changed", || {
            match key.decrypt_oaep(hash, b"other", &ciphertext) {
                Err(CryptoError::NotAuthentic) => Ok(()),
                other => other.map(|_| panic!("it is not authentic")),
            }
        });
    }
}

#[test]
fn a_refused_allocation_while_an_rsa_key_is_made_is_an_error_and_leaks_nothing() {
    installed();
    // The thread's generator is seeded once, and stays.
    fill_random(&mut [0]);
    // It takes thousands: some of them, the last ones included.
    for count in (0..60).chain((60..6000).step_by(331)) {
        for which in [Refuse::One(count), Refuse::All(count)] {
            let before = held();
            sabotage::refuse(which);
            let result = Rsa::generate(RsaSize::Bits2048).map(drop);
            sabotage::refuse(Refuse::None);
            if let Err(error) = result {
                assert_eq!(error, CryptoError::ArenaFull, "{which:?}");
            }
            assert_eq!(held(), before, "{which:?} leaks");
        }
    }
}

/// What draws random bytes, and its name.
type Drawing<'d> = (&'d str, &'d (dyn Fn() -> Result<(), CryptoError> + Sync));

/// AWS-LC ends the process where it has no memory for a thread's generator.
#[test]
fn a_thread_without_a_generator_is_refused_and_ends_nothing() {
    installed();
    let key = EcP256::generate().unwrap();
    let draws: [Drawing<'_>; 5] = [
        ("generate", &|| EcP256::generate().map(drop)),
        ("sign", &|| key.sign(b"x").map(drop)),
        ("ed25519", &|| Ed25519::generate().map(drop)),
        ("ml-dsa", &|| MlDsa65::generate()?.sign(b"x").map(drop)),
        ("ml-kem", &|| MlKem768::generate()?.encapsulate().map(drop)),
    ];
    for (name, draw) in draws {
        let has_struck = |which| {
            let fresh = || {
                sabotage::refuse(which);
                let result = draw();
                let has_struck = sabotage::refuse(Refuse::None);
                let fits = result == Ok(()) || result == Err(CryptoError::ArenaFull);
                assert!(fits, "{name}: {result:?}");
                has_struck
            };
            thread::scope(|scope| scope.spawn(fresh).join().unwrap())
        };
        let mut counts = 0..100;
        assert!(
            counts.any(|count| !has_struck(Refuse::One(count)) && !has_struck(Refuse::All(count)))
        );
        assert!(counts.start > 1, "{name} allocates nothing");
    }
}
