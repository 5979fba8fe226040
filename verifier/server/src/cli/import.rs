//! `import trustee`: the folder of a Trustee's resources, `repository/type/tag`, into our store.

use super::ConfigPath;
use super::backup::is_conflict;
use super::opened_store::OpenedStore;
use crate::clock::Clock;
use crate::envelope::{SealSpec, seal};
use crate::key_file::read_up_to;
use crate::signer::Signer;
use crate::store::{Expected, MAX_RESOURCE_LEN, Place, Resource};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use nitride_kbs::envelope::looks_like_envelope;
use nitride_kbs::limits::MAX_MATERIAL_LEN;
use nitride_kbs::resource::ResourcePath;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// More files than this want another way.
const MAX_FILES: usize = 100_000;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store what a Trustee keeps in a local folder. Raw files stay raw, unless a key signs them.
    Trustee(Trustee),
}

/// What `import trustee` takes.
#[derive(Debug, Args)]
pub(crate) struct Trustee {
    #[command(flatten)]
    config: ConfigPath,
    /// Sign each raw file into an envelope with this P-256 key in PKCS#8 PEM.
    #[arg(long, value_name = "PATH", requires = "operations")]
    owner_key: Option<PathBuf>,
    /// The type of the keys that are signed.
    #[arg(
        long = "type",
        value_name = "TYPE",
        default_value = "secret",
        requires = "owner_key"
    )]
    key_type: String,
    /// What may be done with what is signed: release, sign, …
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        requires = "owner_key"
    )]
    operations: Vec<String>,
    /// To whom it may be released: unit:NAME, uid:NUMBER, volume:NAME.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        requires = "owner_key"
    )]
    release_to: Vec<String>,
    /// Replace what is in the store. Without it nothing that is there is touched.
    #[arg(long)]
    replace: bool,
    /// The folder: `dir_path` of the Trustee's resource plugin.
    folder: PathBuf,
}

/// What a file became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Envelope,
    Signed,
    Raw,
}

impl Command {
    pub(crate) fn run(self) -> Result<()> {
        let Self::Trustee(trustee) = self;
        trustee.run()
    }
}

impl Trustee {
    fn run(self) -> Result<()> {
        let mut owner = Signer::of(self.owner_key.as_deref(), None)?;
        let (resources, strangers) = resources_in(&self.folder)?;
        let store = OpenedStore::open(&self.config)?;
        let (mut signed, mut raw, mut conflicts) = (0, 0, Vec::new());
        for (path, file) in &resources {
            let (resource, form) = self.read(path, file, owner.as_mut())?;
            let place = Place::from(path);
            let expected = match self.replace {
                true => Expected::Any,
                false => Expected::Absent,
            };
            match store.ask(|store| store.write(&place, resource, expected)) {
                Ok(_) if form == Form::Raw => raw += 1,
                Ok(_) => signed += 1,
                Err(error) if is_conflict(&error) => conflicts.push(path.to_string()),
                Err(error) => return Err(error.context(format!("store {path}"))),
            }
        }
        println!("{signed} envelopes and {raw} raw resources stored");
        for stranger in &strangers {
            tracing::warn!(path = %stranger.display(), "this is in the folder and no resource");
        }
        if raw > 0 {
            tracing::warn!(
                raw,
                "nobody signed these: vaults take them only for keys whose policy says \
                 unsigned = \"accept\"; --owner-key signs them"
            );
        }
        match conflicts.first() {
            None => Ok(()),
            Some(first) => bail!(
                "{} resources are there already and were left as they are, {first} first; --replace \
                 takes those of the folder",
                conflicts.len()
            ),
        }
    }

    fn read(
        &self,
        path: &ResourcePath,
        file: &Path,
        owner: Option<&mut Signer>,
    ) -> Result<(Resource, Form)> {
        let bytes = read_file(file)?;
        if looks_like_envelope(&bytes) {
            return Ok((bytes, Form::Envelope));
        }
        let Some(owner) = owner else {
            return Ok((bytes, Form::Raw));
        };
        if bytes.len() > MAX_MATERIAL_LEN {
            bail!("{} is longer than any key's material", file.display());
        }
        let spec = SealSpec {
            key_type: self.key_type.clone(),
            version: 1,
            operations: self.operations.clone(),
            tenant: None,
            wrappable_by: Vec::new(),
            release_to: self.release_to.clone(),
            lease_secs: None,
            not_after_secs: None,
            disk: None,
        };
        let now_secs = Clock::system().wall_secs();
        let envelope = seal(owner, path, &spec, &bytes, now_secs);
        let envelope = envelope.with_context(|| format!("sign {path}"))?;
        Ok((envelope, Form::Signed))
    }
}

type Found = (Vec<(ResourcePath, PathBuf)>, Vec<PathBuf>);

/// Every file that is a resource by where it lies, and what else is there.
fn resources_in(folder: &Path) -> Result<Found> {
    let (mut resources, mut strangers) = (Vec::new(), Vec::new());
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((at, depth)) = folders.pop() {
        let listed = fs::read_dir(&at).with_context(|| format!("list {}", at.display()))?;
        for entry in listed {
            let path = entry
                .with_context(|| format!("list {}", at.display()))?
                .path();
            if resources.len() + strangers.len() + folders.len() >= MAX_FILES {
                bail!("{} has more than {MAX_FILES} files", folder.display());
            }
            let kind = fs::symlink_metadata(&path);
            let kind = kind.with_context(|| format!("inspect {}", path.display()))?;
            let name = path.strip_prefix(folder).ok().and_then(Path::to_str);
            let resource = name.and_then(|name| ResourcePath::parse(name).ok());
            match resource {
                _ if kind.is_dir() && depth < 2 => folders.push((path, depth + 1)),
                Some(resource) if kind.is_file() && depth == 2 => {
                    resources.push((resource, path));
                }
                _ => strangers.push(path),
            }
        }
    }
    resources.sort();
    strangers.sort();
    Ok((resources, strangers))
}

/// A plain file of a resource's size, into one buffer that never grows.
fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let failed = || format!("read {}", path.display());
    // A link would lead out of the folder.
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .with_context(failed)?;
    let mut buffer = Zeroizing::new(vec![0; MAX_RESOURCE_LEN + 1]);
    let len = read_up_to(&mut file, &mut buffer).with_context(failed)?;
    if len > MAX_RESOURCE_LEN {
        bail!("{} is longer than {MAX_RESOURCE_LEN} bytes", path.display());
    }
    buffer.truncate(len);
    Ok(buffer)
}
