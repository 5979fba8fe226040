//! Every key that the configuration has, for people. The tests compare the list with what is read,
//! and the manual with the list.

use std::fmt;

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the top of `vhsmd.toml`.
    Top,
    /// In a table of `vhsmd.toml`.
    Table(&'static str),
    /// At the top of a file of `policy.d`.
    PolicyTop,
    /// In a table of a file of `policy.d`.
    Policy(&'static str),
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConfigKey {
    pub(crate) place: Place,
    pub(crate) name: &'static str,
    /// Whether it is a table, or an array of tables, of which this list has the keys.
    pub(crate) is_table: bool,
    /// What it is, its form, and what holds without it.
    pub(crate) meaning: &'static str,
}

const fn key(place: Place, name: &'static str, meaning: &'static str) -> ConfigKey {
    ConfigKey {
        place,
        name,
        is_table: false,
        meaning,
    }
}

const fn table(place: Place, name: &'static str, meaning: &'static str) -> ConfigKey {
    ConfigKey {
        place,
        name,
        is_table: true,
        meaning,
    }
}

use Place::{Policy, PolicyTop, Table, Top};

const SOCKETS: Place = Table("sockets");
const ARENA: Place = Table("arena");
const EVIDENCE: Place = Table("evidence");
const AGENT: Place = Table("agent");
const LIMITS: Place = Table("limits");
const AUDIT: Place = Table("audit");
const METRICS: Place = Table("metrics");
const CREDENTIAL: Place = Table("credential");
const DISK_KEY: Place = Table("disk-key");
const SERVICE: Place = Table("service");
const SIGNER: Place = Table("signer");
const RECIPIENT: Place = Table("backup-recipient");
const SEAL: Place = Table("seal");
const BOOT: Place = Table("boot");
const RULE: Place = Policy("rule");
const KEY: Place = Policy("key");
const GATE: Place = Policy("gate");
const PEERS: Place = Policy("peers");
const RELEASE_TO: Place = Policy("release-to");
const RATE: Place = Policy("rate");

/// All of them, in the order of the manual.
#[rustfmt::skip]
pub(crate) const KEYS: &[ConfigKey] = &[
    key(Top, "policy-dir", "folder of the policy files, `*.toml` in the order of their names; required"),
    table(Top, "sockets", "where to listen, for sockets that systemd does not hand over"),
    key(SOCKETS, "application", "path of the socket for applications"),
    key(SOCKETS, "application-mode", "its permission bits in octal, as \"0666\""),
    key(SOCKETS, "admin", "path of the socket for administrators"),
    key(SOCKETS, "admin-mode", "its permission bits in octal"),
    key(SOCKETS, "agent", "path of the socket for nitride-agent"),
    key(SOCKETS, "agent-mode", "its permission bits in octal"),
    key(SOCKETS, "credentials", "path of the socket for credentials of units, root's alone"),
    table(Top, "arena", "the locked memory; required"),
    key(ARENA, "records", "size of the arena of keys, in whole pages, as \"3MiB\"; required"),
    key(ARENA, "records-max", "size up to which that arena grows, by segments of its first size; without it, it does not grow"),
    key(ARENA, "heap", "size of the arena of packets and of what calculates, likewise; required"),
    key(ARENA, "backing", "\"best\" takes memfd_secret where the kernel has it; \"locked-only\" never does. \"best\" if left out"),
    table(Top, "evidence", "where evidence comes from; without it nothing is provisioned and no gate opens"),
    key(EVIDENCE, "tee", "the TEE as the KBS protocol names it, as \"snp\"; required"),
    key(EVIDENCE, "devices", "\"nvidia\": those of nitride-quote's [gpu] are asked for too, and bound by the machine's evidence; without it there are none"),
    key(EVIDENCE, "quote-socket", "path of nitride-quote's socket; required"),
    key(EVIDENCE, "danger-simulated", "true says that tee = \"sample\" is meant, which proves nothing"),
    key(EVIDENCE, "timeout", "longest that making evidence may take; if left out \"10s\", or \"30s\" with devices or on Azure"),
    table(Top, "boot", "what evidence says of this boot; without it nothing more than what was started. Fixed until a restart"),
    key(BOOT, "phase", "the phase of the boot that begins with this process, as \"initrd\": nitride-quote measures it, once, before any key can be had, and where it cannot, vhsmd does not start. Without it none begins"),
    key(BOOT, "init-data", "file of the init-data that the machine was started with, sent with each round; without it none are"),
    key(BOOT, "across-switch-root", "what becomes of the keys when the phase ends (`vhsm end-phase`, which `nitride-unlock leave` asks before the switch to the root): \"fetch-again\" ends them all, and the next phase fetches its own; \"keep\" has the next vhsmd find them, unless nothing protects the root that it starts from. \"fetch-again\" if left out"),
    table(Top, "agent", "who the agent is; without it nobody is"),
    key(AGENT, "uid", "its user by number"),
    key(AGENT, "user", "its user by name; one of the two"),
    key(AGENT, "unit", "its system unit, which has to hold too"),
    table(Top, "admin", "who may use the admin socket; without it nobody may"),
    key(Table("admin"), "peers", "as `peers` of a rule; any of them is enough"),
    table(Top, "limits", "what peers may use at most"),
    key(LIMITS, "connections", "connections at a time; 2048 if left out"),
    key(LIMITS, "connections-per-uid", "of these, of one user; 1024 if left out"),
    key(LIMITS, "parked-per-uid", "requests of one user that wait for a round; 1024 if left out"),
    key(LIMITS, "buffers-per-uid", "memory for packets of one user, as \"512KiB\"; a quarter of the heap arena if left out"),
    key(LIMITS, "shared-per-uid", "memory that one user may share with vhsmd for bulk data, registered buffers included, as \"512MiB\"; 4GiB if left out"),
    key(LIMITS, "keys", "keys that no key rule speaks of; 100000 if left out"),
    key(LIMITS, "keys-per-uid", "of these, of one user; 10000 if left out"),
    key(LIMITS, "max-wait-ms", "longest that a request may wait for a round; 60000 if left out"),
    table(Top, "audit", "files of what was denied, changed, released and used, chained by digests; without it the log alone has that"),
    key(AUDIT, "folder", "their folder, for vhsmd alone; \"/var/lib/vhsm/audit\" if left out"),
    key(AUDIT, "full", "without room for an entry: \"refuse\" does not do what would have one, \"continue\" does it and records later that entries are missing. \"refuse\" if left out"),
    key(AUDIT, "files", "how many there are at most, one that is ready to follow included; then the oldest is removed. 8 if left out"),
    key(AUDIT, "file-size", "length of each, taken beforehand; \"8MiB\" if left out"),
    key(AUDIT, "sync", "true: an entry of what changes a key or lets a secret out is on the disk before the answer; false leaves that to the kernel. true if left out"),
    table(Top, "metrics", "figures in OpenMetrics, over HTTP on a Unix socket; without it they are served nowhere"),
    key(METRICS, "socket", "its path, as \"/run/vhsm/metrics.sock\"; required"),
    key(METRICS, "mode", "its permission bits in octal; \"0600\" if left out"),
    key(METRICS, "allowed-uids", "who may ask; root alone if left out"),
    key(METRICS, "key-names", "true counts uses by the names of keys, too, which tells whoever reads the figures what keys there are"),
    table(Top, "disk-key", "a volume whose passphrase nitride-unlock is given"),
    key(DISK_KEY, "volume", "the volume's name as in crypttab; required"),
    key(DISK_KEY, "socket", "where to listen; left out where systemd hands the socket over"),
    key(DISK_KEY, "key", "the secret that the policy releases to the volume; required"),
    key(DISK_KEY, "timeout", "for how long a connection is held open; \"5m\" if left out"),
    key(DISK_KEY, "allowed-uids", "who may ask; root and the user nitride-unlock if left out"),
    table(Top, "credential", "a unit's credential, which the service manager loads by LoadCredential=NAME:/run/vhsm/credentials.sock"),
    key(CREDENTIAL, "unit", "the system unit, as \"db.service\"; required"),
    key(CREDENTIAL, "name", "the credential's name as in LoadCredential=; required"),
    key(CREDENTIAL, "key", "the secret that the policy releases to the unit; required"),
    key(CREDENTIAL, "timeout", "for how long the unit's start is held up while the key is fetched, shorter than its TimeoutStartSec=; \"75s\" if left out"),
    table(Top, "service", "a provisioning service that the policy may name"),
    key(SERVICE, "name", "its name; required"),
    key(SERVICE, "tee-key", "the form of a round's key, to which it encrypts: \"hybrid\" is X25519 with ML-KEM-768, and no round with a service that does not offer it; \"hybrid-or-p256\" is P-256 then; \"p256\" always is. \"hybrid-or-p256\" if left out"),
    key(SERVICE, "plaintext-courier", "true: an OpenBao or Vault that the agent reads itself. Its rounds have no challenge, and what it gives is taken in the clear, for keys alone that say plaintext-courier, too; false if left out"),
    table(Top, "signer", "an owner of secrets that key rules may name"),
    key(SIGNER, "name", "its name; required"),
    key(SIGNER, "public-key", "PEM file of its P-256 public key; required where it has no list"),
    key(SIGNER, "kid", "the `kid` of its envelopes; the digest of the public key if left out"),
    key(SIGNER, "list-key", "PEM file of the P-256 public key that signs the list of its keys; with `list`, in the place of `public-key`"),
    key(SIGNER, "list", "the list, `kbs:///repo/type/tag`, brought with each of its keys by the same service"),
    key(SIGNER, "list-max-age", "for how long a list counts that no round has brought again, as in \"1d\"; required with `list`"),
    key(SIGNER, "list-min-serial", "lists with a lower serial are refused; 1 if left out"),
    table(Top, "backup-recipient", "who may read backups; fixed until a restart"),
    key(RECIPIENT, "name", "what `vhsm backup` calls it; required"),
    key(RECIPIENT, "public-key", "PEM file of its P-256 or X25519 public key; required"),
    key(RECIPIENT, "key", "the key of this vault that has the private half, if the recipient's backups may be restored here"),

    table(Top, "seal", "a file from which keys whose rule says `seal` come back after a reboot, without a service; without it there is none. Fixed until a restart"),
    key(SEAL, "folder", "its folder, for vhsmd alone; \"/var/lib/vhsm/seal\" if left out"),
    key(SEAL, "platform", "whose part of the sealing key it is: \"credential\" of the unit, \"tpm\" under its PCRs, \"snp\" derived on the chip, \"sample\" for trials; all but the first are nitride-quote's to ask, whose own [seal] says more; required"),
    key(SEAL, "credential", "name of the systemd credential, of 32 to 4096 bytes, for platform = \"credential\""),
    key(SEAL, "provisioned", "a key of type secret or hmac whose source is kbs:///, mixed in, so that the service has a say over each boot; it is fetched as soon as the agent is there"),
    key(SEAL, "counter", "true has the TPM count the files, so that an older one put back is refused, destroy is for good and max-uses may be sealed"),
    key(SEAL, "must-exist", "true, once the first file is written, refuses to begin anew where there is none: whoever took it away would have what was destroyed forgotten"),
    key(SEAL, "danger-simulated", "true says that platform = \"sample\" is meant, whose key is no secret"),

    table(PolicyTop, "rule", "grants operations on names to peers; what no rule grants is denied"),
    key(RULE, "name", "for the log and for `vhsm policy explain`; required"),
    key(RULE, "keys", "names of keys: \"a/b\", \"a/*\" for one level, \"a/**\" for all below, \"**\"; at most 1024; required"),
    key(RULE, "peers", "who; any of them is enough, and of each, every stated condition has to hold; at most 256; required"),
    key(RULE, "operations", "verbs of the protocol, where encrypt and decrypt also stand for the same in shared memory; required"),
    key(PEERS, "uid", "the user by number"),
    key(PEERS, "user", "the user by name"),
    key(PEERS, "gid", "the primary group by number"),
    key(PEERS, "group", "the primary or a supplementary group by name"),
    key(PEERS, "unit", "the system unit, whole, as \"nginx.service\"; never a unit of a user's manager"),
    key(PEERS, "cgroup-prefix", "a folder of the cgroup tree, as \"/system.slice\", in or below which the peer runs"),
    key(PEERS, "executable-digest", "\"sha256:\" and the digest of the program file. A hint: who may run the program may make it load other code; so it never stands alone, and it takes CAP_SYS_PTRACE to read the programs of others"),
    key(PEERS, "per-message", "true: every message has to come from the process that connected, not from a child or from whom it handed the connection to"),
    table(PolicyTop, "key", "what a key itself allows; it only narrows"),
    key(KEY, "name", "the key's name; required"),
    key(KEY, "type", "its type, as \"ec-p256\"; required"),
    key(KEY, "source", "\"generate\" at first use, \"local\" by request, or \"kbs:///repository/type/tag\"; required"),
    key(KEY, "service", "which service has it, or a list of services, the preferred one first: the next is asked where one is not reached, and one that answers has spoken; required for kbs:/// and for nothing else"),
    key(KEY, "signer", "whose signature it must bear: one name or several, at most 16"),
    key(KEY, "unsigned", "\"accept\" takes it without a signature: whoever controls the service or the courier chooses the key. \"refuse\" if left out"),
    key(KEY, "plaintext-courier", "true takes it from a [[service]] with the same words: the agent reads it, and whoever has the agent has the key. Then it may neither wrap, derive, agree nor encapsulate, and cannot be wrapped"),
    key(KEY, "operations", "uses that it allows; required"),
    key(KEY, "gate", "the gate that has to be approved before any use"),
    key(KEY, "release-to", "to whom a secret is released; to nobody if left out; at most 64"),
    key(KEY, "measure-release", "true has the release of the secret measured first, into the register of nitride-quote's [phases], once a boot: evidence then says that it was released, and where it cannot be measured it is not released"),
    key(KEY, "lease", "for how long a provisioned key stays, as \"12h\"; asked for again between half and three quarters of it, where it was used meanwhile or has prefetch, and gone at its end if that is refused"),
    key(KEY, "not-before", "no use before this time, as 2027-01-31T00:00:00Z"),
    key(KEY, "not-after", "no use after this time"),
    key(KEY, "max-uses", "uses in its whole life, over all versions and restarts"),
    key(KEY, "rate", "how often one peer may use it"),
    key(KEY, "min-version", "versions below it are not used"),
    key(KEY, "rotate-after", "age of the newest version at which a new one is made, as \"90d\"; for keys that are made here"),
    key(KEY, "rotate-after-uses", "uses of the newest version after which a new one is made"),
    key(KEY, "wrappable-by", "wrapping keys under which it may leave, at most 8; under none if left out"),
    key(KEY, "prefetch", "true has it fetched at start, before anybody asks"),
    key(KEY, "seal", "true: it is in the sealed file of [seal] and comes back after a reboot; false, or what has a lease, does not"),
    key(KEY, "tenant", "the tenant that its envelope has to name"),
    key(RELEASE_TO, "unit", "a system unit, by `release` and as its credential"),
    key(RELEASE_TO, "uid", "a user by number"),
    key(RELEASE_TO, "volume", "the disk-key socket of this volume, and no peer; one of the three"),
    key(RATE, "uses", "uses that may follow one another at once; required"),
    key(RATE, "per", "in how long they are all there again, in whole seconds, as \"1m\"; required"),
    table(PolicyTop, "gate", "what it takes for this machine to count as approved"),
    key(GATE, "name", "what key rules call it; required"),
    key(GATE, "service", "which service attests; required"),
    key(GATE, "issuer", "the `iss` that its token must have; required"),
    key(GATE, "issuer-key", "PEM file of the issuer's P-256 or ML-DSA-65 public key, or a list of at most 8 while its keys rotate; required"),
    key(GATE, "audience", "the `aud` that the token must have; required"),
    key(GATE, "policy-id", "the `ear.appraisal-policy-id` that every submodule must have; required"),
    key(GATE, "tees", "the TEEs whose evidence opens it, as [\"snp\", \"tdx\"]: every TEE whose claims the token has of the machine (`cpu0`) has to be named; required"),
    key(GATE, "max-age", "for how long an approval counts, as \"10m\"; required"),
    key(GATE, "danger-accept-simulated", "true counts a verdict on simulated evidence, which proves nothing"),
];

/// The list as Markdown, as `docs/configuration.md` has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manual;

impl fmt::Display for Manual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Configuration of vhsmd\n")?;
        writeln!(
            f,
            "Strict TOML: a key that is not here is an error with file and line. `vhsmd \
             --config-keys` prints this list. Durations have a unit (`500ms`, `30s`, `10m`, `12h`, \
             `7d`), and so have sizes (`4096B`, `64KiB`, `3MiB`, `1GiB`)."
        )?;
        writeln!(f, "\n## vhsmd.toml\n")?;
        let mut place = Top;
        for key in KEYS.iter().filter(|key| !key.is_table) {
            if key.place != place {
                if !matches!(place, Policy(_)) && matches!(key.place, Policy(_)) {
                    writeln!(f, "\n## policy.d/*.toml")?;
                }
                place = key.place;
                write_heading(f, place)?;
            }
            writeln!(f, "- `{}`: {}", key.name, key.meaning)?;
        }
        Ok(())
    }
}

fn write_heading(f: &mut fmt::Formatter<'_>, place: Place) -> fmt::Result {
    let (name, is_above): (_, fn(Place) -> bool) = match place {
        Top | PolicyTop => return Ok(()),
        Table(name) => (name, |place| place == Top),
        Policy(name) => (name, |place| matches!(place, PolicyTop | RULE | KEY)),
    };
    let found = KEYS
        .iter()
        .find(|key| is_above(key.place) && key.name == name);
    let meaning = found.map_or("", |key| key.meaning);
    writeln!(f, "\n### `{name}`\n\n{meaning}\n")
}
