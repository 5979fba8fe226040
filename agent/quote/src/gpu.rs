//! The devices beside the machine, as they were configured.

use anyhow::Context;
use nitride_evidence::gpu::GpuSettings;
use nitride_evidence::{Collector, KernelPaths, Settings};
use nitride_ipc::trusted_file;
use std::os::fd::AsFd;
use std::path::Path;

/// Opens what is configured: a device that is configured and missing is an error.
pub(crate) fn open(gpus: &GpuSettings) -> anyhow::Result<Collector> {
    // Its code runs as root in here, so that it is trusted as a configuration is; and what was looked at
    // is what is loaded.
    let trusted = |library: &Path| {
        trusted_file::open(library)
            .with_context(|| format!("[gpu] library {} cannot be trusted", library.display()))
    };
    let file = gpus.stated_library().map(trusted).transpose()?;
    let settings = match &file {
        Some(file) => gpus.clone().loaded_from(file.as_fd()),
        None => gpus.clone(),
    };
    let paths = KernelPaths::of_this_machine();
    let collector = Collector::open(Settings::Gpu(settings), &paths)?;
    tracing::info!(
        interface = collector.found(),
        "devices are beside the machine"
    );
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_library_that_everybody_can_write_is_not_loaded() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let gpus = GpuSettings::new(1, Some(file.path().to_owned())).unwrap();
        for (mode, says) in [(0o666, "cannot be trusted"), (0o600, "it does not open")] {
            set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            let error = format!("{:#}", open(&gpus).unwrap_err());
            assert!(error.contains(says), "{mode:o}: {error}");
        }
    }

    #[test]
    fn a_library_is_loaded_by_the_file_that_was_looked_at() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let gpus = GpuSettings::new(1, Some(file.path().to_owned())).unwrap();
        let error = format!("{:#}", open(&gpus).unwrap_err());
        assert!(error.contains("/proc/self/fd/"), "{error}");
        assert!(
            error.contains(&file.path().display().to_string()),
            "{error}"
        );
    }
}
