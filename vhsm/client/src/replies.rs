use nitride_protocol::application as wire;
use nitride_protocol::{KeyName, KeyNameBuf, KeyState, KeyType, OperationSet, Origin};
use zeroize::Zeroizing;

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The version that made it.
    pub version: u32,
    /// The signature in the form of its scheme.
    pub signature: Vec<u8>,
}

/// A key's public half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The version it belongs to.
    pub version: u32,
    /// The SubjectPublicKeyInfo in DER (RFC 5280).
    pub spki: Vec<u8>,
}

/// A message authentication code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The version that made it.
    pub version: u32,
    /// The code.
    pub tag: Vec<u8>,
}

/// A released secret, erased when it is dropped.
pub struct Released {
    /// The version that was released.
    pub version: u32,
    /// The secret's bytes.
    pub secret: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Released {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Released")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// What it is made of.
    pub key_type: KeyType,
    /// Whether it can be used.
    pub state: KeyState,
    /// Where its material came from.
    pub origin: Origin,
    /// The resource it is provisioned from.
    pub origin_uri: Option<String>,
    /// What it may be used for at all.
    pub operations: OperationSet,
    /// The gate that must be open before it is used.
    pub gate: Option<String>,
    /// When its first version came to be, in seconds since 1970; 0 is unknown.
    pub created_secs: u64,
    /// Seconds until its lease ends.
    pub lease_secs_left: Option<u64>,
    /// The oldest version that still opens and verifies.
    pub min_version: u32,
    /// How often it may be used, all versions together.
    pub max_uses: Option<u64>,
    /// How often it may still be used.
    pub uses_left: Option<u64>,
    /// When its time begins, in seconds since 1970.
    pub not_before: Option<u64>,
    /// When its time ends, in seconds since 1970.
    pub not_after: Option<u64>,
    /// The wrapping keys that may wrap it.
    pub wrappable_by: Vec<KeyNameBuf>,
    /// Its versions, oldest first.
    pub versions: Vec<KeyVersion>,
}

/// A version of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyVersion {
    /// Its number.
    pub version: u32,
    /// Whether it can be used.
    pub state: KeyState,
    /// How often it has been used.
    pub uses: u64,
    /// Whether the agent has read it, which the key's policy allows.
    pub plaintext_courier: bool,
}

/// A page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The keys, in the order of their names.
    pub entries: Vec<ListEntry>,
    /// Whether keys follow after the last one here.
    pub more: bool,
}

/// A key in a [`Listing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEntry {
    /// Its name.
    pub key: KeyNameBuf,
    /// What it is made of.
    pub key_type: KeyType,
    /// Whether it can be used.
    pub state: KeyState,
    /// The number of its newest version; 0 is none yet.
    pub newest_version: u32,
    /// Whether the agent has read a version of it.
    pub plaintext_courier: bool,
}

/// How the vault is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultStatus {
    /// Name and version of the server.
    pub server: String,
    /// What backs the arenas: `memfd-secret` or `locked`.
    pub arena_kind: String,
    /// Bytes of the records arena in use.
    pub records_used: u64,
    /// Bytes of the records arena.
    pub records_size: u64,
    /// Bytes of the heap arena in use.
    pub heap_used: u64,
    /// Bytes of the heap arena.
    pub heap_size: u64,
    /// Keys in the vault.
    pub keys: u64,
    /// Open connections of applications and administrators.
    pub connections: u64,
    /// Requests that wait for a round.
    pub parked: u64,
    /// Whether the agent is connected.
    pub agent_connected: bool,
    /// How often a policy was taken since the start.
    pub policy_generation: u64,
    /// SHA-256 of the policy.
    pub policy_digest: [u8; 32],
    /// The TEE that evidence comes from; `sample` proves nothing.
    pub tee: String,
    /// The gates.
    pub gates: Vec<GateStatus>,
    /// What weakens a guarantee, for people.
    pub warnings: Vec<String>,
    /// What brings keys back after a reboot; `None` is nothing.
    pub seal: Option<SealStatus>,
    /// The lists of signers that are here; an older vhsmd does not say.
    pub signers: Option<Vec<SignerStatus>>,
}

/// A list of signers in a [`VaultStatus`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerStatus {
    /// The signer's name.
    pub signer: String,
    /// The serial of its newest list.
    pub serial: u64,
    /// How many keys that names.
    pub keys: u64,
}

/// The seal in a [`VaultStatus`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealStatus {
    /// `open`; `waits` for something that is not there yet; or `closed`.
    pub state: String,
    /// Whose part of the sealing key it is, such as `tpm`.
    pub platform: String,
    /// Up to which count the file is the newest; 0 without a counter.
    pub generation: u64,
    /// Keys in the file.
    pub keys: u64,
    /// Keys that are sealed and not in it, for people.
    pub left_out: Option<String>,
    /// Why it is not open, or the file is behind, and what to do about it, for people.
    pub because: Option<String>,
}

/// A gate in a [`VaultStatus`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateStatus {
    /// Its name.
    pub gate: String,
    /// Milliseconds since the round that opened it began; `None` is closed.
    pub age_ms: Option<u64>,
}

impl From<wire::Signature<'_>> for Signature {
    fn from(reply: wire::Signature<'_>) -> Self {
        Self {
            version: reply.version,
            signature: reply.signature.to_vec(),
        }
    }
}

impl From<wire::PublicKeyDer<'_>> for PublicKey {
    fn from(reply: wire::PublicKeyDer<'_>) -> Self {
        Self {
            version: reply.version,
            spki: reply.spki.to_vec(),
        }
    }
}

impl From<wire::Tag<'_>> for Tag {
    fn from(reply: wire::Tag<'_>) -> Self {
        Self {
            version: reply.version,
            tag: reply.tag.to_vec(),
        }
    }
}

impl From<wire::Released<'_>> for Released {
    fn from(reply: wire::Released<'_>) -> Self {
        Self {
            version: reply.version,
            secret: Zeroizing::new(reply.secret.to_vec()),
        }
    }
}

impl From<wire::Description<'_>> for Description {
    fn from(reply: wire::Description<'_>) -> Self {
        let versions = reply.versions.iter().map(|version| KeyVersion {
            version: version.version,
            state: version.state,
            uses: version.uses,
            plaintext_courier: version.plaintext_courier,
        });
        Self {
            key_type: reply.key_type,
            state: reply.state,
            origin: reply.origin,
            origin_uri: reply.origin_uri.map(str::to_owned),
            operations: reply.operations,
            gate: reply.gate.map(str::to_owned),
            created_secs: reply.created_secs,
            lease_secs_left: reply.lease_secs_left,
            min_version: reply.min_version,
            max_uses: reply.max_uses,
            uses_left: reply.uses_left,
            not_before: reply.not_before,
            not_after: reply.not_after,
            wrappable_by: reply
                .wrappable_by
                .iter()
                .map(|name| KeyName::to_owned(*name))
                .collect(),
            versions: versions.collect(),
        }
    }
}

impl From<wire::Listing<'_>> for Listing {
    fn from(reply: wire::Listing<'_>) -> Self {
        let entries = reply.entries.iter().map(|entry| ListEntry {
            key: entry.key.to_owned(),
            key_type: entry.key_type,
            state: entry.state,
            newest_version: entry.newest_version,
            plaintext_courier: entry.plaintext_courier,
        });
        Self {
            entries: entries.collect(),
            more: reply.more,
        }
    }
}

impl From<wire::VaultStatus<'_>> for VaultStatus {
    fn from(reply: wire::VaultStatus<'_>) -> Self {
        let gates = reply.gates.iter().map(|gate| GateStatus {
            gate: gate.gate.to_owned(),
            age_ms: gate.age_ms,
        });
        let signer = |list: &wire::SignerStatus<'_>| SignerStatus {
            signer: list.signer.to_owned(),
            serial: list.serial,
            keys: list.keys,
        };
        Self {
            server: reply.server.to_owned(),
            arena_kind: reply.arena_kind.to_owned(),
            records_used: reply.records_used,
            records_size: reply.records_size,
            heap_used: reply.heap_used,
            heap_size: reply.heap_size,
            keys: reply.keys,
            connections: reply.connections,
            parked: reply.parked,
            agent_connected: reply.agent_connected,
            policy_generation: reply.policy_generation,
            policy_digest: *reply.policy_digest,
            tee: reply.tee.to_owned(),
            gates: gates.collect(),
            warnings: reply
                .warnings
                .iter()
                .map(|text| (*text).to_owned())
                .collect(),
            seal: reply.seal.map(|seal| SealStatus {
                state: seal.state.to_owned(),
                platform: seal.platform.to_owned(),
                generation: seal.generation,
                keys: seal.keys,
                left_out: seal.left_out.map(str::to_owned),
                because: seal.because.map(str::to_owned),
            }),
            signers: reply
                .signers
                .map(|lists| lists.iter().map(signer).collect()),
        }
    }
}
