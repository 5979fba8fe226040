//! Everything a request needs: keys, policies, store, clock. Built from the configuration once;
//! what a reload changes is one value behind one swap, so that it changes whole or not at all.

use crate::acts::Acts;
use crate::admin::{AdminError, Admins};
use crate::answered::Answered;
use crate::audit::Audit;
use crate::audit::folder::FolderError;
use crate::challenge::{ChallengeKey, ChallengeKeys};
use crate::clock::Clock;
use crate::config::{AdminSettings, Config, ConfigError, Limits, PolicySource};
use crate::documents::Documents;
use crate::evaluators::Evaluators;
use crate::generated::{Generation, GenerationError, Rooms};
use crate::judgement::Judgement;
use crate::judging::Judging;
use crate::key_file::{Key32, KeyFileError};
use crate::key_ring::{KeyRing, KeyRingError};
use crate::policies::PolicyError;
use crate::policy_watch::PolicyWatch;
use crate::revocation::Revocations;
use crate::store::{self, Store, StoreError};
use crate::tee_keys::TeeKeys;
use crate::throttle::Throttle;
use crate::tls::{Offer, TlsError};
use crate::token::Issuer;
use crate::token_key::TokenKey;
use crate::watch::Watch;
use crate::webhook::Webhooks;
use crate::witness::WitnessSettings;
use nitride_collateral::{Files, Obstacle, Shelf};
use nitride_verify::Collateral;
use nitride_verify::policy::MissingCollateral;
use nitride_verify::x509::ChainMemo;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use thiserror::Error;

/// The running service, shared by all requests.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) clock: Clock,
    pub(crate) answered: Answered,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) revocations: Revocations,
    /// For machines that get secrets of their own.
    pub(crate) rooms: Rooms,
    pub(crate) throttle: Throttle,
    /// Beside it, for what has evidence judged.
    pub(crate) attest_throttle: Throttle,
    pub(crate) limits: Limits,
    pub(crate) judging: Judging,
    pub(crate) acts: Acts,
    pub(crate) evaluators: Evaluators,
    pub(crate) watch: Watch,
    /// How heads of vaults' audits are witnessed, if they are.
    pub(crate) witness: Option<WitnessSettings>,
    /// Whether cookies may travel in the clear, since everything does.
    pub(crate) plain_http: bool,
    /// Where the policies are in the store.
    pub(crate) policy_watch: Option<PolicyWatch>,
    current: RwLock<Arc<Current>>,
    /// Who holds it changes what is current: a reload and a set of policies that was put.
    changing: Mutex<()>,
}

/// What a reload replaces, or a new set of policies in part.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    pub(crate) challenges: Arc<ChallengeKeys>,
    pub(crate) issuer: Arc<Issuer>,
    /// `None` before the store has told any: then nothing is judged.
    pub(crate) judgement: Option<Arc<Judgement>>,
    /// What it encrypts to.
    pub(crate) tee_keys: TeeKeys,
    /// What is made for each machine that asks, if anything is.
    pub(crate) generation: Option<Arc<Generation>>,
    /// What vendors publish, as it was at hand.
    pub(crate) shelf: Arc<Shelf>,
    /// Of chains that were verified under it.
    pub(crate) memo: Arc<ChainMemo>,
    /// Shared by all that is current until a reload, so that a renewed certificate is everybody's.
    pub(crate) tls: Option<Arc<Offer>>,
    pub(crate) admins: Arc<Admins>,
}

/// Why the service cannot start, or a reload changed nothing.
#[derive(Debug, Error)]
pub(crate) enum SetUpError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error(
        "the signing-key of what is generated is a token-key; make another with `owner-key generate`"
    )]
    OneSigningKeyTwice,
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    #[error("read the collateral")]
    Collateral(#[from] Obstacle),
    #[error(
        "the attestation policy would refuse all that it wants; fetch what is missing with \
         `nitride-verify collateral fetch` into the folder that `collateral` names, or change the policy"
    )]
    Missing(#[from] MissingCollateral),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Audit(#[from] FolderError),
    #[error("store-key and challenge-key are one key; make another with `store-key generate`")]
    OneKeyTwice,
    #[error(
        "{file} changes what is not in [tls], [[admin]], a policy, tee-keys, the collateral, challenge-key or token-key; restart the service for that"
    )]
    NeedsRestart { file: String },
}

impl Service {
    /// Opens store and keys, and loads policies and certificate.
    pub(crate) fn open(
        config: &Config,
        clock: Clock,
        webhooks: Webhooks,
    ) -> Result<Self, SetUpError> {
        let fixed = &config.fixed;
        let store_key = Key32::read(&fixed.store_key)?;
        let evaluators = Evaluators::new(fixed.evaluation);
        let current = Current::load(config, &evaluators, None)?;
        let audit = Audit::open(fixed.audit.as_ref(), clock.wall_secs())?;
        Ok(Self {
            clock,
            answered: Answered::default(),
            store: store::open(&fixed.store, store_key)?,
            revocations: Revocations::default(),
            rooms: Rooms::default(),
            throttle: Throttle::new(fixed.throttle),
            attest_throttle: Throttle::new(fixed.attest_throttle),
            limits: fixed.limits,
            judging: Judging::new(),
            acts: Acts::default(),
            watch: Watch::new(audit, webhooks),
            witness: fixed.witness.clone(),
            plain_http: fixed.plain_http,
            evaluators,
            policy_watch: PolicyWatch::of(&config.reloaded.policies),
            current: RwLock::new(Arc::new(current)),
            changing: Mutex::default(),
        })
    }

    /// What holds now; a request keeps it to its end.
    pub(crate) fn current(&self) -> Arc<Current> {
        // The lock only ever guards a swap, so that a poisoned one is still whole.
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Loads what the configuration names anew, and swaps it in if all is good. Policies of the store
    /// stay as they are.
    pub(crate) fn reload(&self, config: &Config) -> Result<Arc<Current>, SetUpError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current().judgement.clone();
        let loaded = Arc::new(Current::load(config, &self.evaluators, before)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded.clone();
        Ok(loaded)
    }

    /// Has other policies in force, and all else as it is, if `still` says so once nobody else can
    /// change them.
    pub(crate) fn judge_by(
        &self,
        judgement: Arc<Judgement>,
        still: impl FnOnce() -> bool,
    ) -> Result<(), MissingCollateral> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Current::clone(&self.current());
        next.check(&judgement)?;
        if still() {
            next.judgement = Some(judgement);
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        }
        Ok(())
    }
}

#[cfg(test)]
impl Service {
    /// A service of parts, for tests.
    pub(crate) fn of_parts(
        clock: Clock,
        store: Arc<dyn Store>,
        throttle: Throttle,
        attest_throttle: Throttle,
        limits: Limits,
        current: Current,
    ) -> Self {
        Self {
            clock,
            answered: Answered::default(),
            store,
            revocations: Revocations::default(),
            rooms: Rooms::default(),
            throttle,
            attest_throttle,
            limits,
            judging: Judging::new(),
            acts: Acts::default(),
            evaluators: Evaluators::new(std::time::Duration::from_secs(1)),
            watch: Watch::new(Audit::none(), Webhooks::default()),
            witness: None,
            plain_http: true,
            policy_watch: None,
            current: RwLock::new(Arc::new(current)),
            changing: Mutex::default(),
        }
    }
}

impl Current {
    /// When the TLS certificate ends, in seconds since 1970.
    pub(crate) fn certificate_ends_secs(&self) -> Option<u64> {
        self.tls.as_deref().map(Offer::ends_secs)
    }

    /// What a judgement takes of it.
    pub(crate) fn collateral(&self) -> Collateral<'_> {
        Collateral {
            memo: Some(&self.memo),
            ..self.shelf.as_collateral()
        }
    }

    /// SHA-256 of all policies and templates, for the log; `None` before the store has told any.
    pub(crate) fn digest(&self) -> Option<[u8; 32]> {
        let judgement = self.judgement.as_ref()?;
        let Some(generation) = &self.generation else {
            return Some(judgement.digest);
        };
        let digest = Sha256::new_with_prefix(judgement.digest);
        Some(digest.chain_update(generation.text()).finalize().into())
    }

    /// Refuses policies that would refuse all that they want. Every guest would be told what its operator
    /// can mend: he is told, and now.
    pub(crate) fn check(&self, judgement: &Judgement) -> Result<(), MissingCollateral> {
        check(judgement, &self.shelf)
    }

    fn load(
        config: &Config,
        evaluators: &Evaluators,
        before: Option<Arc<Judgement>>,
    ) -> Result<Self, SetUpError> {
        let (fixed, reloaded) = (&config.fixed, &config.reloaded);
        let challenges = KeyRing::read(&reloaded.challenge_key, |path| {
            Key32::read(path).map(ChallengeKey::new)
        })?;
        // Replicas share the challenge keys; whoever learns one is not to have the store as well.
        let store_key = Key32::read(&fixed.store_key)?;
        if challenges.all().any(|key| key.is(&store_key)) {
            return Err(SetUpError::OneKeyTwice);
        }
        let judgement = match &reloaded.policies {
            PolicySource::Files(files) => {
                let documents = Documents::of_files(files)?;
                let judgement = Judgement::read(&documents, evaluators, before.as_deref())?;
                Some(Arc::new(judgement))
            }
            PolicySource::Store { .. } => before,
        };
        let generation = reloaded.generate.as_deref().map(Generation::load);
        let generation = generation.transpose()?;
        let mut files = Files::new();
        let shelf = reloaded.collateral.as_deref();
        let shelf = shelf
            .map(|path| Shelf::read(path, &mut files))
            .transpose()?;
        let shelf = shelf.unwrap_or_default();
        if let Some(judgement) = &judgement {
            check(judgement, &shelf)?;
        }
        let admin_cas: Vec<PathBuf> = reloaded
            .admins
            .iter()
            .filter_map(AdminSettings::ca)
            .collect();
        let token_keys = KeyRing::read(&reloaded.token_key, TokenKey::read)?;
        let is_tokens = |generation: &Generation| {
            let mut all = token_keys.all().filter_map(TokenKey::spki);
            all.any(|spki| generation.signs_by(&spki))
        };
        if generation.as_ref().is_some_and(is_tokens) {
            return Err(SetUpError::OneSigningKeyTwice);
        }
        let issuer = Issuer::new(token_keys, &fixed.issuer, &fixed.audience, &fixed.policy_id);
        Ok(Self {
            challenges: ChallengeKeys::new(challenges).into(),
            issuer: issuer.into(),
            judgement,
            generation: generation.map(Arc::new),
            shelf: shelf.into(),
            memo: ChainMemo::new().into(),
            tee_keys: reloaded.tee_keys.clone(),
            tls: reloaded
                .tls
                .as_ref()
                .map(|paths| Offer::load(paths, admin_cas).map(Arc::new))
                .transpose()?,
            admins: Admins::load(&reloaded.admins)?.into(),
        })
    }
}

fn check(judgement: &Judgement, shelf: &Shelf) -> Result<(), MissingCollateral> {
    let missing = judgement
        .attestation_policy
        .missing_of(&shelf.as_collateral());
    missing.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
