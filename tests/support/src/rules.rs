//! Rules of a vault's policy that many tests begin from.

use nitride_protocol::KeyType;

/// A key that the service `main` keeps at this path under its owner's signature, for what
/// [`Deposit`](crate::owner::Deposit) lets it be used for. A line that is added after it is the key's.
#[must_use]
pub fn provisioned(name: &str, key_type: KeyType, path: &str) -> String {
    let uses = match key_type {
        KeyType::Secret => "operations = [\"release\"]\nrelease-to = [{ uid = @UID@ }]",
        KeyType::HmacSha256 => "operations = [\"mac\", \"verify-mac\"]",
        KeyType::EcP256 | KeyType::Ed25519 => "operations = [\"sign\", \"verify\", \"public-key\"]",
        _ => "operations = [\"encrypt\", \"decrypt\"]",
    };
    format!(
        "\n[[key]]\nname = \"{name}\"\ntype = \"{}\"\nsource = \"kbs:///{path}\"\n\
         service = \"main\"\nsigner = \"owner\"\n{uses}\n",
        key_type.as_str()
    )
}

/// `app/gated`, which an application generates, and its gate, whose approvals last ten minutes.
pub const GATED: &str = r#"
[[key]]
name = "app/gated"
type = "hmac-sha256"
source = "local"
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
max-age = "10m"
danger-accept-simulated = true
"#;
