//! The token that all requests share: had by one login at a time, made longer in time, and had anew
//! when it is not taken any more.

use super::nodes::Nodes;
use crate::clock::Clock;
use crate::config::{Login, LoginMethod};
use crate::key_file::read_secret;
use crate::store::StoreError;
use nitride_openbao::answer::{self, Class, MAX_ANSWER_LEN};
use nitride_openbao::{Request, Session, Step, Token};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

/// A renewal that takes longer is left for the next request.
const RENEWAL: Duration = Duration::from_secs(2);

/// How to log in, and what it gave.
pub(super) struct Authority(Arc<Inner>);

struct Inner {
    login: Login,
    nodes: Arc<Nodes>,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Session,
    token: Option<Token>,
    /// Which login the token is of: a refusal of an older one says nothing of this.
    generation: u64,
}

impl Authority {
    pub(super) fn new(login: Login, nodes: Arc<Nodes>, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            login,
            nodes,
            clock,
            state: Mutex::default(),
        }))
    }

    /// The token, and which login it is of.
    pub(super) async fn token(&self, until: Instant) -> Result<(Token, u64), StoreError> {
        // The usual case: nobody logs in, and the token is good.
        if let Ok(state) = self.0.state.try_lock()
            && state.session.step(self.0.clock.monotonic_ms()) == Step::Use
            && let Some(token) = &state.token
        {
            return Ok((token.clone(), state.generation));
        }
        let inner = self.0.clone();
        // A login goes on if nobody waits for it any more: whoever hangs up causes no second one.
        let having = tokio::spawn(async move { inner.token(until).await });
        having.await.unwrap_or(Err(StoreError::ShuttingDown))
    }

    /// Whether the token is taken at all, where it was refused for one request.
    pub(super) async fn is_taken(&self, token: &Token, until: Instant) -> Result<bool, StoreError> {
        let request = Request::look_up_self();
        let sent = self
            .0
            .nodes
            .send(&request, Some(token), MAX_ANSWER_LEN, until);
        let answer = sent.await.map_err(|failed| failed.into_error(false))?;
        Ok(Class::of(answer.status) == Class::Done)
    }

    /// The token of that login is not taken any more. While another logs in, that is known.
    pub(super) async fn refused(&self, generation: u64, until: Instant) {
        let Ok(mut state) = timeout_at(until, self.0.state.lock()).await else {
            return;
        };
        if state.generation == generation && state.token.is_some() {
            state.token = None;
            state.session.refused(self.0.clock.monotonic_ms());
        }
    }

    /// A request was answered under the token of that login. The answer waits for nobody: who logs in
    /// or renews meanwhile learns himself whether that goes.
    pub(super) fn served(&self, generation: u64) {
        if let Ok(mut state) = self.0.state.try_lock()
            && state.generation == generation
        {
            state.session.served();
        }
    }
}

impl Inner {
    async fn token(&self, until: Instant) -> Result<(Token, u64), StoreError> {
        let locked = timeout_at(until, self.state.lock()).await;
        let mut state = locked.map_err(|_| StoreError::Unavailable {
            reason: "a login is under way and does not end".to_owned(),
            may_be_done: false,
        })?;
        match state.session.step(self.clock.monotonic_ms()) {
            Step::Use => {}
            Step::Renew => self.renew(&mut state, until).await,
            Step::Login => self.log_in(&mut state, until).await?,
            Step::NotBefore(_) => {
                return Err(StoreError::LoginRefused {
                    told: "the last logins were refused; it is tried again in a moment".to_owned(),
                });
            }
        }
        let generation = state.generation;
        let token = state.token.clone();
        token
            .map(|token| (token, generation))
            .ok_or_else(|| StoreError::LoginRefused {
                told: "there is no token".to_owned(),
            })
    }

    async fn log_in(
        &self,
        state: &mut MutexGuard<'_, State>,
        until: Instant,
    ) -> Result<(), StoreError> {
        let request = self.request()?;
        let asked_ms = self.clock.monotonic_ms();
        let sent = self.nodes.send(&request, None, MAX_ANSWER_LEN, until).await;
        let answer = sent.map_err(|failed| failed.into_error(false))?;
        let login = match Class::of(answer.status) {
            Class::Done => answer::logged_in(&answer.body)?,
            _ => {
                state.session.refused(self.clock.monotonic_ms());
                let told = format!("{} {}", answer.status, answer::told(&answer.body));
                return Err(StoreError::LoginRefused { told });
            }
        };
        let (lease_secs, renewable) = (login.lease_secs, login.renewable);
        state.session.granted(asked_ms, lease_secs, renewable);
        state.token = Some(login.token);
        state.generation = state.generation.wrapping_add(1);
        tracing::info!(lease_secs, renewable, "logged in to OpenBao");
        Ok(())
    }

    /// While it is still good: if this comes to nothing, it is used to its end.
    async fn renew(&self, state: &mut MutexGuard<'_, State>, until: Instant) {
        let Some(token) = state.token.clone() else {
            return;
        };
        let asked_ms = self.clock.monotonic_ms();
        let until = until.min(Instant::now() + RENEWAL);
        let request = Request::renew_self();
        let sent = self
            .nodes
            .send(&request, Some(&token), MAX_ANSWER_LEN, until);
        let renewed = match sent.await {
            Ok(answer) if Class::of(answer.status) == Class::Done => {
                answer::logged_in(&answer.body).ok()
            }
            _ => None,
        };
        match renewed {
            Some(login) => state
                .session
                .granted(asked_ms, login.lease_secs, login.renewable),
            None => {
                tracing::warn!("the token for OpenBao was not renewed; it is used to its end");
                state.session.not_renewed();
            }
        }
    }

    /// The files are read for each login: what rotates them need not tell this service.
    fn request(&self) -> Result<Request, StoreError> {
        let mount = &self.login.mount;
        Ok(match &self.login.method {
            LoginMethod::AppRole { role_id, secret_id } => {
                let (role_id, secret_id) = (text_of(role_id)?, text_of(secret_id)?);
                Request::app_role(mount, role_id.trim(), secret_id.trim())
            }
            LoginMethod::Jwt { role, jwt } => Request::jwt(mount, role, text_of(jwt)?.trim()),
            LoginMethod::Certificate { role, .. } => Request::certificate(mount, role),
        }?)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Authority")
            .field("login", &self.0.login)
            .finish_non_exhaustive()
    }
}

/// A secret's text. The file is short and of this machine: reading it holds up nobody.
fn text_of(path: &Path) -> Result<Zeroizing<String>, StoreError> {
    let bytes = read_secret(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| StoreError::NotAText {
        path: path.to_owned(),
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
impl Authority {
    /// As while somebody logs in, until it is dropped.
    pub(super) fn hold(&self) -> impl Sized {
        let state = &self.0.state;
        state.try_lock().unwrap()
    }
}
