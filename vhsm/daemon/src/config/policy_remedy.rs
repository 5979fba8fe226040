//! Where in the files a fault of the whole policy stands, and what to do about it.

use nitride_vault::policy::{PlaintextFault, PolicyFault};

/// The part of the policy that has the fault, as [`super::policy`] notes where it stands.
pub(super) fn part(fault: &PolicyFault) -> String {
    match fault {
        PolicyFault::DuplicateKey { key }
        | PolicyFault::NotOfType { key, .. }
        | PolicyFault::NeverReleased { key, .. }
        | PolicyFault::NotProvisioned { key, .. }
        | PolicyFault::NoService { key }
        | PolicyFault::ServiceTwice { key, .. }
        | PolicyFault::NoSigner { key }
        | PolicyFault::UnsignedWrappingKey { key }
        | PolicyFault::NeverValid { key }
        | PolicyFault::Zero { key, .. }
        | PolicyFault::RotatedElsewhere { key, .. }
        | PolicyFault::NotRotated { key, .. }
        | PolicyFault::WrapsItself { key }
        | PolicyFault::NotAWrappingKey { key, .. }
        | PolicyFault::NoSeal { key }
        | PolicyFault::CountedWithoutCounter { key }
        | PolicyFault::SealsItself { key }
        | PolicyFault::UnfitSealPart { key } => format!("key {key}"),
        PolicyFault::ListedSealPart { key, .. } => format!("key {key}"),
        PolicyFault::NeverListed { signer } | PolicyFault::ListElsewhere { signer, .. } => {
            format!("signer {signer}")
        }
        PolicyFault::Duplicate { kind, name } => format!("{kind} {name}"),
        PolicyFault::Unknown { by, .. }
        | PolicyFault::TooMany { by, .. }
        | PolicyFault::OnlyAHint { by }
        | PolicyFault::AnyPeer { by }
        | PolicyFault::RelativeCgroup { by } => by.clone(),
        PolicyFault::PlaintextCourier(
            PlaintextFault::NotAccepted { key, .. }
            | PlaintextFault::NoneInClear { key }
            | PlaintextFault::OtherKeys { key, .. }
            | PlaintextFault::Wrappable { key }
            | PlaintextFault::SealPart { key }
            | PlaintextFault::Volume { key, .. }
            | PlaintextFault::MixedUnsigned { key, .. }
            | PlaintextFault::ListedSigner { key, .. }
            | PlaintextFault::SharedResource { key, .. },
        ) => format!("key {key}"),
        PolicyFault::PlaintextCourier(PlaintextFault::Gate { gate, .. })
        | PolicyFault::NeverOpen { gate }
        | PolicyFault::NoTee { gate }
        | PolicyFault::UnknownTee { gate, .. }
        | PolicyFault::SimulatedTee { gate } => format!("gate {gate}"),
    }
}

/// What to do about it.
pub(super) fn remedy(fault: &PolicyFault) -> &'static str {
    match fault {
        PolicyFault::DuplicateKey { .. } | PolicyFault::Duplicate { .. } => "keep one of the two",
        PolicyFault::Unknown { .. } => {
            "state it (services and signers in vhsmd.toml, gates in the policy) or correct the name"
        }
        PolicyFault::NotOfType { .. } => "remove the operation or correct the type",
        PolicyFault::NeverReleased { .. } => {
            "remove release-to and measure-release, or correct the type"
        }
        PolicyFault::NotProvisioned { .. } => "remove it or state a kbs:/// source",
        PolicyFault::NoService { .. } => {
            "add service = \"…\", one of the [[service]] of vhsmd.toml, or a list of them"
        }
        PolicyFault::ServiceTwice { .. } => "name each once, the preferred one first",
        PolicyFault::NoSigner { .. } => {
            "name a signer, or state unsigned = \"accept\" and read what that means"
        }
        PolicyFault::UnsignedWrappingKey { .. } => "remove unsigned, and have its owner sign it",
        PolicyFault::NeverValid { .. } => "correct one of the two",
        PolicyFault::Zero { .. } => "state one or more, or leave it out",
        PolicyFault::RotatedElsewhere { .. } => "remove it, and have its owner store a new version",
        PolicyFault::NotRotated { .. } => {
            "remove it: what it holds is not for this vault to change"
        }
        PolicyFault::WrapsItself { .. } => "name another key",
        PolicyFault::NotAWrappingKey { .. } => "name a key of type aes-256-kwp",
        PolicyFault::TooMany { .. } => {
            "divide it, or state names with \"folder/*\" and peers with a group"
        }
        PolicyFault::OnlyAHint { .. } => "state uid, user, gid, group, unit or cgroup-prefix too",
        PolicyFault::AnyPeer { .. } => "state a condition for each peer",
        PolicyFault::RelativeCgroup { .. } => "begin it with a slash",
        PolicyFault::ListedSealPart { .. } => "give that key a [[signer]] with a public-key",
        PolicyFault::NeverListed { .. } => "state how old a list may get, as in \"1d\"",
        PolicyFault::ListElsewhere { .. } => "give each list a resource of its own",
        PolicyFault::NoSeal { .. } => "state [seal] in vhsmd.toml, or remove seal",
        PolicyFault::CountedWithoutCounter { .. } => {
            "remove one of the two, or state platform = \"tpm\" and counter = true under [seal]"
        }
        PolicyFault::SealsItself { .. } => "remove seal: its service brings it again",
        PolicyFault::UnfitSealPart { .. } => {
            "state such a [[key]], or correct provisioned under [seal]"
        }
        PolicyFault::NoTee { .. } => "name those that may open it, as in tees = [\"snp\", \"tdx\"]",
        PolicyFault::UnknownTee { .. } => "write it as the KBS protocol does, as in \"snp\"",
        PolicyFault::SimulatedTee { .. } => {
            "name the TEE that there is, or for a trial add danger-accept-simulated = true"
        }
        PolicyFault::PlaintextCourier(fault) => plaintext_remedy(fault),
        PolicyFault::NeverOpen { .. } => "state how old an approval may be",
    }
}

fn plaintext_remedy(fault: &PlaintextFault) -> &'static str {
    match fault {
        PlaintextFault::NotAccepted { .. } => {
            "name another service, or state plaintext-courier = true and read what that means"
        }
        PlaintextFault::NoneInClear { .. } => {
            "remove it, or name a [[service]] with plaintext-courier = true"
        }
        PlaintextFault::OtherKeys { .. } => "remove the operation, or have a KBS bring the key",
        PlaintextFault::Wrappable { .. } => "remove wrappable-by, or have a KBS bring the key",
        PlaintextFault::SealPart { .. } => "have a KBS bring it",
        PlaintextFault::Volume { .. } => {
            "have a KBS bring what opens a disk, or remove the volume from release-to"
        }
        PlaintextFault::MixedUnsigned { .. } => {
            "name a signer in the place of unsigned, or services of one kind alone"
        }
        PlaintextFault::ListedSigner { .. } => "give that key a [[signer]] with a public-key",
        PlaintextFault::SharedResource { .. } => {
            "give it a resource of its own, or state plaintext-courier for it, too"
        }
        PlaintextFault::Gate { .. } => "name a KBS",
    }
}
