//! How deep calls go.

use crate::SecretBuf;
use crate::crypto::{
    AeadAlgorithm, AeadKey, Curve, Ec, Ed25519, HashAlgorithm, Hmac, Input, Kwp, MlDsa65, MlKem768,
    Rsa, RsaPadding, RsaScheme, RsaSize, X25519, Xaes256Gcm, aes256_key_unwrap, concat_kdf_sha256,
    encapsulate_ml_kem_768, fill_random, hkdf, sha256, sha384, verify_ecdsa, verify_ed25519,
    verify_ml_dsa_65,
};
use crate::stacks::{DEEP_STACK_LEN, SLIGHT_STACK_LEN, SLOW_STACK_LEN, STACK_LEN, deepest_of};
use crate::testing::{case, in_child, installed};
use std::collections::BTreeMap;

/// Room for the frame of a fault at the deepest point: the vector registers of a processor with
/// AVX-512 take 2.7 KiB of it.
const SIGNAL_FRAME_LEN: usize = 4096;

/// Depths of calls by their names.
#[derive(Debug, Default)]
struct Depths(BTreeMap<&'static str, usize>);

impl Depths {
    /// How deep `work` goes on a fresh thread, the seeding of the thread's generator included.
    fn measure(&mut self, name: &'static str, work: impl Fn() + Sync) {
        let depth = std::thread::scope(|scope| scope.spawn(|| deepest_of(&work)).join().unwrap());
        let most = self.0.entry(name).or_default();
        *most = depth.max(*most);
    }

    /// What is measured fits a stack of this length, with half as much again of it and a frame.
    fn fit(&self, stack_len: usize) {
        println!("depths in bytes: {:?}", self.0);
        let deepest = *self.0.values().max().unwrap();
        assert!(deepest > 1024, "nothing was measured: {self:?}");
        assert!(
            deepest + deepest / 2 + SIGNAL_FRAME_LEN <= stack_len,
            "{deepest} bytes of {stack_len}: {self:?}"
        );
    }
}

/// Has the compiler compute a result that nobody looks at.
fn keep<T>(result: T) {
    std::hint::black_box(result);
}

#[test]
fn every_quick_call_and_a_signal_in_it_fit_a_stack() {
    installed();
    let mut depths = Depths::default();
    let data = vec![7; 65_536];
    depths.measure("random", || fill_random(&mut [0; 100]));
    depths.measure("sha-256", || keep(sha256(&[&data])));
    depths.measure("sha-384", || keep(sha384(&[&data])));
    for curve in Curve::ALL {
        curve_calls(&mut depths, curve, &data);
    }
    curve25519_calls(&mut depths, &data);
    for algorithm in AeadAlgorithm::ALL {
        cipher_calls(&mut depths, algorithm, &data);
    }
    for hash in HashAlgorithm::ALL {
        depths.measure("hmac key", || keep(Hmac::new(hash, &[1; 200]).unwrap()));
        let key = Hmac::new(hash, &[1; 32]).unwrap();
        depths.measure("hmac tag", || keep(key.tag(&data, &mut [0; 64]).unwrap()));
        depths.measure("hmac verify", || keep(key.verify(&data, &[0; 32]).unwrap()));
        depths.measure("hkdf", || {
            keep(hkdf(hash, &data, &data, &data, 200).unwrap());
        });
    }
    depths.measure("kwp", || {
        let (key, mut wrapped) = (Kwp::new(&[1; 32]).unwrap(), [0; 112]);
        key.wrap(&data[..100], &mut wrapped).unwrap();
        keep(key.unwrap(&wrapped).unwrap());
    });
    depths.measure("unwrap", || keep(aes256_key_unwrap(&[1; 32], &[1; 40])));
    let secret = SecretBuf::copy_of(&[1; 32]).unwrap();
    depths.measure("kdf", || {
        keep(concat_kdf_sha256(&[&secret], &data).unwrap());
    });
    for size in RsaSize::ALL {
        public_rsa_calls(&mut depths, size, &data);
    }
    depths.fit(STACK_LEN);
}

#[test]
fn every_cipher_and_tag_and_a_signal_in_it_fit_a_slight_stack() {
    installed();
    let mut depths = Depths::default();
    let data = vec![7; 65_536];
    for algorithm in AeadAlgorithm::ALL {
        sealing_calls(&mut depths, algorithm, &data);
    }
    for hash in HashAlgorithm::ALL {
        let key = Hmac::new(hash, &[1; 32]).unwrap();
        depths.measure("hmac tag", || keep(key.tag(&data, &mut [0; 64]).unwrap()));
        let tag = &data[..hash.digest_len()];
        depths.measure("hmac verify", || keep(key.verify(&data, tag).unwrap()));
    }
    depths.fit(SLIGHT_STACK_LEN);
}

fn curve_calls(depths: &mut Depths, curve: Curve, data: &[u8]) {
    depths.measure("ec generate", || keep(Ec::generate(curve).unwrap()));
    let mut scalar = vec![1; curve.scalar_len()];
    scalar[0] = 0;
    depths.measure("ec import", || {
        keep(Ec::from_scalar(curve, &scalar).unwrap());
    });
    let key = Ec::generate(curve).unwrap();
    let point = key.public_point();
    depths.measure("ec export", || {
        key.scalar_into(&mut vec![0; curve.scalar_len()]).unwrap();
    });
    depths.measure("ec agree", || keep(key.ecdh(point.as_bytes()).unwrap()));
    for hash in HashAlgorithm::ALL {
        let input = Input::Message(data);
        let signature = key.sign(hash, input).unwrap();
        depths.measure("ec sign", || keep(key.sign(hash, input).unwrap()));
        // The longer curves' goes deeper.
        if curve == Curve::P256 {
            depths.measure("ec verify", || {
                assert!(key.verify(hash, input, signature.as_bytes()).unwrap());
            });
        }
    }
}

fn curve25519_calls(depths: &mut Depths, data: &[u8]) {
    depths.measure("ed25519 generate", || keep(Ed25519::generate().unwrap()));
    let key = Ed25519::generate().unwrap();
    let signature = key.sign(data).unwrap();
    depths.measure("ed25519 sign", || keep(key.sign(data).unwrap()));
    depths.measure("ed25519 verify", || {
        assert!(verify_ed25519(&key.public(), data, &signature).unwrap());
    });
    depths.measure("x25519 generate", || keep(X25519::generate().unwrap()));
    let key = X25519::generate().unwrap();
    depths.measure("x25519 agree", || keep(key.agree(&[9; 32]).unwrap()));
}

fn cipher_calls(depths: &mut Depths, algorithm: AeadAlgorithm, data: &[u8]) {
    let raw = vec![1; algorithm.key_len()];
    depths.measure("aead expand", || {
        keep(AeadKey::new(algorithm, &raw).unwrap());
    });
    sealing_calls(depths, algorithm, data);
    let extended = Xaes256Gcm::new(&[1; 32]).unwrap();
    for len in LENS {
        depths.measure("xaes", || {
            let (mut sealed, mut out) = (vec![0; len + 16], vec![0; len]);
            extended
                .seal(&[1; 24], &[b"a", b"b"], &data[..len], &mut sealed)
                .unwrap();
            extended
                .open(&[1; 24], &[b"a", b"b"], &sealed, &mut out)
                .unwrap();
        });
    }
}

const LENS: [usize; 7] = [0, 1, 16, 100, 500, 1024, 65_536];

/// With a key that is expanded.
fn sealing_calls(depths: &mut Depths, algorithm: AeadAlgorithm, data: &[u8]) {
    let key = AeadKey::new(algorithm, &vec![1; algorithm.key_len()]).unwrap();
    for len in LENS {
        let mut sealed = vec![0; len + 16];
        key.seal(&[1; 12], &[b"a", b"b"], &data[..len], &mut sealed)
            .unwrap();
        depths.measure("seal", || {
            let mut out = vec![0; len + 16];
            key.seal(&[1; 12], &[b"a", b"b"], &data[..len], &mut out)
                .unwrap();
        });
        depths.measure("open", || {
            let mut out = vec![0; len];
            key.open(&[1; 12], &[b"a", b"b"], &sealed, &mut out)
                .unwrap();
        });
    }
}

/// A key of this size, by the shortest way that is not a file of a secret.
fn rsa(size: RsaSize) -> Rsa {
    Rsa::generate(size).unwrap()
}

fn schemes() -> impl Iterator<Item = RsaScheme> {
    HashAlgorithm::ALL.into_iter().flat_map(|hash| {
        [RsaPadding::Pss, RsaPadding::Pkcs1].map(|padding| RsaScheme { padding, hash })
    })
}

/// Nothing with the private key, but what reads and writes it.
fn public_rsa_calls(depths: &mut Depths, size: RsaSize, data: &[u8]) {
    let key = rsa(size);
    let file = key.pkcs8().unwrap();
    depths.measure("rsa import", || {
        keep(Rsa::from_pkcs8(size, file.expose()).unwrap());
    });
    depths.measure("rsa export", || keep(key.pkcs8().unwrap()));
    for scheme in schemes() {
        let input = Input::Message(data);
        let signature = key.sign(scheme, input).unwrap();
        depths.measure("rsa verify", || {
            assert!(key.verify(scheme, input, &signature).unwrap());
        });
        depths.measure("rsa encrypt", || {
            keep(key.encrypt_oaep(scheme.hash, b"label", b"text").unwrap());
        });
    }
}

#[test]
fn every_deep_call_and_a_signal_in_it_fit_a_deep_stack() {
    installed();
    let mut depths = Depths::default();
    let data = vec![7; 65_536];
    for size in RsaSize::ALL {
        let key = rsa(size);
        for scheme in schemes() {
            let input = Input::Message(&data);
            depths.measure("rsa sign", || keep(key.sign(scheme, input).unwrap()));
            let hash = scheme.hash;
            let ciphertext = key.encrypt_oaep(hash, b"label", b"text").unwrap();
            depths.measure("rsa decrypt", || {
                keep(key.decrypt_oaep(hash, b"label", &ciphertext).unwrap());
            });
        }
    }
    for curve in Curve::ALL {
        let key = Ec::generate(curve).unwrap();
        let (hash, input) = (HashAlgorithm::Sha512, Input::Message(&data));
        let signature = key.sign(hash, input).unwrap();
        depths.measure("ec verify", || {
            let (point, signature) = (key.public_point(), signature.as_bytes());
            let verified = verify_ecdsa(curve, hash, point.as_bytes(), input, signature);
            assert!(verified.unwrap());
        });
    }
    let key = MlDsa65::generate().unwrap();
    depths.measure("ml-dsa expand", || keep(MlDsa65::generate().unwrap()));
    depths.measure("ml-dsa sign", || keep(key.sign(&data).unwrap()));
    let signature = key.sign(&data).unwrap();
    depths.measure("ml-dsa verify", || {
        assert!(verify_ml_dsa_65(key.public(), &data, &signature).unwrap());
    });
    let key = MlKem768::generate().unwrap();
    let (ciphertext, _) = key.encapsulate().unwrap();
    depths.measure("ml-kem expand", || keep(MlKem768::generate().unwrap()));
    depths.measure("ml-kem encapsulate", || {
        keep(encapsulate_ml_kem_768(key.public()).unwrap());
    });
    depths.measure("ml-kem decapsulate", || {
        keep(key.decapsulate(&ciphertext).unwrap());
    });
    depths.fit(DEEP_STACK_LEN);
}

#[test]
fn making_an_rsa_key_and_a_signal_in_it_fit_the_slow_stack() {
    installed();
    let mut depths = Depths::default();
    for size in RsaSize::ALL {
        depths.measure("rsa generate", || keep(rsa(size)));
    }
    depths.fit(SLOW_STACK_LEN);
}

#[test]
fn the_first_seeding_of_the_process_fits_a_stack() {
    if case().is_some() {
        let depth = deepest_of(|| {
            installed();
        });
        println!("first seeding: {depth} bytes deep");
        assert!(depth > 512, "nothing was measured: {depth}");
        assert!(2 * depth + SIGNAL_FRAME_LEN <= STACK_LEN, "{depth}");
        return;
    }
    let status = in_child(
        "door::tests::depth::the_first_seeding_of_the_process_fits_a_stack",
        "child",
    );
    assert!(status.success());
}
