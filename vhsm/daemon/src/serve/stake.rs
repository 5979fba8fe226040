//! Which answers wait for the sealed file: the whole of it, by operation.

use crate::seal::Stake;
use nitride_protocol::Operation;
use nitride_vault::Used;

/// How the answer to `operation` stands to what the file may lack. `used` is the key that was used,
/// one in the file if any of several is; `has_changed` says that the vault has counted a change
/// since the request began, which may be this request's.
pub(super) fn stake_of(
    operation: Option<Operation>,
    used: Option<Used>,
    has_changed: bool,
) -> Stake {
    use Operation::{
        Attest, AuditHead, Batch, CheckPolicy, Decrypt, DecryptBuffer, Describe, Encrypt,
        EncryptBuffer, Explain, Hello, List, Mac, PublicKey, Random, RegisterBuffer, Release,
        Reload, Sign, Status, Verify, VerifyMac, Why, Wipe,
    };
    let change = match has_changed {
        true => Stake::Rests,
        false => Stake::Shows,
    };
    match (operation, used) {
        // No key is in it. Of a wipe there is nothing that a file could have.
        (
            Some(
                Hello | Random | Status | Attest | AuditHead | RegisterBuffer | CheckPolicy
                | Explain | Why | Wipe,
            ),
            _,
        ) => Stake::Nothing,
        // They change no key.
        (Some(Describe | List | Reload), _) => Stake::Shows,
        // A use changes the key that it uses, and no other.
        (
            Some(
                PublicKey | Sign | Verify | Encrypt | Decrypt | Mac | VerifyMac | Release
                | EncryptBuffer | DecryptBuffer | Batch,
            ),
            Some(used),
        ) if !used.is_sealed => Stake::Nothing,
        // What was opened or verified was made with a version that was here before: somebody needs
        // it again for that already. That it was counted is a change.
        (Some(Verify | VerifyMac | Decrypt | DecryptBuffer | Release), Some(_)) => {
            match has_changed {
                true => Stake::Rests,
                false => Stake::Nothing,
            }
        }
        // Somebody will need the key again for what comes of it.
        (Some(PublicKey | Sign | Encrypt | Mac | EncryptBuffer | Batch), Some(_)) => Stake::Rests,
        (_, Some(used)) if used.is_sealed => Stake::Rests,
        _ => change,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_protocol::KeyType;

    fn used(is_sealed: bool) -> Option<Used> {
        Some(Used {
            key_type: KeyType::Ed25519,
            version: 1,
            is_sealed,
        })
    }

    #[test]
    fn who_uses_a_key_of_no_file_waits_for_none_whatever_others_change() {
        use Operation::{Batch, DecryptBuffer, EncryptBuffer, PublicKey, Sign, Verify};
        for operation in [Batch, DecryptBuffer, EncryptBuffer, PublicKey, Sign, Verify] {
            for has_changed in [false, true] {
                let stake = stake_of(Some(operation), used(false), has_changed);
                assert_eq!(stake, Stake::Nothing, "{operation:?}");
            }
        }
        assert_eq!(
            stake_of(Some(Operation::Random), None, true),
            Stake::Nothing
        );
        assert_eq!(
            stake_of(Some(Operation::Status), None, true),
            Stake::Nothing
        );
    }

    #[test]
    fn what_is_worth_nothing_without_its_key_rests_on_it_and_a_public_key_first_of_all() {
        use Operation::{Batch, Derive, Encrypt, EncryptBuffer, Mac, PublicKey, Sign, Wrap};
        for operation in [
            Batch,
            Derive,
            Encrypt,
            EncryptBuffer,
            Mac,
            PublicKey,
            Sign,
            Wrap,
        ] {
            let stake = stake_of(Some(operation), used(true), false);
            assert_eq!(stake, Stake::Rests, "{operation:?}");
        }
    }

    #[test]
    fn what_was_opened_waits_for_nothing_but_its_own_count() {
        use Operation::{Decrypt, DecryptBuffer, Release, Verify, VerifyMac};
        for operation in [Decrypt, DecryptBuffer, Release, Verify, VerifyMac] {
            assert_eq!(stake_of(Some(operation), used(true), false), Stake::Nothing);
            assert_eq!(stake_of(Some(operation), used(true), true), Stake::Rests);
        }
    }

    #[test]
    fn a_change_rests_on_the_file_whatever_was_used_for_it() {
        use Operation::{Agree, Derive, Destroy, Generate, Import, Restore, Rotate, Unwrap};
        for operation in [
            Agree, Derive, Destroy, Generate, Import, Restore, Rotate, Unwrap,
        ] {
            for used in [None, used(false)] {
                assert_eq!(stake_of(Some(operation), used, true), Stake::Rests);
                assert_eq!(stake_of(Some(operation), used, false), Stake::Shows);
            }
        }
        // A key may have come to be on the way to a use that was refused.
        assert_eq!(stake_of(Some(Operation::Mac), None, true), Stake::Rests);
        // What nobody knows may be anything.
        assert_eq!(stake_of(None, None, true), Stake::Rests);
    }
}
