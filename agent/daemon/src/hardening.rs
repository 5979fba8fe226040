//! What this process denies itself, whoever started it.

use anyhow::Context;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// No debugger of our own user, no core file, no privileges by exec. No key of the vault's is here but
/// those that the policy has the agent read; tokens, session cookies and what it logs in with are.
pub(crate) fn harden() -> anyhow::Result<()> {
    prctl::set_dumpable(false).context("cannot make the process not dumpable")?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).context("cannot forbid core files")?;
    prctl::set_no_new_privs().context("cannot forbid new privileges")
}
