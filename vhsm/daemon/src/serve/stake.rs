//! Which answers wait for the sealed file: the whole of it, by operation.

use crate::seal::Stake;
use nitride_protocol::Operation;
use nitride_vault::Used;

/// How the answer to `operation` stands to what the file may lack. `used` is the key that was used,
/// one in the file if any of several is; `has_changed` says that this request has changed what the
/// file is to have: what others change, their own answers wait for.
pub(super) fn stake_of(
    operation: Option<Operation>,
    used: Option<Used>,
    has_changed: bool,
) -> Stake {
    use Operation::{
        Attest, AuditHead, CheckPolicy, Decrypt, DecryptBuffer, Describe, EndPhase, Explain, Hello,
        List, Random, RegisterBuffer, Release, Reload, Status, Verify, VerifyMac, Why, Wipe,
    };
    match (operation, used) {
        // No key is in it. Of a wipe there is nothing that a file could have, and with the end of a
        // phase none is written any more.
        (
            Some(
                Hello | Random | Status | Attest | AuditHead | RegisterBuffer | CheckPolicy
                | Explain | Why | Wipe | EndPhase,
            ),
            _,
        ) => Stake::Nothing,
        // They change no key.
        (Some(Describe | List | Reload), _) => Stake::Shows,
        // Also of a key whose rule does not say `seal` any more: the file that counts has it.
        _ if has_changed => Stake::Rests,
        // What was opened or verified was made with a version that was here before: somebody needs
        // it again for that already.
        (Some(Verify | VerifyMac | Decrypt | DecryptBuffer | Release), _) => Stake::Nothing,
        // Somebody will need the key again for what comes of it.
        (_, Some(used)) if used.is_sealed => Stake::Rests,
        _ => Stake::Nothing,
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
    fn who_uses_and_changes_no_key_of_the_file_waits_for_none_whatever_others_change() {
        use Operation::{
            Agree, Batch, Decapsulate, DecryptBuffer, Derive, Destroy, Encapsulate, EncryptBuffer,
            Generate, Import, PublicKey, Rotate, Sign, Unwrap, Verify, Wrap,
        };
        for operation in [
            Agree,
            Batch,
            Decapsulate,
            DecryptBuffer,
            Derive,
            Destroy,
            Encapsulate,
            EncryptBuffer,
            Generate,
            Import,
            PublicKey,
            Rotate,
            Sign,
            Unwrap,
            Verify,
            Wrap,
        ] {
            for used in [None, used(false)] {
                let stake = stake_of(Some(operation), used, false);
                assert_eq!(stake, Stake::Nothing, "{operation:?}");
            }
        }
        for operation in [Operation::Random, Operation::Status] {
            assert_eq!(stake_of(Some(operation), None, true), Stake::Nothing);
        }
    }

    #[test]
    fn a_use_that_a_file_counts_rests_on_it_whatever_the_rule_of_its_key_says_by_now() {
        use Operation::{Batch, Decrypt, EncryptBuffer, Mac, Release, Sign};
        for operation in [Batch, Decrypt, EncryptBuffer, Mac, Release, Sign] {
            let stake = stake_of(Some(operation), used(false), true);
            assert_eq!(stake, Stake::Rests, "{operation:?}");
        }
    }

    #[test]
    fn whoever_asks_how_keys_are_is_shown_what_the_file_has() {
        for operation in [Operation::Describe, Operation::List, Operation::Reload] {
            assert_eq!(stake_of(Some(operation), None, false), Stake::Shows);
        }
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
            }
        }
        // A key may have come to be on the way to a use that was refused.
        assert_eq!(stake_of(Some(Operation::Mac), None, true), Stake::Rests);
        // What nobody knows may be anything.
        assert_eq!(stake_of(None, None, true), Stake::Rests);
    }
}
