//! `resource seal|put|list|delete`.

use super::ConfigPath;
use super::opened_store::{IfThere, OpenedStore};
use crate::atomic_file;
use crate::clock::Clock;
use crate::envelope::{SealSpec, seal};
use crate::key_file::read_up_to;
use crate::signer::Signer;
use crate::store::{MAX_RESOURCE_LEN, Place, Under};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use nitride_kbs::disk::{DiskExpectation, DiskExpectationError};
use nitride_kbs::envelope::{UnverifiedEnvelope, looks_like_envelope};
use nitride_kbs::limits::MAX_MATERIAL_LEN;
use nitride_kbs::resource::ResourcePath;
use std::fs::File;
use std::io::{Write, stdin, stdout};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// `-` as a file's name: standard input or output.
const STANDARD: &str = "-";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign a resource into an envelope, offline.
    Seal {
        #[command(flatten)]
        sealing: Sealing,
        /// Where the envelope goes; it holds the material in the clear. `-` is standard output.
        #[arg(long, value_name = "PATH", required_unless_present = "tree")]
        out: Option<PathBuf>,
        /// In its place, a folder that is a Trustee's repository: the envelope goes to
        /// FOLDER/repo/type/tag.
        #[arg(long, value_name = "FOLDER", conflicts_with = "out")]
        tree: Option<PathBuf>,
    },
    /// Store a resource: an envelope, one that is signed on the way, or raw bytes.
    Put {
        #[command(flatten)]
        config: ConfigPath,
        /// An envelope that `seal` made. `-` is standard input.
        #[arg(long, value_name = "PATH", conflicts_with_all = ["raw", "signs"])]
        envelope: Option<PathBuf>,
        /// Bytes that nobody signed, for keys whose policy says unsigned = "accept". `-` is
        /// standard input.
        #[arg(long, value_name = "PATH", conflicts_with = "signs")]
        raw: Option<PathBuf>,
        #[command(flatten)]
        if_there: IfThere,
        #[command(flatten)]
        sealing: Sealing,
    },
    /// Print the names of all resources, one a line.
    List {
        #[command(flatten)]
        config: ConfigPath,
        /// Also each one's version in the store, which is read for that.
        #[arg(long)]
        versions: bool,
    },
    /// Delete a resource.
    Delete {
        #[command(flatten)]
        config: ConfigPath,
        #[command(flatten)]
        if_there: IfThere,
        /// repo/type/tag, or kbs:///repo/type/tag.
        path: ResourcePath,
    },
}

/// What is signed, and how. For `put` it may be left out as a whole.
#[derive(Debug, Args)]
pub(crate) struct Sealing {
    /// The resource: repo/type/tag, or kbs:///repo/type/tag.
    #[arg(long, value_name = "PATH")]
    path: ResourcePath,
    /// The owner's P-256 key in PKCS#8 PEM.
    #[arg(
        long,
        value_name = "PATH",
        group = "signs",
        requires_all = ["material", "key_type", "version", "operations"]
    )]
    owner_key: Option<PathBuf>,
    /// In its place, a TOML file that says where the owner's key is: in a token, by PKCS#11, or in
    /// OpenBao's transit engine.
    #[arg(
        long,
        value_name = "PATH",
        group = "signs",
        requires_all = ["material", "key_type", "version", "operations"]
    )]
    signer: Option<PathBuf>,
    /// The material, taken byte for byte. `-` is standard input.
    #[arg(long, value_name = "PATH", requires = "signs")]
    material: Option<PathBuf>,
    /// The key's type, as vhsmd names it: secret, ec-p256, aes-256-gcm, …
    #[arg(long = "type", value_name = "TYPE", requires = "signs")]
    key_type: Option<String>,
    /// The version of the material, from 1; a new one for each change.
    #[arg(long, value_name = "NUMBER", requires = "signs")]
    version: Option<u32>,
    /// What may be done with it: release, sign, public-key, …
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "signs")]
    operations: Vec<String>,
    /// Whose it is.
    #[arg(long, value_name = "NAME", requires = "signs")]
    tenant: Option<String>,
    /// The keys that may wrap it.
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "signs")]
    wrappable_by: Vec<String>,
    /// To whom it may be released: unit:NAME, uid:NUMBER, volume:NAME.
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "signs")]
    release_to: Vec<String>,
    /// How long a vault may hold it, in seconds.
    #[arg(long, value_name = "SECONDS", requires = "signs")]
    lease_secs: Option<u64>,
    /// When it ends, in seconds since 1970.
    #[arg(long, value_name = "SECONDS", requires = "signs")]
    not_after_secs: Option<u64>,
    /// The volumes that it is for, each as `expect` of `nitride-unlock status` says; vhsmd releases it
    /// to no other.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        value_parser = disk,
        requires = "signs"
    )]
    disk: Option<Vec<String>>,
}

/// In the one spelling that is compared: another would be for no volume.
fn disk(text: &str) -> Result<String, DiskExpectationError> {
    text.parse::<DiskExpectation>().map(|disk| disk.to_string())
}

impl Sealing {
    /// The envelope; `None` when nothing was said about signing.
    fn sign(self) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let owner = Signer::of(self.owner_key.as_deref(), self.signer.as_deref())?;
        let (Some(mut owner), Some(material), Some(key_type), Some(version)) =
            (owner, self.material, self.key_type, self.version)
        else {
            return Ok(None);
        };
        let spec = SealSpec {
            key_type,
            version,
            operations: self.operations,
            tenant: self.tenant,
            wrappable_by: self.wrappable_by,
            release_to: self.release_to,
            lease_secs: self.lease_secs,
            not_after_secs: self.not_after_secs,
            disk: self.disk,
        };
        let material = read_input(&material, MAX_MATERIAL_LEN)?;
        Ok(Some(seal(
            &mut owner,
            &self.path,
            &spec,
            &material,
            Clock::system().wall_secs(),
        )?))
    }
}

impl Command {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Seal { sealing, out, tree } => {
                let path = sealing.path.clone();
                let Some(envelope) = sealing.sign()? else {
                    bail!("say who signs: --owner-key or --signer");
                };
                match (out, tree) {
                    (Some(out), _) => write_out(&out, &envelope),
                    (None, Some(tree)) => write_to_tree(&tree, &path, &envelope),
                    (None, None) => bail!("say where the envelope goes: --out or --tree"),
                }
            }
            Self::Put {
                config,
                envelope,
                raw,
                if_there,
                sealing,
            } => {
                let path = sealing.path.clone();
                let place = Place::from(&path);
                let resource = to_store(envelope.as_deref(), raw.as_deref(), sealing)?;
                let expected = if_there.expected()?;
                let store = OpenedStore::open(&config)?;
                store.refuse_generated(&path)?;
                store.ask(|store| store.write(&place, resource, expected))?;
                Ok(())
            }
            Self::List { config, versions } => list(&config, versions),
            Self::Delete {
                config,
                if_there,
                path,
            } => {
                let (place, expected) = (Place::from(&path), if_there.expected()?);
                let store = OpenedStore::open(&config)?;
                if !store.ask(|store| store.delete(&place, expected))? {
                    bail!("there is no resource {path}");
                }
                Ok(())
            }
        }
    }
}

/// What `put` is to store.
fn to_store(
    envelope: Option<&Path>,
    raw: Option<&Path>,
    sealing: Sealing,
) -> Result<Zeroizing<Vec<u8>>> {
    match (envelope, raw, sealing.sign()?) {
        (Some(file), None, None) => read_envelope(file),
        (None, Some(file), None) => read_raw(file),
        (None, None, Some(envelope)) => Ok(envelope),
        _ => bail!(
            "say what to store: --envelope, --raw, or --owner-key or --signer to sign on the way"
        ),
    }
}

/// An envelope; whose it is, the vaults know, and that it is whole, is found out here.
pub(super) fn read_envelope(file: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = read_input(file, MAX_RESOURCE_LEN)?;
    UnverifiedEnvelope::parse(&bytes).with_context(|| {
        let file = file.display();
        format!("{file} is not an envelope; make one with `resource seal`")
    })?;
    Ok(bytes)
}

/// Bytes that nobody signed.
pub(super) fn read_raw(file: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = read_input(file, MAX_RESOURCE_LEN)?;
    if looks_like_envelope(&bytes) {
        bail!(
            "{} looks like an envelope; store it with --envelope",
            file.display()
        );
    }
    Ok(bytes)
}

fn list(config: &ConfigPath, versions: bool) -> Result<()> {
    let store = OpenedStore::open(config)?;
    let listing = store.ask(|store| store.list(Under::Resources))?;
    let mut out = stdout().lock();
    for place in &listing.places {
        let Place::Resource(path) = place else {
            continue;
        };
        if versions {
            // One that was deleted meanwhile is not there.
            if let Some(stored) = store.ask(|store| store.read(place))? {
                writeln!(out, "{path} {}", stored.version).context("print")?;
            }
        } else {
            writeln!(out, "{path}").context("print")?;
        }
    }
    for stranger in &listing.strangers {
        tracing::warn!(path = stranger, "this is in the store and no resource");
    }
    Ok(())
}

/// Reads secret input of at most `max_len` bytes into one buffer that never grows.
pub(super) fn read_input(path: &Path, max_len: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut input = if path == Path::new(STANDARD) {
        unbuffered(stdin())?
    } else {
        File::open(path).with_context(|| format!("open {}", path.display()))?
    };
    let mut buffer = Zeroizing::new(vec![0; max_len + 1]);
    let len =
        read_up_to(&mut input, &mut buffer).with_context(|| format!("read {}", path.display()))?;
    if len > max_len {
        bail!("{} is longer than {max_len} bytes", path.display());
    }
    buffer.truncate(len);
    Ok(buffer)
}

pub(super) fn write_out(path: &Path, bytes: &[u8]) -> Result<()> {
    if path == Path::new(STANDARD) {
        return unbuffered(stdout())?
            .write_all(bytes)
            .context("write to standard output");
    }
    atomic_file::replace(path, bytes, 0o600).with_context(|| format!("write {}", path.display()))
}

/// As a Trustee's file store keeps resources: FOLDER/repo/type/tag. What a path may be made of keeps
/// it below the folder.
fn write_to_tree(tree: &Path, path: &ResourcePath, bytes: &[u8]) -> Result<()> {
    let file = tree.join(path.as_str());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    write_out(&file, bytes)
}

/// A standard stream past its buffer, which would keep a copy that nobody wipes.
fn unbuffered(stream: impl AsFd) -> Result<File> {
    let descriptor = stream.as_fd().try_clone_to_owned();
    Ok(File::from(descriptor.context("use a standard stream")?))
}
