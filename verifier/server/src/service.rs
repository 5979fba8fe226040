//! Everything a request needs: keys, policies, store, clock. Built from the configuration once;
//! what a reload changes is one value behind one swap, so that it changes whole or not at all.

use crate::admin::{AdminError, Admins};
use crate::answered::Answered;
use crate::appraisal::Appraisal;
use crate::audit::Audit;
use crate::audit::folder::FolderError;
use crate::challenge::{ChallengeKey, ChallengeKeys};
use crate::clock::Clock;
use crate::config::{AdminSettings, Config, ConfigError, Limits, read_text};
use crate::evaluators::Evaluators;
use crate::generated::{Generation, GenerationError, Rooms};
use crate::judging::Judging;
use crate::key_file::{Key32, KeyFileError};
use crate::key_ring::{KeyRing, KeyRingError};
use crate::policies::{Policies, PolicyError};
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
use nitride_verify::policy::MissingCollateral;
use nitride_verify::strict_toml::FileError;
use nitride_verify::x509::ChainMemo;
use nitride_verify::{AttestationPolicy, Collateral};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
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
    pub(crate) evaluators: Evaluators,
    pub(crate) watch: Watch,
    /// How heads of vaults' audits are witnessed, if they are.
    pub(crate) witness: Option<WitnessSettings>,
    /// Whether cookies may travel in the clear, since everything does.
    pub(crate) plain_http: bool,
    current: RwLock<Arc<Current>>,
}

/// What a reload replaces.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) challenges: ChallengeKeys,
    pub(crate) issuer: Issuer,
    pub(crate) attestation_policy: AttestationPolicy,
    /// What it encrypts to.
    pub(crate) tee_keys: TeeKeys,
    pub(crate) policies: Policies,
    /// What judges beside the attestation policy.
    pub(crate) appraisal: Option<Appraisal>,
    /// What is made for each machine that asks, if anything is.
    pub(crate) generation: Option<Generation>,
    /// What vendors publish, as it was at hand.
    pub(crate) shelf: Shelf,
    /// Of chains that were verified under it.
    pub(crate) memo: ChainMemo,
    /// SHA-256 of all policies, for the log.
    pub(crate) policy_digest: [u8; 32],
    pub(crate) tls: Option<Offer>,
    pub(crate) admins: Admins,
}

/// Why the service cannot start, or a reload changed nothing.
#[derive(Debug, Error)]
pub(crate) enum SetUpError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Policy(#[from] FileError),
    #[error(transparent)]
    ResourcePolicy(#[from] PolicyError),
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
        let current = Current::load(config, &evaluators)?;
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
            watch: Watch::new(audit, webhooks),
            witness: fixed.witness.clone(),
            plain_http: fixed.plain_http,
            evaluators,
            current: RwLock::new(Arc::new(current)),
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

    /// Loads policies and certificate anew, and swaps them in if all are good.
    pub(crate) fn reload(&self, config: &Config) -> Result<Arc<Current>, SetUpError> {
        let loaded = Arc::new(Current::load(config, &self.evaluators)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded.clone();
        Ok(loaded)
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
            evaluators: Evaluators::new(std::time::Duration::from_secs(1)),
            watch: Watch::new(Audit::none(), Webhooks::default()),
            witness: None,
            plain_http: true,
            current: RwLock::new(Arc::new(current)),
        }
    }
}

impl Current {
    /// When the TLS certificate ends, in seconds since 1970.
    pub(crate) fn certificate_ends_secs(&self) -> Option<u64> {
        self.tls.as_ref().map(Offer::ends_secs)
    }

    /// What a judgement takes of it.
    pub(crate) fn collateral(&self) -> Collateral<'_> {
        Collateral {
            memo: Some(&self.memo),
            ..self.shelf.as_collateral()
        }
    }

    pub(crate) fn load(config: &Config, evaluators: &Evaluators) -> Result<Self, SetUpError> {
        let (fixed, reloaded) = (&config.fixed, &config.reloaded);
        let challenges = KeyRing::read(&reloaded.challenge_key, |path| {
            Key32::read(path).map(ChallengeKey::new)
        })?;
        // Replicas share the challenge keys; whoever learns one is not to have the store as well.
        let store_key = Key32::read(&fixed.store_key)?;
        if challenges.all().any(|key| key.is(&store_key)) {
            return Err(SetUpError::OneKeyTwice);
        }
        let (attestation_policy, attestation_text) =
            load_policy(&reloaded.attestation_policy, AttestationPolicy::parse)?;
        let policies = Policies::load(reloaded, evaluators)?;
        let appraisal = Appraisal::load(reloaded, evaluators)?;
        let generation = reloaded.generate.as_deref().map(Generation::load);
        let generation = generation.transpose()?;
        let mut files = Files::new();
        let shelf = reloaded.collateral.as_deref();
        let shelf = shelf
            .map(|path| Shelf::read(path, &mut files))
            .transpose()?;
        let shelf = shelf.unwrap_or_default();
        // Every guest would be told what its operator can mend: he is told, and now.
        if let Some(missing) = attestation_policy.missing_of(&shelf.as_collateral()) {
            return Err(missing.into());
        }
        let admin_cas: Vec<PathBuf> = reloaded
            .admins
            .iter()
            .filter_map(AdminSettings::ca)
            .collect();
        let mut digest = Sha256::new();
        for text in std::iter::once(attestation_text.as_str())
            .chain(policies.texts())
            .chain(appraisal.iter().map(Appraisal::text))
            .chain(generation.iter().map(Generation::text))
        {
            digest.update(text.len().to_be_bytes());
            digest.update(text);
        }
        let token_keys = KeyRing::read(&reloaded.token_key, TokenKey::read)?;
        let is_tokens = |generation: &Generation| {
            let mut all = token_keys.all().filter_map(TokenKey::spki);
            all.any(|spki| generation.signs_by(&spki))
        };
        if generation.as_ref().is_some_and(is_tokens) {
            return Err(SetUpError::OneSigningKeyTwice);
        }
        Ok(Self {
            challenges: ChallengeKeys::new(challenges),
            issuer: Issuer::new(token_keys, &fixed.issuer, &fixed.audience, &fixed.policy_id),
            attestation_policy,
            tee_keys: reloaded.tee_keys.clone(),
            policies,
            appraisal,
            generation,
            shelf,
            memo: ChainMemo::new(),
            policy_digest: digest.finalize().into(),
            tls: reloaded
                .tls
                .as_ref()
                .map(|paths| Offer::load(paths, admin_cas))
                .transpose()?,
            admins: Admins::load(&reloaded.admins)?,
        })
    }
}

/// Reads one policy file; the policy and its text.
pub(crate) fn load_policy<T>(
    path: &Path,
    parse: impl FnOnce(&str, &str) -> Result<T, FileError>,
) -> Result<(T, String), SetUpError> {
    let text = read_text(path)?;
    let policy = parse(&text, &path.display().to_string())?;
    Ok((policy, text))
}

#[cfg(test)]
mod tests;
