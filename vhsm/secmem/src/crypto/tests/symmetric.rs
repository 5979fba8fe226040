//! Known answers and refusals of MAC, ciphers, key wrap and digests.

use super::hex;
use crate::SecretBuf;
use crate::crypto::{
    AeadAlgorithm, AeadKey, CryptoError, HmacSha256, TAG_LEN, aes256_key_unwrap, concat_kdf_sha256,
    constant_time_eq, fill_random, sha256, sha384,
};
use crate::testing::{installed, unhex};

// --- HMAC-SHA-256: RFC 4231

#[test]
fn hmac_gives_the_tags_of_rfc_4231() {
    installed();
    let long_key = [0xaa; 131];
    let counting: Vec<u8> = (1..=25).collect();
    let long_text = b"This is a test using a larger than block-size key and a larger than \
        block-size data. The key needs to be hashed before being used by the HMAC algorithm.";
    let cases: [(&[u8], &[u8], &str); 6] = [
        (
            &[0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            &[0xaa; 20],
            &[0xdd; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        (
            &counting,
            &[0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (
            &long_key,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            &long_key,
            long_text,
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ];
    for (key, data, tag) in cases {
        let mac = HmacSha256::new(key).unwrap();
        // Twice, since the keyed context must stay as it is.
        for _ in 0..2 {
            assert_eq!(mac.tag(data).unwrap(), hex(tag));
            assert!(mac.verify(data, &hex::<32>(tag)).unwrap());
        }
        let mut other = hex::<32>(tag);
        other[31] ^= 1;
        assert!(!mac.verify(data, &other).unwrap());
        assert!(!mac.verify(data, &hex::<32>(tag)[..31]).unwrap());
        assert!(!mac.verify(data, &[]).unwrap());
    }
}

#[test]
fn an_empty_hmac_key_is_refused() {
    installed();
    assert_eq!(HmacSha256::new(&[]).unwrap_err(), CryptoError::InvalidKey);
}

// --- AEADs: the GCM specification's cases 13 to 16, RFC 8452 C.2

struct AeadCase {
    algorithm: AeadAlgorithm,
    key: &'static str,
    nonce: &'static str,
    aad: &'static str,
    plaintext: &'static str,
    sealed: &'static str,
}

const AEAD_CASES: [AeadCase; 6] = [
    AeadCase {
        algorithm: AeadAlgorithm::Aes256Gcm,
        key: "0000000000000000000000000000000000000000000000000000000000000000",
        nonce: "000000000000000000000000",
        aad: "",
        plaintext: "",
        sealed: "530f8afbc74536b9a963b4f1c4cb738b",
    },
    AeadCase {
        algorithm: AeadAlgorithm::Aes256Gcm,
        key: "0000000000000000000000000000000000000000000000000000000000000000",
        nonce: "000000000000000000000000",
        aad: "",
        plaintext: "00000000000000000000000000000000",
        sealed: "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
    },
    AeadCase {
        algorithm: AeadAlgorithm::Aes256Gcm,
        key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        nonce: "cafebabefacedbaddecaf888",
        aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        plaintext: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
            1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        sealed: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
            8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662\
            76fc6ece0f4e1768cddf8853bb2d551b",
    },
    AeadCase {
        algorithm: AeadAlgorithm::Aes256GcmSiv,
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "",
        plaintext: "",
        sealed: "07f5f4169bbf55a8400cd47ea6fd400f",
    },
    AeadCase {
        algorithm: AeadAlgorithm::Aes256GcmSiv,
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "",
        plaintext: "0100000000000000",
        sealed: "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28",
    },
    AeadCase {
        algorithm: AeadAlgorithm::Aes256GcmSiv,
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "01",
        plaintext: "0200000000000000",
        sealed: "1de22967237a813291213f267e3b452f02d01ae33e4ec854",
    },
];

#[test]
fn the_ciphers_give_the_published_ciphertexts() {
    installed();
    for case in &AEAD_CASES {
        let key = AeadKey::new(case.algorithm, &unhex(case.key)).unwrap();
        let (nonce, aad, plaintext) = (hex(case.nonce), unhex(case.aad), unhex(case.plaintext));
        let sealed = unhex(case.sealed);
        // However the additional data is cut up.
        for cut in [0, aad.len() / 2, aad.len()] {
            let parts = [&aad[..cut], &aad[cut..]];
            let mut out = vec![0xff; sealed.len() + 3];
            let written = key.seal(&nonce, &parts, &plaintext, &mut out).unwrap();
            assert_eq!(out[..written], sealed[..]);
            assert_eq!(out[written..], [0xff; 3], "nothing beyond is written");
            let mut opened = vec![0xff; plaintext.len()];
            let written = key.open(&nonce, &parts, &sealed, &mut opened).unwrap();
            assert_eq!(opened[..written], plaintext[..]);
        }
    }
}

#[test]
fn a_changed_ciphertext_opens_to_nothing() {
    installed();
    for case in &AEAD_CASES {
        let key = AeadKey::new(case.algorithm, &unhex(case.key)).unwrap();
        let (nonce, aad, sealed) = (hex(case.nonce), unhex(case.aad), unhex(case.sealed));
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            let mut out = vec![0xff; sealed.len()];
            assert_eq!(
                key.open(&nonce, &[&aad], &changed, &mut out),
                Err(CryptoError::NotAuthentic)
            );
            assert!(out.iter().all(|byte| *byte == 0), "output is zeroed");
        }
        let mut out = vec![0xff; sealed.len()];
        assert!(key.open(&nonce, &[&aad, b"x"], &sealed, &mut out).is_err());
        assert!(key.open(&nonce, &[&aad], &sealed[1..], &mut out).is_err());
        assert!(key.open(&nonce, &[&aad], &[], &mut out).is_err());
    }
}

#[test]
fn lengths_that_do_not_fit_are_named() {
    installed();
    let algorithm = AeadAlgorithm::Aes256Gcm;
    for len in [0, 16, 31, 33, 64] {
        let key = vec![1; len];
        assert_eq!(
            AeadKey::new(algorithm, &key).unwrap_err(),
            CryptoError::InvalidKey
        );
    }
    let key = AeadKey::new(algorithm, &[1; 32]).unwrap();
    let mut short = [0xff; 4 + TAG_LEN - 1];
    assert_eq!(
        key.seal(&[0; 12], &[], b"data", &mut short),
        Err(CryptoError::OutputTooShort)
    );
    let mut sealed = [0; 4 + TAG_LEN];
    key.seal(&[0; 12], &[], b"data", &mut sealed).unwrap();
    let mut short = [0xff; 3];
    assert_eq!(
        key.open(&[0; 12], &[], &sealed, &mut short),
        Err(CryptoError::OutputTooShort)
    );
    assert_eq!(short, [0; 3]);
}

#[test]
fn long_additional_data_is_joined_in_the_arena() {
    installed();
    let key = AeadKey::new(AeadAlgorithm::Aes256GcmSiv, &[1; 32]).unwrap();
    let aad = vec![7; 4096];
    let (mut cut, mut whole) = ([0; 32], [0; 32]);
    key.seal(&[2; 12], &[&aad[..24], &aad[24..]], &[3; 16], &mut cut)
        .unwrap();
    key.seal(&[2; 12], &[&aad], &[3; 16], &mut whole).unwrap();
    assert_eq!(cut, whole);
}

// --- Key wrap: RFC 3394 4.3, 4.5, 4.6

#[test]
fn key_unwrap_gives_the_keys_of_rfc_3394() {
    installed();
    let kek = unhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    for (wrapped, key) in [
        (
            "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7",
            "00112233445566778899aabbccddeeff",
        ),
        (
            "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1",
            "00112233445566778899aabbccddeeff0001020304050607",
        ),
        (
            "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21",
            "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
        ),
    ] {
        let wrapped = unhex(wrapped);
        let unwrapped = aes256_key_unwrap(&kek, &wrapped).unwrap();
        assert_eq!(unwrapped.expose(), unhex(key));
        for index in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[index] ^= 0x80;
            assert_eq!(
                aes256_key_unwrap(&kek, &changed).unwrap_err(),
                CryptoError::NotAuthentic
            );
        }
    }
    for len in [0, 8, 16, 23, 25, 41, 64 * 1024 + 8] {
        assert_eq!(
            aes256_key_unwrap(&kek, &vec![0; len]).unwrap_err(),
            CryptoError::BadLength
        );
    }
    assert_eq!(
        aes256_key_unwrap(&kek[1..], &[0; 24]).unwrap_err(),
        CryptoError::InvalidKey
    );
}

// --- Digests and the KDF

#[test]
fn digests_are_those_of_fips_180() {
    let abc: [&[u8]; 2] = [b"a", b"bc"];
    assert_eq!(
        sha256(&abc),
        hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    );
    assert_eq!(
        sha384(&abc),
        hex(
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
             8086072ba1e7cc2358baeca134c825a7"
        )
    );
    assert_eq!(
        sha256(&[]),
        hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    );
}

#[test]
fn the_kdf_is_one_round_of_counter_secret_info() {
    installed();
    // RFC 7518 appendix C: the first 16 bytes are its derived key.
    let z = SecretBuf::copy_of(&[
        158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110,
        163, 218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
    ])
    .unwrap();
    let mut info = Vec::new();
    for field in [&b"A128GCM"[..], b"Alice", b"Bob"] {
        info.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
        info.extend(field);
    }
    info.extend(128_u32.to_be_bytes());
    let derived = concat_kdf_sha256(&[&z], &info).unwrap();
    assert_eq!(
        derived.expose()[..16],
        [
            86, 170, 141, 234, 248, 35, 109, 32, 92, 34, 40, 205, 113, 167, 16, 26
        ]
    );
    assert_eq!(derived.len(), 32);
}

#[test]
fn comparison_is_by_length_and_every_byte() {
    assert!(constant_time_eq(b"", b""));
    assert!(constant_time_eq(b"same", b"same"));
    assert!(!constant_time_eq(b"same", b"sam"));
    assert!(!constant_time_eq(b"same", b"sama"));
    assert!(!constant_time_eq(b"same", b"lame"));
}

#[test]
fn random_bytes_are_not_those_of_before() {
    installed();
    let (mut one, mut other) = ([0; 64], [0; 64]);
    fill_random(&mut one);
    fill_random(&mut other);
    assert_ne!(one, other);
    fill_random(&mut []);
}
