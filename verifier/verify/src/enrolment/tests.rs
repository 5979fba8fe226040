use super::*;
use aws_lc_rs::cipher::{DecryptingKey, DecryptionContext};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};

const SEED: [u8; 32] = [3; 32];
const SECRET: [u8; 32] = [4; 32];

/// fixedTPM, fixedParent, sensitiveDataOrigin, restricted, and sign or decrypt.
const ATTESTS: u32 = 0x0005_0032;
const ENDORSES: u32 = 0x0003_0032;

fn ak(attributes: u32) -> Vec<u8> {
    let mut area = vec![0, 0x23, 0, 0x0b];
    area.extend(attributes.to_be_bytes());
    area.extend([
        0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10, 0, 1, 7, 0, 1, 8,
    ]);
    area
}

fn ek(attributes: u32, key: &PrivateDecryptingKey) -> Vec<u8> {
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let modulus = &der.as_ref()[33..289];
    let mut area = vec![0, 1, 0, 0x0b];
    area.extend(attributes.to_be_bytes());
    area.extend([0, 0, 0, 6, 0, 128, 0, 0x43, 0, 0x10, 8, 0, 0, 0, 0, 0, 1, 0]);
    area.extend(modulus);
    area
}

fn request(ek: &[u8], ak: &[u8]) -> String {
    let form = json!({
        "version": 1,
        "ek_public": Base64::encode_string(ek),
        "ek_certificate": null,
        "ak_public": Base64::encode_string(ak),
    });
    form.to_string()
}

/// What a TPM does (part 1, 24.6).
fn activated(challenge: &str, key: PrivateDecryptingKey, name: &[u8; 34]) -> Option<Vec<u8>> {
    let form: serde_json::Value = serde_json::from_str(challenge).unwrap();
    let member = |name: &str| Base64::decode_vec(form[name].as_str().unwrap()).unwrap();
    let key = OaepPrivateDecryptingKey::new(key).unwrap();
    let mut seed = vec![0; key.min_output_size()];
    let label = Some(&b"IDENTITY\0"[..]);
    let seed = key
        .decrypt(&OAEP_SHA256_MGF1SHA256, &member("secret"), &mut seed, label)
        .unwrap();
    let seed: [u8; 32] = (&*seed).try_into().unwrap();
    let credential = member("credential");
    let (tag, identity) = credential[2..].split_at(32);
    let integrity = hmac::Key::new(hmac::HMAC_SHA256, &derived(&seed, b"INTEGRITY\0", &[], 256));
    hmac::verify(&integrity, &[identity, name].concat(), tag).ok()?;
    let cipher = derived(&seed, b"STORAGE\0", name, 128);
    let cipher = UnboundCipherKey::new(&AES_128, &cipher[..16]).unwrap();
    let cipher = DecryptingKey::cfb128(cipher).unwrap();
    let mut identity = identity.to_vec();
    let zeros = DecryptionContext::Iv128(FixedLength::from([0; 16]));
    let opened = cipher.decrypt(&mut identity, zeros).unwrap();
    Some(opened[2..].to_vec())
}

#[test]
fn only_the_tpm_with_both_keys_opens_a_challenge() {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let ak = ak(ATTESTS);
    let enrolment = Enrolment::read(&request(&ek(ENDORSES, &key), &ak)).unwrap();
    assert_eq!(*enrolment.name(), tpm_name(&ak));
    let mut expected = [0; 32];
    expected.copy_from_slice(digest(&SHA256, &enrolment.endorsement_key).as_ref());
    let refused = enrolment.challenge(&[0; 32], &SEED, &SECRET);
    assert!(matches!(refused, Err(EnrolmentFault::OtherTpm { .. })));
    let challenge = enrolment.challenge(&expected, &SEED, &SECRET).unwrap();
    let other = tpm_name(b"another key");
    assert_eq!(activated(&challenge, key.clone(), &other), None);
    let opened = activated(&challenge, key, enrolment.name()).unwrap();
    assert_eq!(opened, SECRET);
    let kept = kept(&SECRET);
    let answer = |bytes: &[u8]| {
        let answer = Base64::encode_string(bytes);
        is_answered(
            &format!("{{\"version\":1,\"answer\":\"{answer}\"}}\n"),
            &kept,
        )
    };
    assert_eq!(answer(&opened), Ok(true));
    assert_eq!(answer(&[5; 32]), Ok(false));
    assert!(is_answered("{}", &kept).is_err());
}

#[test]
fn keys_of_another_use_are_not_enrolled() {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let good = (ek(ENDORSES, &key), ak(ATTESTS));
    assert!(Enrolment::read(&request(&good.0, &good.1)).is_ok());
    for (ek, ak) in [
        (ek(ENDORSES ^ 1 << 16, &key), good.1.clone()),
        (good.0.clone(), ak(ATTESTS ^ 1 << 16)),
        (good.0.clone(), ak(ATTESTS ^ 1 << 1)),
        (good.1.clone(), good.1.clone()),
        (good.0.clone(), good.0.clone()),
    ] {
        let refused = Enrolment::read(&request(&ek, &ak));
        assert!(matches!(refused, Err(EnrolmentFault::OtherUse { .. })));
    }
    let later = request(&good.0, &good.1).replace("\"version\":1", "\"version\":2");
    assert!(matches!(
        Enrolment::read(&later),
        Err(EnrolmentFault::Form { .. })
    ));
}
