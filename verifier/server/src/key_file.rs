//! Keys in files: read only where nobody else could have read them, never overwritten, wiped.

use crate::atomic_file;
use crate::entropy::{Draw, NoEntropy, SecretArray, draw_secret};
use nitride_kbs::limits::MAX_KID_LEN;
use p256::ecdsa::{SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use p256::{PublicKey, SecretKey};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// No key file is larger: a PKCS#8 PEM of P-256 has some 250 bytes, an RSA key for TLS 3 KiB.
const MAX_KEY_FILE_LEN: usize = 16 * 1024;

/// 32 secret bytes from a file.
pub(crate) struct Key32(SecretArray<32>);

/// Why a key file is not taken.
#[derive(Debug, Error)]
pub(crate) enum KeyFileError {
    /// It cannot be opened or read.
    #[error("read key file {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It cannot be written.
    #[error("write key file {}", path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It is a credential, and this process has not been given it.
    #[error(
        "read key file {}: it is a credential of a unit; name it by LoadCredential= there, or \
         run this command as the unit's user",
        path.display()
    )]
    NotGiven {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It is not a plain file.
    #[error("key file {} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    /// Somebody else may read it.
    #[error("key file {} has mode {mode:04o}; run chmod 0600 on it", path.display())]
    TooOpen { path: PathBuf, mode: u32 },
    /// It has not the size of a key.
    #[error("key file {} does not hold {expected}", path.display())]
    NotAKey {
        path: PathBuf,
        expected: &'static str,
    },
    /// The certificates beside it are of another key, or none, or too many.
    #[error(
        "{} does not begin with a certificate of the key in {}; remove it, or have that key certified",
        path.display(), key.display()
    )]
    OtherCertificate { path: PathBuf, key: PathBuf },
    /// A key that was drawn cannot be encoded.
    #[error("make a key")]
    Unmade,
    /// No randomness for a new key.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

impl Key32 {
    /// Reads a file of exactly 32 bytes.
    pub(crate) fn read(path: &Path) -> Result<Self, KeyFileError> {
        let bytes = read_secret(path)?;
        let mut key: SecretArray<32> = Box::new(Zeroizing::new([0; 32]));
        if bytes.len() != key.len() {
            return Err(KeyFileError::NotAKey {
                path: path.to_owned(),
                expected: "exactly 32 bytes; make one with `store-key generate` or `challenge-key generate`",
            });
        }
        key.copy_from_slice(&bytes);
        Ok(Self(key))
    }

    /// Draws a new one.
    pub(crate) fn draw(draw: &mut dyn Draw) -> Result<Self, NoEntropy> {
        Ok(Self(draw_secret(draw)?))
    }

    /// Writes it to a file that does not exist yet.
    pub(crate) fn write(&self, path: &Path) -> Result<(), KeyFileError> {
        write_secret(path, self.expose())
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Key32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key32(..)")
    }
}

/// Reads a P-256 signing key in PKCS#8 PEM.
pub(crate) fn read_signing_key(path: &Path) -> Result<SigningKey, KeyFileError> {
    let not_a_key = || KeyFileError::NotAKey {
        path: path.to_owned(),
        expected: "a P-256 private key in PKCS#8 PEM",
    };
    let bytes = read_secret(path)?;
    let pem = std::str::from_utf8(&bytes).map_err(|_| not_a_key())?;
    let secret = SecretKey::from_pkcs8_pem(pem).map_err(|_| not_a_key())?;
    Ok(SigningKey::from(secret))
}

/// Draws a P-256 key and writes both halves, PKCS#8 PEM (0600) and SPKI PEM (0644).
pub(crate) fn generate_signing_key(
    out: &Path,
    public_out: &Path,
    draw: &mut dyn Draw,
) -> Result<VerifyingKey, KeyFileError> {
    let secret = draw_p256(draw)?;
    let public = secret.public_key();
    let unwritable = |path: &Path, source| KeyFileError::Unwritable {
        path: path.to_owned(),
        source,
    };
    let pem = secret
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| unwritable(out, io::Error::other(error)))?;
    let public_pem = public
        .to_public_key_pem(LineEnding::LF)
        .map_err(|error| unwritable(public_out, io::Error::other(error)))?;
    write_secret(out, pem.as_bytes())?;
    let written = atomic_file::create(public_out, public_pem.as_bytes(), 0o644);
    if written.is_err() {
        // Nobody has its other half: it would only be in the way of the next try.
        let _ = atomic_file::remove(out);
    }
    written.map_err(|source| unwritable(public_out, source))?;
    Ok(VerifyingKey::from(public))
}

/// Draws a P-256 secret. A draw outside the group's order (one in 2^32) is thrown away.
pub(crate) fn draw_p256(draw: &mut dyn Draw) -> Result<SecretKey, NoEntropy> {
    loop {
        let scalar = draw_secret::<32>(draw)?;
        if let Ok(secret) = SecretKey::from_slice(scalar.as_slice()) {
            return Ok(secret);
        }
    }
}

/// The key id of an envelope's signer: SHA-256 over its public key's SPKI DER.
pub(crate) fn key_id(key: &VerifyingKey) -> Option<[u8; 32]> {
    const { assert!(MAX_KID_LEN >= 32) };
    let der = PublicKey::from(key).to_public_key_der().ok()?;
    Some(Sha256::digest(der.as_bytes()).into())
}

/// Reads a secret file that only its owner may read. Files below the folder of systemd credentials
/// may have the group's read bit, since an access list shows there.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let unreadable = |source| KeyFileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let is_credential = is_credential(path);
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|source| match is_credential {
            true => KeyFileError::NotGiven {
                path: path.to_owned(),
                source,
            },
            false => unreadable(source),
        })?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(KeyFileError::NotAFile {
            path: path.to_owned(),
        });
    }
    let mode = metadata.mode() & 0o777;
    let too_open = if is_credential { 0o037 } else { 0o077 };
    if mode & too_open != 0 {
        return Err(KeyFileError::TooOpen {
            path: path.to_owned(),
            mode,
        });
    }
    // Sized once, so that no growing leaves a copy behind.
    let mut buffer = Zeroizing::new(vec![0; MAX_KEY_FILE_LEN]);
    let len = read_up_to(&mut file, &mut buffer).map_err(unreadable)?;
    if len == buffer.len() {
        return Err(KeyFileError::NotAKey {
            path: path.to_owned(),
            expected: "less than 16 KiB",
        });
    }
    buffer.truncate(len);
    Ok(buffer)
}

/// Whether systemd put it there: below the folder that this process was told of, or, for a command
/// beside the service, below the one of all units, which only root can write.
fn is_credential(path: &Path) -> bool {
    path.starts_with("/run/credentials")
        || std::env::var_os("CREDENTIALS_DIRECTORY")
            .is_some_and(|folder| !folder.is_empty() && path.starts_with(folder))
}

/// Reads until `buffer` is full or the input ends; the number of bytes.
pub(crate) fn read_up_to(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Writes a secret file that does not exist yet, 0600.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    atomic_file::create(path, bytes, 0o600).map_err(|source| KeyFileError::Unwritable {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::KernelEntropy;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        Key32::draw(&mut KernelEntropy)
            .unwrap()
            .write(&path)
            .unwrap();
        assert!(Key32::read(&path).is_ok());
        for mode in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(matches!(
                Key32::read(&path),
                Err(KeyFileError::TooOpen { .. })
            ));
        }
    }

    #[test]
    fn keys_of_another_size_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for len in [0, 31, 33, MAX_KEY_FILE_LEN + 1] {
            let path = folder.path().join(len.to_string());
            write_secret(&path, &vec![1; len]).unwrap();
            assert!(matches!(
                Key32::read(&path),
                Err(KeyFileError::NotAKey { .. })
            ));
        }
        assert!(matches!(
            Key32::read(folder.path()),
            Err(KeyFileError::NotAFile { .. })
        ));
    }

    #[test]
    fn a_generated_signing_key_reads_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (out, public_out) = (
            folder.path().join("key.pem"),
            folder.path().join("key.pub.pem"),
        );
        let public = generate_signing_key(&out, &public_out, &mut KernelEntropy).unwrap();
        assert_eq!(read_signing_key(&out).unwrap().verifying_key(), &public);
        assert!(
            fs::read_to_string(&public_out)
                .unwrap()
                .starts_with("-----BEGIN PUBLIC KEY-----")
        );
        assert!(matches!(
            generate_signing_key(&out, &public_out, &mut KernelEntropy),
            Err(KeyFileError::Unwritable { .. })
        ));
        assert!(matches!(
            read_signing_key(&folder.path().join("none")),
            Err(KeyFileError::Unreadable { .. })
        ));
    }

    #[test]
    fn half_a_key_pair_is_not_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (out, public_out) = (folder.path().join("key.pem"), folder.path().join("taken"));
        fs::write(&public_out, "another").unwrap();
        assert!(generate_signing_key(&out, &public_out, &mut KernelEntropy).is_err());
        assert!(!out.exists());
        assert_eq!(fs::read_to_string(&public_out).unwrap(), "another");
    }

    #[test]
    fn a_credential_that_is_not_there_names_the_unit_setting() {
        let path = Path::new("/run/credentials/none.service/store.key");
        let error = Key32::read(path).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("LoadCredential="), "{error}");
        assert!(!is_credential(Path::new("/run/credentials-of-mine/key")));
    }

    #[test]
    fn what_is_no_pem_is_no_signing_key() {
        let folder = tempfile::tempdir().unwrap();
        for (index, text) in [
            "",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ]
        .into_iter()
        .enumerate()
        {
            let path = folder.path().join(index.to_string());
            write_secret(&path, text.as_bytes()).unwrap();
            assert!(matches!(
                read_signing_key(&path),
                Err(KeyFileError::NotAKey { .. })
            ));
        }
    }
}
