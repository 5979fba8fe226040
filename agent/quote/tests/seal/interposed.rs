//! What somebody between the helper and the TPM achieves, or a fault there.

use crate::interposer::{
    Hold, Holder, Interposer, NV_INCREMENT, PATIENCE, Passing, READ_PUBLIC, START_AUTH_SESSION,
    number,
};
use crate::process::{Helper, Part};
use crate::swtpm::{STORAGE_KEY, Swtpm};
use nitride_protocol::quote::PlatformKeyRequest;
use nitride_protocol::{Call, Status, write_request};
use nix::unistd::getuid;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::structures::{RsaExponent, SymmetricDefinitionObject};
use tss_esapi::utils::create_restricted_decryption_rsa_public;

/// Whoever answers the first question about the storage key with a key of theirs, and the next with
/// the name that is wanted, would be told the session's secret.
#[test]
fn no_session_is_salted_to_a_key_that_only_goes_by_the_storage_keys_name() {
    const THEIRS: u32 = STORAGE_KEY + 1;
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    for (handle, bits) in [
        (STORAGE_KEY, RsaKeyBits::Rsa2048),
        (THEIRS, RsaKeyBits::Rsa3072),
    ] {
        let cipher = SymmetricDefinitionObject::AES_128_CFB;
        let exponent = RsaExponent::default();
        let public = create_restricted_decryption_rsa_public(cipher, bits, exponent).unwrap();
        tpm.keep_at(handle, public);
    }
    let is_lying = Arc::new(AtomicBool::new(false));
    let lies = Arc::clone(&is_lying);
    let interposer = Interposer::start(&tpm, move |passing| {
        if let Passing::Command(command) = passing
            && number(&command[6..10]) == READ_PUBLIC
            && lies.swap(false, Ordering::SeqCst)
        {
            assert_eq!(number(&command[10..14]), STORAGE_KEY);
            command[10..14].copy_from_slice(&THEIRS.to_be_bytes());
        }
    });
    let helper = Helper::start("tpm", &interposer.lines(&tpm, &tpm.lines()));
    let made = helper.make().unwrap();
    assert_eq!(helper.again(&made.params), Ok(made.clone()));
    let before = interposer.commands().len();
    is_lying.store(true, Ordering::SeqCst);
    assert_eq!(helper.again(&made.params), Err(Status::PlatformForeign));
    assert!(!is_lying.load(Ordering::SeqCst));
    let since = interposer.commands().split_off(before);
    assert!(
        since
            .iter()
            .all(|command| number(&command[6..10]) != START_AUTH_SESSION)
    );
    assert_eq!(helper.again(&made.params), Ok(made));
}

/// Once what was left of an earlier one is taken back.
fn made_at_last(helper: &Helper) -> Part {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match helper.make() {
            Ok(made) => return made,
            Err(refused) => assert!(Instant::now() < deadline, "{refused}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_counter_whose_first_step_fails_is_not_left_in_the_way() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let mut is_failing = true;
    let interposer = Interposer::start(&tpm, move |passing| {
        if let Passing::Command(command) = passing
            && number(&command[6..10]) == NV_INCREMENT
            && std::mem::take(&mut is_failing)
        {
            // A command that there is none of.
            command[6..10].copy_from_slice(&[0, 0, 0xff, 0xff]);
        }
    });
    let lines = interposer.lines(&tpm, &tpm.lines_with_counter());
    let helper = Helper::start("tpm", &lines);
    assert_eq!(helper.make(), Err(Status::PlatformAbsent));
    let made = helper.make().unwrap();
    assert!(helper.counter(&made.params, false).is_ok());
}

#[test]
fn a_part_that_is_made_too_late_is_taken_back_with_its_counter() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let (hold, holder) = Hold::new();
    holder.want.send(()).unwrap();
    let interposer = Interposer::holding(&tpm, NV_INCREMENT, hold);
    let lines = interposer.lines(&tpm, &tpm.lines_with_counter());
    let helper = Helper::start_within(3000, getuid().as_raw(), "tpm", &lines);
    assert_eq!(helper.make(), Err(Status::TimedOut));
    holder.held.recv_timeout(PATIENCE).unwrap();
    drop(holder.release);
    let made = made_at_last(&helper);
    assert!(helper.counter(&made.params, false).is_ok());
    assert!(helper.log().contains("it is taken back"));
}

#[test]
fn a_part_whose_asker_hung_up_is_taken_back_with_its_counter() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let (hold, holder) = Hold::new();
    holder.want.send(()).unwrap();
    let interposer = Interposer::holding(&tpm, NV_INCREMENT, hold);
    let lines = interposer.lines(&tpm, &tpm.lines_with_counter());
    let helper = Helper::start("tpm", &lines);
    make_and_hang_up(&helper, &holder);
    drop(holder.release);
    let made = made_at_last(&helper);
    assert!(helper.counter(&made.params, false).is_ok());
    assert!(helper.log().contains("it is taken back"));
}

/// Asks for a new part, and hangs up once that is under way.
fn make_and_hang_up(helper: &Helper, holder: &Holder) {
    let asker = helper.connect();
    let question = PlatformKeyRequest {
        platform: "tpm",
        params: &[],
    };
    let mut packet = [0; 256];
    let operation = PlatformKeyRequest::OPERATION;
    let len = write_request(&mut packet, 1, operation, &question).unwrap();
    asker.send(&packet[..len]).unwrap();
    holder.held.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_counter_that_was_made_since_is_not_taken_back_with_what_came_too_late() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let (mut at_the_step, holder) = Hold::new();
    let (mut at_the_next, next) = Hold::new();
    holder.want.send(()).unwrap();
    let interposer = Interposer::start(&tpm, move |passing| match passing {
        Passing::Answer(NV_INCREMENT) => at_the_step.hold(),
        Passing::Command(command) if number(&command[6..10]) == READ_PUBLIC => {
            at_the_next.hold();
        }
        _ => (),
    });
    let lines = interposer.lines(&tpm, &tpm.lines_with_counter());
    let helper = Helper::start("tpm", &lines);
    make_and_hang_up(&helper, &holder);
    next.want.send(()).unwrap();
    drop(holder.release);
    // It is about to be taken back.
    next.held.recv_timeout(PATIENCE).unwrap();
    tpm.redefine();
    drop(next.release);
    assert_eq!(helper.make(), Err(Status::CounterLost));
    assert!(helper.log().contains("cannot be taken back"));
}
