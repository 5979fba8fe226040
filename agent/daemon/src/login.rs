//! What this agent shows an OpenBao or a Vault, in a round in the clear.

use crate::clock::{Clock, draw};
use crate::config::{Login, LoginMethod, OpenBao};
use crate::tls::{TlsError, read_secret};
use crate::transport::chain;
use nitride_courier::{Effect, Endpoints, Order, Round};
use nitride_openbao::{KvError, Request};
use std::error::Error;
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why there is nothing to log in with.
#[derive(Debug, Error)]
pub(crate) enum LoginError {
    #[error("cannot read what to log in with")]
    Unreadable(#[source] TlsError),
    #[error("{} is no text", .path.display())]
    NotAText { path: PathBuf },
    #[error("the login has no usable mount")]
    Mount(#[source] KvError),
}

impl OpenBao {
    /// Begins a round in which what is ordered is read here.
    pub(crate) fn begin(
        &self,
        order: Order,
        endpoints: &mut Endpoints,
        clock: Clock,
    ) -> Result<(Round, Effect), String> {
        let said = |error: &dyn Error| format!("agent: {}", chain(error));
        let login = request(&self.login).map_err(|error| said(&error))?;
        let how = (login, &self.secrets);
        Round::begin_in_clear(order, how, endpoints, clock.now_ms(), draw())
            .map_err(|error| said(&error))
    }
}

/// The request that logs in. The files are read for each: what rotates them need not tell this agent.
fn request(login: &Login) -> Result<Request, LoginError> {
    let mount = &login.mount;
    let request = match &login.method {
        LoginMethod::AppRole { role_id, secret_id } => {
            let (role_id, secret_id) = (text_of(role_id)?, text_of(secret_id)?);
            Request::app_role(mount, role_id.trim(), secret_id.trim())
        }
        LoginMethod::Jwt { role, jwt } => Request::jwt(mount, role, text_of(jwt)?.trim()),
        LoginMethod::Certificate { role } => Request::certificate(mount, role),
    };
    request.map_err(LoginError::Mount)
}

/// The file is short and of this machine: reading it holds up nobody.
fn text_of(path: &Path) -> Result<Zeroizing<String>, LoginError> {
    let bytes = read_secret(path).map_err(LoginError::Unreadable)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| LoginError::NotAText {
        path: path.to_owned(),
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}
