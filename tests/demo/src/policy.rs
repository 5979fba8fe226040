//! The policy and the secrets of the demo.

use nitride_support::plan::Plan;

/// What an owner keeps at the service. Nobody but the demo uses these values.
pub(crate) const API_KEY: &[u8] = b"sk-demo-5b1f2c9a7e40d863";
/// The passphrase of the volume.
pub(crate) const PASSPHRASE: &[u8] = b"violin-kettle-harbour-lantern-thistle-42";
/// A secret that comes before anybody asks for it.
pub(crate) const DATABASE_PASSWORD: &[u8] = b"tangerine/meadow/0417/quartz";
/// The scalar of a signing key.
pub(crate) const SCALAR: [u8; 32] = *b"demo scalar of an owner's P-256!";
/// The scalar of one that is prefetched.
pub(crate) const PREFETCHED_SCALAR: [u8; 32] = *b"another demo scalar, prefetched!";
/// A key for the part in which the courier lies.
pub(crate) const MAC_KEYS: [[u8; 32]; 2] = [
    *b"a MAC key that the courier swaps",
    *b"and the one that it is swapped w",
];

/// Who may do what: the one who runs the demo, with `app/` and `disk/`; somebody else, `payroll/`.
const POLICY: &str = r#"
[[rule]]
name = "application"
keys = ["app/**"]
peers = [{ uid = @UID@ }]
operations = ["generate", "describe", "list", "public-key", "sign", "verify", "encrypt", "decrypt",
  "mac", "verify-mac", "release", "status"]

[[rule]]
name = "another-user"
keys = ["payroll/**"]
peers = [{ uid = 4294900000 }]
operations = ["generate", "sign"]

[[key]]
name = "app/api-key"
type = "secret"
source = "kbs:///demo/secret/api-key"
service = "main"
signer = "owner"
operations = ["release"]
release-to = [{ uid = @UID@ }]

[[key]]
name = "app/owner-signing"
type = "ec-p256"
source = "kbs:///demo/key/signing"
service = "main"
signer = "owner"
operations = ["sign", "verify", "public-key"]

[[key]]
name = "app/database-password"
type = "secret"
source = "kbs:///demo/secret/database"
service = "main"
signer = "owner"
prefetch = true
operations = ["release"]
release-to = [{ uid = @UID@ }]

[[key]]
name = "app/prefetched-signing"
type = "ec-p256"
source = "kbs:///demo/key/prefetched"
service = "main"
signer = "owner"
prefetch = true
operations = ["sign", "verify", "public-key"]

[[key]]
name = "app/one"
type = "hmac-sha256"
source = "kbs:///demo/key/one"
service = "main"
signer = "owner"
operations = ["mac", "verify-mac"]

[[key]]
name = "app/two"
type = "hmac-sha256"
source = "kbs:///demo/key/two"
service = "main"
signer = "owner"
operations = ["mac", "verify-mac"]

[[key]]
name = "app/gated"
type = "hmac-sha256"
source = "generate"
operations = ["mac", "verify-mac"]
gate = "approved"

[[gate]]
name = "approved"
service = "main"
issuer = "tests"
issuer-key = "@DIR@/token.pub"
audience = "vhsmd"
policy-id = "default"
tees = ["sample"]
max-age = "2s"
danger-accept-simulated = true

[[key]]
name = "disk/root"
type = "secret"
source = "kbs:///demo/disk/root"
service = "main"
signer = "owner"
operations = ["release"]
release-to = [{ volume = "root" }]
"#;

const VOLUME: &str = r#"
[[disk-key]]
volume = "root"
socket = "@DIR@/root.key"
key = "disk/root"
allowed-uids = [@UID@]
timeout = "20s"
"#;

/// A machine whose evidence says what the service wants: svn 1.
pub(crate) fn trusted_machine() -> Plan {
    Plan {
        policy: POLICY.to_owned(),
        vhsmd_tables: VOLUME.to_owned(),
        ..Plan::chain("")
    }
}

/// The same machine, measured otherwise: svn 0.
pub(crate) fn other_machine() -> Plan {
    Plan {
        svn: "0".to_owned(),
        ..trusted_machine()
    }
}
