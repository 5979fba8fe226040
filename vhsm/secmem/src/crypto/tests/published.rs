//! Figures that the specifications print, for what came after the first types; more are in
//! `tests/wycheproof`.

use super::hex;
use crate::crypto::{
    AeadAlgorithm, AeadKey, CryptoError, Curve, Ec, HashAlgorithm, Hmac, Input, Kwp, MlDsa65,
    MlKem768, Rsa, RsaPadding, RsaPublic, RsaScheme, RsaSize, X25519, Xaes256Gcm, hkdf,
    hkdf_expand, verify_ecdsa,
};
use crate::testing::{installed, unhex};

/// RFC 6979 A.2.6 and A.2.7: scalar, x, y, and r and s over "sample".
const CURVES: [(Curve, HashAlgorithm, [&str; 5]); 2] = [
    (
        Curve::P384,
        HashAlgorithm::Sha384,
        [
            "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea\
             60d2edf5",
            "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a25451\
             5480bc13",
            "8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd25\
             33264720",
            "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e\
             80fabe46",
            "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a\
             38628ac8",
        ],
    ),
    (
        Curve::P521,
        HashAlgorithm::Sha512,
        [
            "00fad06daa62ba3b25d2fb40133da757205de67f5bb0018fee8c86e1b68c7e75caa896eb32f1f47c70855836\
             a6d16fcc1466f6d8fbec67db89ec0c08b0e996b83538",
            "01894550d0785932e00eaa23b694f213f8c3121f86dc97a04e5a7167db4e5bcd371123d46e45db6b5d5370a7\
             f20fb633155d38ffa16d2bd761dcac474b9a2f5023a4",
            "00493101c962cd4d2fddf782285e64584139c2f91b47f87ff82354d6630f746a28a0db25741b5b34a828008b\
             22acc23f924faafbd4d33f81ea66956dfeaa2bfdfcf5",
            "00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e25a1ee9017b5d450606a\
             dd152b534931d7d4e8455cc91f9b15bf05ec36e377fa",
            "00617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af282623eaa63e5b5c0723d8b8\
             c37ff0777b1a20f8ccb1dccc43997f1ee0e44da4a67a",
        ],
    ),
];

#[test]
fn the_longer_curves_have_the_published_points_and_signatures() {
    installed();
    for (curve, hash, figures) in CURVES {
        let [scalar, x, y, r, s] = figures.map(unhex);
        let key = Ec::from_scalar(curve, &scalar).unwrap();
        let point = [&[4], &x[..], &y].concat();
        assert_eq!(key.public_point().as_bytes(), point);
        let mut out = vec![0; curve.scalar_len()];
        key.scalar_into(&mut out).unwrap();
        assert_eq!(out, scalar);
        assert!(key.scalar_into(&mut out[1..]).is_err());
        let signature = [r, s].concat();
        let sample = Input::Message(b"sample");
        assert!(key.verify(hash, sample, &signature).unwrap());
        assert!(verify_ecdsa(curve, hash, &point, sample, &signature).unwrap());
        for index in [0, 1, signature.len() / 2, signature.len() - 1] {
            let mut other = signature.clone();
            other[index] ^= 1;
            assert!(!key.verify(hash, sample, &other).unwrap());
        }
        assert!(
            !key.verify(hash, Input::Message(b"simple"), &signature)
                .unwrap()
        );
        assert!(!key.verify(hash, sample, &signature[1..]).unwrap());
        assert!(!key.verify(hash, sample, &vec![0; signature.len()]).unwrap());
        let mut off_curve = point.clone();
        *off_curve.last_mut().unwrap() ^= 1;
        assert!(!verify_ecdsa(curve, hash, &off_curve, sample, &signature).unwrap());
        assert_eq!(key.ecdh(&off_curve).unwrap_err(), CryptoError::InvalidPoint);
        // Compressed, and of another curve.
        assert!(key.ecdh(&point[..=curve.scalar_len()]).is_err());
        let other = Ec::generate(Curve::P256).unwrap().public_point();
        assert!(key.ecdh(other.as_bytes()).is_err());
    }
}

#[test]
fn every_curve_signs_with_every_hash_a_message_or_its_digest() {
    installed();
    for curve in Curve::ALL {
        let key = Ec::generate(curve).unwrap();
        let peer = Ec::generate(curve).unwrap();
        let shared = key.ecdh(peer.public_point().as_bytes()).unwrap();
        let same = peer.ecdh(key.public_point().as_bytes()).unwrap();
        assert_eq!(shared.expose(), same.expose());
        assert_eq!(shared.len(), curve.scalar_len());
        for hash in HashAlgorithm::ALL {
            let message = Input::Message(b"message");
            let digest = super::super::hash::Digest::of(hash, message).unwrap();
            let digest = Input::Digest(digest.as_bytes());
            for (one, other) in [(message, digest), (digest, message)] {
                let signature = key.sign(hash, one).unwrap();
                assert!(key.verify(hash, other, signature.as_bytes()).unwrap());
                assert!(!peer.verify(hash, other, signature.as_bytes()).unwrap());
            }
            let short = Input::Digest(&[7; 31]);
            assert_eq!(key.sign(hash, short).unwrap_err(), CryptoError::BadLength);
            assert!(
                !key.verify(hash, short, &vec![1; curve.signature_len()])
                    .unwrap()
            );
        }
    }
}

#[test]
fn hmac_gives_the_longer_tags_of_rfc_4231() {
    installed();
    let text = b"what do ya want for nothing?";
    for (hash, tag) in [
        (
            HashAlgorithm::Sha384,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ec\
             fab21649",
        ),
        (
            HashAlgorithm::Sha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65\
             f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        let key = Hmac::new(hash, b"Jefe").unwrap();
        let mut out = [0xff; 65];
        let len = key.tag(text, &mut out).unwrap();
        assert_eq!(out[..len], unhex(tag));
        assert!(out[len..].iter().all(|byte| *byte == 0xff));
        assert!(key.verify(text, &out[..len]).unwrap());
        assert!(!key.verify(text, &out[..len - 1]).unwrap());
        assert_eq!(
            key.tag(text, &mut out[..len - 1]),
            Err(CryptoError::OutputTooShort)
        );
    }
}

#[test]
fn hkdf_gives_the_keys_of_rfc_5869() {
    installed();
    let hash = HashAlgorithm::Sha256;
    let salt: Vec<u8> = (0..13).collect();
    let info: Vec<u8> = (0xf0..=0xf9).collect();
    let key =
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
    let derived = hkdf(hash, &[0x0b; 22], &salt, &info, 42).unwrap();
    assert_eq!(derived.expose(), unhex(key));
    let uniform = unhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    let expanded = hkdf_expand(hash, &uniform, &info, 42).unwrap();
    assert_eq!(expanded.expose(), unhex(key));
    let key =
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8";
    assert_eq!(
        hkdf(hash, &[0x0b; 22], &[], &[], 42).unwrap().expose(),
        unhex(key)
    );
    assert!(hkdf(hash, &[1], &[], &[], 255 * 32).is_ok());
    for refused in [
        hkdf(hash, &[1], &[], &[], 255 * 32 + 1),
        hkdf_expand(hash, &[1], &[], 255 * 32 + 1),
    ] {
        assert_eq!(refused.unwrap_err(), CryptoError::BadLength);
    }
}

#[test]
fn the_other_ciphers_give_the_published_ciphertexts() {
    installed();
    // The GCM specification's case 4, RFC 8439 2.8.2.
    let sunscreen = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip \
        for the future, sunscreen would be it.";
    for (algorithm, key, nonce, aad, plaintext, sealed) in [
        (
            AeadAlgorithm::Aes128Gcm,
            "feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            unhex(
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf\
                 0e2449a6b525b16aedf5aa0de657ba637b39",
            ),
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5a\
             ac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47",
        ),
        (
            AeadAlgorithm::ChaCha20Poly1305,
            "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
            "070000004041424344454647",
            "50515253c0c1c2c3c4c5c6c7",
            sunscreen.to_vec(),
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69\
             da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad67594\
             5585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
        ),
    ] {
        let key = AeadKey::new(algorithm, &unhex(key)).unwrap();
        let (nonce, aad, sealed) = (hex(nonce), unhex(aad), unhex(sealed));
        let mut out = vec![0; sealed.len()];
        key.seal(&nonce, &[&aad], &plaintext, &mut out).unwrap();
        assert_eq!(out, sealed);
        let len = key.open(&nonce, &[&aad], &sealed, &mut out).unwrap();
        assert_eq!(out[..len], plaintext);
        out[0] ^= 1;
        assert!(key.open(&nonce, &[b"x"], &sealed, &mut out).is_err());
        assert!(out.iter().all(|byte| *byte == 0));
    }
    for algorithm in AeadAlgorithm::ALL {
        for len in [0, 15, 17, 24, 31, 33] {
            let refused = AeadKey::new(algorithm, &vec![1; len]).unwrap_err();
            assert_eq!(refused, CryptoError::InvalidKey);
        }
    }
}

#[test]
fn xaes_gives_the_ciphertexts_of_its_specification() {
    installed();
    let nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX";
    for (key, aad, sealed) in [
        (
            1,
            &b""[..],
            "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
        ),
        (
            3,
            b"c2sp.org/XAES-256-GCM",
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
        ),
    ] {
        let key = Xaes256Gcm::new(&[key; 32]).unwrap();
        let mut out = [0; 28];
        assert_eq!(key.seal(nonce, &[aad], b"XAES-256-GCM", &mut out), Ok(28));
        assert_eq!(out[..], unhex(sealed));
        let mut opened = [0; 12];
        assert_eq!(key.open(nonce, &[aad], &out, &mut opened), Ok(12));
        assert_eq!(&opened, b"XAES-256-GCM");
        for index in [0, 11, 12, 23] {
            let mut other = *nonce;
            other[index] ^= 1;
            let refused = key.open(&other, &[aad], &out, &mut opened);
            assert_eq!(refused, Err(CryptoError::NotAuthentic));
            assert_eq!(opened, [0; 12]);
        }
        assert_eq!(
            key.seal(nonce, &[], b"long", &mut out[..19]),
            Err(CryptoError::OutputTooShort)
        );
    }
    assert!(Xaes256Gcm::new(&[1; 16]).is_err());
}

#[test]
fn x25519_gives_the_secret_of_rfc_7748() {
    installed();
    let bob = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
    let bob = X25519::from_private(&unhex(bob)).unwrap();
    assert_eq!(
        bob.public(),
        hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    );
    let alice = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    let shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    assert_eq!(bob.agree(&alice).unwrap().expose(), unhex(shared));
    let alice = X25519::generate().unwrap();
    let shared = alice.agree(&bob.public()).unwrap();
    assert_eq!(
        shared.expose(),
        bob.agree(&alice.public()).unwrap().expose()
    );
    let mut out = [0; 32];
    bob.private_into(&mut out);
    assert_eq!(X25519::from_private(&out).unwrap().public(), bob.public());
    assert_eq!(
        alice.agree(&[0; 32]).unwrap_err(),
        CryptoError::InvalidPoint
    );
    assert!(X25519::from_private(&[1; 31]).is_err());
}

#[test]
fn a_wrapped_key_of_any_length_comes_back_and_a_changed_one_does_not() {
    installed();
    let key = Kwp::new(&[9; 32]).unwrap();
    for len in [1, 7, 8, 9, 16, 20, 32, 33, 2400, 64 * 1024] {
        let secret: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut wrapped = vec![0; Kwp::wrapped_len(len)];
        assert_eq!(key.wrap(&secret, &mut wrapped), Ok(wrapped.len()));
        assert_eq!(key.unwrap(&wrapped).unwrap().expose(), secret);
        for index in [0, wrapped.len() / 2, wrapped.len() - 1] {
            let mut other = wrapped.clone();
            other[index] ^= 1;
            let refused = key.unwrap(&other).unwrap_err();
            assert_eq!(refused, CryptoError::NotAuthentic);
        }
        let short = &mut wrapped.clone()[1..];
        assert_eq!(key.wrap(&secret, short), Err(CryptoError::OutputTooShort));
    }
    for len in [0, 64 * 1024 + 1] {
        let refused = key.wrap(&vec![0; len], &mut vec![0; 70_000]);
        assert_eq!(refused, Err(CryptoError::BadLength));
    }
    for len in [0, 8, 15, 17, 64 * 1024 + 16] {
        let refused = key.unwrap(&vec![0; len]).unwrap_err();
        assert_eq!(refused, CryptoError::BadLength, "{len}");
    }
    assert!(Kwp::new(&[9; 16]).is_err());
}

#[test]
fn rsa_does_each_of_its_works_and_undoes_it() {
    installed();
    let key = Rsa::generate(RsaSize::Bits2048).unwrap();
    let public = RsaPublic::from_spki(key.spki()).unwrap();
    let other = Rsa::generate(RsaSize::Bits2048).unwrap();
    for hash in HashAlgorithm::ALL {
        for padding in [RsaPadding::Pss, RsaPadding::Pkcs1] {
            let scheme = RsaScheme { padding, hash };
            let message = Input::Message(b"message");
            let signature = key.sign(scheme, message).unwrap();
            assert_eq!(signature.len(), 256);
            assert!(public.verify(scheme, message, &signature).unwrap());
            assert!(!other.verify(scheme, message, &signature).unwrap());
            assert!(
                !key.verify(scheme, Input::Message(b"other"), &signature)
                    .unwrap()
            );
            assert!(!key.verify(scheme, message, &signature[1..]).unwrap());
            for padding in [RsaPadding::Pss, RsaPadding::Pkcs1] {
                for hash in HashAlgorithm::ALL {
                    let another = RsaScheme { padding, hash };
                    let is_taken = key.verify(another, message, &signature).unwrap();
                    assert_eq!(is_taken, another == scheme);
                }
            }
            let short = Input::Digest(&[1; 20]);
            assert_eq!(key.sign(scheme, short), Err(CryptoError::BadLength));
        }
        let longest = 256 - 2 * hash.digest_len() - 2;
        for (len, label) in [(0, &b""[..]), (longest, b"label")] {
            let text = vec![7; len];
            let sealed = public.encrypt_oaep(hash, label, &text).unwrap();
            let opened = key.decrypt_oaep(hash, label, &sealed).unwrap();
            assert_eq!(opened.expose(), text);
            for (key, label) in [(&key, &b"other"[..]), (&other, label)] {
                let refused = key.decrypt_oaep(hash, label, &sealed).unwrap_err();
                assert_eq!(refused, CryptoError::NotAuthentic);
            }
            for sealed in [&sealed[1..], &[], &[0; 256], &[0xff; 256]] {
                let refused = key.decrypt_oaep(hash, label, sealed).unwrap_err();
                assert_eq!(refused, CryptoError::NotAuthentic);
            }
        }
        let too_long = vec![7; longest + 1];
        assert_eq!(
            public.encrypt_oaep(hash, b"", &too_long),
            Err(CryptoError::BadLength)
        );
    }
}

#[test]
fn lattice_keys_do_their_works_and_refuse_other_lengths() {
    installed();
    let key = MlDsa65::generate().unwrap();
    let other = MlDsa65::generate().unwrap();
    let signature = key.sign(b"message").unwrap();
    assert_ne!(signature, key.sign(b"message").unwrap(), "hedged");
    assert!(key.verify(b"message", &signature).unwrap());
    assert!(!key.verify(b"other", &signature).unwrap());
    assert!(!other.verify(b"message", &signature).unwrap());
    assert!(!key.verify(b"message", &signature[1..]).unwrap());
    let mut seed = [0; 32];
    key.seed_into(&mut seed);
    assert_eq!(MlDsa65::from_seed(&seed).unwrap().public(), key.public());
    let key = MlKem768::generate().unwrap();
    let (ciphertext, shared) = key.encapsulate().unwrap();
    let same = key.decapsulate(&ciphertext).unwrap();
    assert_eq!(shared.expose(), same.expose());
    assert_eq!(shared.len(), 32);
    let mut changed = ciphertext.clone();
    changed[0] ^= 1;
    let another = key.decapsulate(&changed).unwrap();
    assert_ne!(another.expose(), shared.expose());
    assert_eq!(
        key.decapsulate(&ciphertext[1..]).unwrap_err(),
        CryptoError::BadLength
    );
    let mut seed = [0; 64];
    key.seed_into(&mut seed);
    assert_eq!(MlKem768::from_seed(&seed).unwrap().public(), key.public());
    for len in [0, 31, 33, 64] {
        assert!(MlDsa65::from_seed(&vec![1; len]).is_err());
    }
    for len in [0, 32, 63, 65] {
        assert!(MlKem768::from_seed(&vec![1; len]).is_err());
    }
}
