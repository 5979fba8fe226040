//! The sealed secret.

use crate::process::Helper;
use crate::swtpm::Swtpm;
use nitride_protocol::Status;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::structures::{EccScheme, HashScheme, RsaExponent, SymmetricDefinitionObject};
use tss_esapi::utils::{
    create_restricted_decryption_rsa_public, create_unrestricted_signing_ecc_public,
};

#[test]
fn a_secret_comes_again_in_another_process_and_after_a_boot() {
    let Some(mut tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines());
    let made = helper.make().unwrap();
    assert_ne!(made.secret, [0; 32]);
    assert_eq!(helper.again(&made.params), Ok(made.clone()));
    let other = helper.make().unwrap();
    assert_ne!(other.secret, made.secret);
    let log = helper.log();
    assert!(log.contains("sealing by tpm"), "{log}");
    tpm.restart();
    let helper = Helper::start("tpm", &tpm.lines());
    assert_eq!(helper.again(&made.params), Ok(made));
    assert_eq!(helper.again(&other.params), Ok(other));
}

#[test]
fn a_secret_is_not_given_once_something_else_was_measured() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines());
    let made = helper.make().unwrap();
    tpm.extend();
    assert_eq!(helper.again(&made.params), Err(Status::PlatformChanged));
    tpm.reset();
    assert_eq!(helper.again(&made.params), Ok(made));
    assert!(helper.log().contains("the PCRs have other values"));
}

#[test]
fn params_that_name_other_pcrs_than_the_configuration_are_refused() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let other = tpm.lines().replace("[4, 16]", "[4]");
    let made = Helper::start("tpm", &other).make().unwrap();
    let helper = Helper::start("tpm", &tpm.lines());
    assert_eq!(helper.again(&made.params), Err(Status::PlatformChanged));
}

#[test]
fn a_secret_under_another_policy_than_it_was_made_with_is_foreign() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines());
    let made = helper.make().unwrap();
    let mut moved = made.params.clone();
    // The policy's digest, after magic, PCRs, counter and parent.
    moved[50] ^= 1;
    assert_eq!(helper.again(&moved), Err(Status::PlatformForeign));
}

#[test]
fn a_secret_of_another_or_a_cleared_tpm_is_foreign() {
    let (Some(tpm), Some(stranger)) = (Swtpm::start(), Swtpm::start()) else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines());
    let foreign = Helper::start("tpm", &stranger.lines()).make().unwrap();
    assert_eq!(helper.again(&foreign.params), Err(Status::PlatformForeign));
    let made = helper.make().unwrap();
    // The stranger's object under our own parent's name.
    let mut mixed = foreign.params.clone();
    mixed[..50].copy_from_slice(&made.params[..50]);
    assert_eq!(helper.again(&mixed), Err(Status::PlatformForeign));
    tpm.clear();
    assert_eq!(helper.again(&made.params), Err(Status::PlatformForeign));
    assert!(helper.log().contains("another or was cleared"));
}

#[test]
fn damaged_params_are_foreign_and_never_another_secret() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines());
    let made = helper.make().unwrap();
    for at in (16..made.params.len()).step_by(13) {
        let mut damaged = made.params.clone();
        damaged[at] ^= 0x20;
        let refused = helper.again(&damaged);
        assert_eq!(refused, Err(Status::PlatformForeign), "byte {at}");
    }
    for params in [&b"x"[..], &made.params[..100], &[0xff; 4096]] {
        assert_eq!(helper.again(params), Err(Status::PlatformForeign));
    }
}

#[test]
fn the_storage_key_that_the_machine_was_prepared_with_is_used() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines());
    let before = helper.make().unwrap();
    let template = create_restricted_decryption_rsa_public(
        SymmetricDefinitionObject::AES_128_CFB,
        RsaKeyBits::Rsa2048,
        RsaExponent::default(),
    );
    tpm.keep_storage_key(template.unwrap());
    let after = helper.make().unwrap();
    // Where the params say which storage key.
    assert_ne!(before.params[16..50], after.params[16..50]);
    assert_eq!(helper.again(&before.params), Ok(before));
    assert_eq!(helper.again(&after.params), Ok(after));
}

#[test]
fn a_key_that_is_no_storage_key_is_passed_over_where_one_is_expected() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines());
    let before = helper.make().unwrap();
    let template = create_unrestricted_signing_ecc_public(
        EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256)),
        EccCurve::NistP256,
    );
    tpm.keep_storage_key(template.unwrap());
    let after = helper.make().unwrap();
    assert_eq!(before.params[16..50], after.params[16..50]);
}

#[test]
fn nothing_of_ours_stays_in_the_tpm() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines_with_counter());
    let made = helper.make().unwrap();
    helper.again(&made.params).unwrap();
    helper.counter(&made.params, true).unwrap();
    tpm.extend();
    helper.again(&made.params).unwrap_err();
    assert_eq!(tpm.handles_left(), 0);
}
