//! What is allowed, as plain data: built by vhsmd's configuration, judged by [`crate::Vault`].
//!
//! Nothing here has a default that allows: a rule without peers, a peer match without a condition,
//! a key without operations and a `secret` without `release-to` all deny.

mod active;
mod current;
mod fault;
mod issuer_key;
pub mod limits;
mod pattern;
mod peers;
mod plaintext_check;
mod release_to;
mod seal_check;
mod service_check;
mod signer_check;
mod tees;

pub(crate) use active::{ActivePolicy, Believed};
pub(crate) use current::CurrentPolicy;
pub use fault::PolicyFault;
pub use issuer_key::IssuerKey;
pub use pattern::{NamePattern, PatternError};
pub use peers::{Asked, PeerMatch};
pub use plaintext_check::PlaintextFault;
pub use release_to::{ReleaseTo, ReleaseToError};
pub(crate) use tees::SIMULATED;
pub use tees::TEES;

use crate::Peer;
use nitride_kbs::resource::ResourcePath;
use nitride_protocol::{KeyNameBuf, KeyType, OperationSet};

/// A whole policy; it replaces the one before as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicySet {
    /// Counted by whoever reads the files; the vault only reports it.
    pub generation: u64,
    /// SHA-256 over the files, for status and audit.
    pub digest: [u8; 32],
    /// Who may use the admin socket: any match is enough, and an empty list is nobody.
    pub admins: Vec<PeerMatch>,
    /// Who may ask what of which names.
    pub rules: Vec<Rule>,
    /// What the keys themselves allow, at most one rule a name.
    pub keys: Vec<KeyRule>,
    /// What an approval of the VM takes, at most one rule a name.
    pub gates: Vec<GateRule>,
    /// The provisioning services that keys and gates may refer to.
    pub services: Vec<Service>,
    /// Owners of resources, whose envelopes keys may name.
    pub signers: Vec<Signer>,
    /// Owners whose keys a list names that they sign; no name of theirs is one of `signers`.
    pub listed_signers: Vec<ListedSigner>,
    /// What the seal is, where there is one.
    pub seal: Option<SealTerms>,
}

impl PolicySet {
    /// Whether any rule or administrator is known by its program, too.
    pub fn asks_about_programs(&self) -> bool {
        let stated = self.rules.iter().flat_map(|rule| &rule.peers);
        stated
            .chain(&self.admins)
            .any(|stated| stated.executable_digest.is_some())
    }
}

/// Grants `operations` on the names that match any of `keys` to the peers that match any of
/// `peers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// For the log.
    pub name: String,
    /// Names it is about. `random`, `status` and `list` are about no name and need none to match.
    pub keys: Vec<NamePattern>,
    /// Peers it is about.
    pub peers: Vec<PeerMatch>,
    /// What it grants.
    pub operations: OperationSet,
}

impl Rule {
    /// Why it is not about `peer`, for people; `None` where it is.
    pub(crate) fn unmet(&self, peer: &Peer) -> Option<String> {
        let mut unmet = None;
        for stated in &self.peers {
            // Of several, the first is as good as any.
            unmet = unmet.or(Some(stated.unmet(peer)?));
        }
        Some(unmet.unwrap_or_else(|| "it names no peer".into()))
    }
}

/// A key's own policy: it can only narrow what a rule grants and what travels with the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRule {
    /// The key's name.
    pub name: KeyNameBuf,
    /// The only type that the key may have.
    pub key_type: KeyType,
    /// Where the key comes from.
    pub source: Source,
    /// Names of the [`Signer`]s and [`ListedSigner`]s whose envelope is taken for it; for [`Source::Kbs`].
    pub signer: Vec<String>,
    /// Whether a resource without an envelope is taken; for [`Source::Kbs`].
    pub unsigned: Unsigned,
    /// Whether it is taken from a service that the agent reads: the courier is not blind for it.
    pub plaintext_courier: bool,
    /// Uses that it allows: a subset of its type's.
    pub operations: OperationSet,
    /// The [`GateRule`] that has to be approved before any use.
    pub gate: Option<String>,
    /// To whom a `secret` is released. Empty: to nobody.
    pub release_to: Vec<ReleaseTo>,
    /// Whether the release is measured first, so that evidence says that there was one.
    pub measure_release: bool,
    /// For how long a provisioned key stays, in seconds since it arrived.
    pub lease_secs: Option<u64>,
    /// No use before this second of the wall clock.
    pub not_before: Option<u64>,
    /// No use after this second of the wall clock.
    pub not_after: Option<u64>,
    /// Uses that it allows in its whole life, over all versions and restarts.
    pub max_uses: Option<u64>,
    /// How often one peer may use it.
    pub rate: Option<Rate>,
    /// Versions below this one are not used, whatever their state.
    pub min_version: Option<u32>,
    /// A newest version older than this, in seconds, is followed by a new one at its next use; for
    /// keys that are made here.
    pub rotate_after_secs: Option<u64>,
    /// A newest version with as many uses is followed by a new one; for keys that are made here.
    pub rotate_after_uses: Option<u64>,
    /// Wrapping keys under which it may leave, wrapped. Empty: under none.
    pub wrappable_by: Vec<KeyNameBuf>,
    /// Whether to fetch the key at start, before anybody asks; for [`Source::Kbs`].
    pub prefetch: bool,
    /// The tenant that the envelope has to name.
    pub tenant: Option<String>,
    /// Whether it outlives a reboot, in the sealed file. What has a lease does not.
    pub seal: bool,
}

impl KeyRule {
    /// Whether the seal has the key, as far as its rule has a say.
    pub(crate) fn is_sealed(&self) -> bool {
        self.seal && self.lease_secs.is_none()
    }
}

/// A token bucket that holds `uses` and fills once in `per_secs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Uses that may follow one another at once.
    pub uses: u32,
    /// In how many seconds an empty bucket is full again.
    pub per_secs: u32,
}

impl Rate {
    /// Whether it never lets anything through, or knows no time.
    pub(crate) fn is_zero(self) -> bool {
        self.uses == 0 || self.per_secs == 0
    }
}

/// What there is to seal with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealTerms {
    /// The provisioned key that is a part of the sealing key.
    pub provisioned: Option<KeyNameBuf>,
    /// Whether a counter keeps the host from playing an older file.
    pub is_durable: bool,
}

/// Where a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Made by this vault at first use.
    Generate,
    /// Fetched by an attestation round.
    Kbs {
        /// Which of [`PolicySet::services`], the preferred one first. Where one is not reached, the
        /// next is asked; one that answers has spoken.
        services: Vec<String>,
        /// The resource.
        path: ResourcePath,
    },
    /// Made or brought by request alone (`generate`, `import`).
    Local,
}

/// Whether a resource that nobody signed is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// Only an envelope of a named signer is taken.
    Refuse,
    /// A plain resource is taken too: whoever controls the service or the courier chooses the key.
    Accept,
}

/// What it takes for the VM to count as approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateRule {
    /// The gate's name.
    pub name: String,
    /// Which of [`PolicySet::services`] attests.
    pub service: String,
    /// The `iss` that the token must have.
    pub issuer: String,
    /// The issuer's keys: several while one takes over from another, none opens nothing.
    pub issuer_keys: Vec<IssuerKey>,
    /// The `aud` that the token must have.
    pub audience: String,
    /// The `ear.appraisal-policy-id` that every submodule must have.
    pub policy_id: String,
    /// The TEEs whose evidence opens it, by their names in [`TEES`].
    pub tees: Vec<String>,
    /// For how long an approval counts, in milliseconds of CLOCK_BOOTTIME since the round's key
    /// was made.
    pub max_age_ms: u64,
    /// Whether a verdict on simulated evidence counts. It proves nothing.
    pub danger_accept_simulated: bool,
}

/// A provisioning service, as far as the vault has a say over how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What keys and gates call it.
    pub name: String,
    /// Which form the key of a round with it has.
    pub tee_key: TeeKeyChoice,
    /// Whether the agent reads what it gives: rounds with it have no key, and bring what they bring in
    /// the clear, for keys alone that say so, too.
    pub plaintext_courier: bool,
}

/// Which form the key of a round has, to which a service encrypts.
///
/// What a service offers comes through the courier, who could keep an offer back: so a fall-back is
/// the policy's to allow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TeeKeyChoice {
    /// X25519 with ML-KEM-768, or no round.
    Hybrid,
    /// That where it is offered, and P-256 where it is not.
    #[default]
    HybridOrP256,
    /// P-256, whatever is offered.
    P256,
}

/// An owner of resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// What [`KeyRule::signer`] calls it.
    pub name: String,
    /// The `kid` in the envelope's header.
    pub kid: Vec<u8>,
    /// The P-256 key, an uncompressed point.
    pub point: [u8; 65],
}

/// An owner of resources whose signing keys change: what is pinned is the key of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSigner {
    /// What [`KeyRule::signer`] calls it, and what its list calls its owner.
    pub name: String,
    /// The P-256 key that signs the list, an uncompressed point.
    pub list_key: [u8; 65],
    /// The list, brought by whichever service brings a key of this signer.
    pub path: ResourcePath,
    /// For how long a list counts that no round has brought again, in milliseconds of
    /// CLOCK_BOOTTIME.
    pub max_age_ms: u64,
    /// Lists with a lower serial are refused, also by a vault that has seen none.
    pub min_serial: u64,
}
