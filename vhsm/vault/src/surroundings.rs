use nitride_protocol::application::SealStatus;

/// The moment of a call. The vault reads no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// CLOCK_BOOTTIME in milliseconds: leases, ages and deadlines count on it.
    pub boot_ms: u64,
    /// The wall clock in seconds since 1970, which the host owns; 0 is unknown.
    pub wall_secs: u64,
}

/// What the vault itself draws: identities, nonce prefixes, symmetric keys, round ids.
///
/// An implementation fills all of `out` with bytes that nobody can foretell. EC and Ed25519 keys
/// are drawn inside AWS-LC, by its own generator.
pub trait Draw {
    /// Fills `out`.
    fn fill(&mut self, out: &mut [u8]);
}

/// What the daemon alone knows and the `status` reply carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surroundings<'a> {
    /// `memfd-secret` or `locked`.
    pub arena_kind: &'a str,
    /// Whether the next process finds the records of this one again.
    pub are_records_kept: bool,
    /// Open connections.
    pub connections: u64,
    /// Requests that wait for a round.
    pub parked: u64,
    /// Whether an agent is connected.
    pub agent_connected: bool,
    /// The configured TEE, such as `sample`.
    pub tee: &'a str,
    /// What an operator should know; the vault adds its own.
    pub warnings: &'a [&'a str],
    /// How the seal is, where there is one.
    pub seal: Option<SealStatus<'a>>,
}
