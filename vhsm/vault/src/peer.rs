/// Who asks, as the daemon found out from the socket; never what the peer says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Process, for the log alone: it may be reused.
    pub pid: u32,
    /// System unit by full cgroup path, such as `nginx.service`; `None` in user sessions.
    pub unit: Option<String>,
    /// Path in the cgroup2 tree, where it is known.
    pub cgroup: Option<String>,
    /// SHA-256 of the program file that it ran when it connected, where a rule asks for it.
    pub executable_digest: Option<[u8; 32]>,
    /// Whether the daemon checks for every message of this connection that the pinned process
    /// itself has sent it.
    pub per_message: bool,
}
