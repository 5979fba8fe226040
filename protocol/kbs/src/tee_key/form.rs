/// A form of TEE public key, and with it how a resource's key is brought to its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TeeKeyForm {
    /// ECDH-ES+A256KW on P-256: the one that every service knows.
    EcP256,
    /// ECDH-ES+A256KW on P-521.
    EcP521,
    /// RSAES-OAEP with SHA-256.
    RsaOaep256,
    /// ML-KEM-768 with A192KW, as draft-ietf-jose-pqc-kem-05 and Trustee have it; experimental there.
    MlKem768,
    /// X25519 and ML-KEM-768 together, with A256KW: opens to nobody who breaks only one of them.
    X25519MlKem768,
}

impl TeeKeyForm {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::EcP256,
        Self::EcP521,
        Self::RsaOaep256,
        Self::MlKem768,
        Self::X25519MlKem768,
    ];

    /// The name in an offer and in a log: of the algorithm, and of the curve where it has several.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EcP256 => "ECDH-ES+A256KW-P256",
            Self::EcP521 => "ECDH-ES+A256KW-P521",
            Self::RsaOaep256 => "RSA-OAEP-256",
            Self::MlKem768 => "ML-KEM-768+A192KW",
            Self::X25519MlKem768 => "nitride-X25519MLKEM768+A256KW",
        }
    }

    /// The `alg` of its JWK and of a JWE to it.
    pub const fn algorithm(self) -> &'static str {
        match self {
            Self::EcP256 | Self::EcP521 => "ECDH-ES+A256KW",
            Self::RsaOaep256 | Self::MlKem768 | Self::X25519MlKem768 => self.as_str(),
        }
    }

    /// The form of a name that [`TeeKeyForm::as_str`] gives.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == name)
    }
}
