//! What whoever launches a guest may fill a field of the hardware with: HOST_DATA, MRCONFIGID.

use serde::Deserialize;

/// What such a field has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launched<const LEN: usize> {
    /// The digest of the init-data that came with the evidence; some has to have come.
    InitData,
    /// One of these.
    OneOf(Vec<[u8; LEN]>),
}

/// How it stands in TOML.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "neither \"any\", \"init-data\" nor a list of values in hexadecimal"
)]
pub(super) enum LaunchedForm {
    Word(InitDataWord),
    List(Vec<String>),
}

#[derive(Deserialize)]
pub(super) enum InitDataWord {
    #[serde(rename = "init-data")]
    InitData,
}

impl<const LEN: usize> Launched<LEN> {
    /// As the form says it, the list as the TEE's others are read.
    pub(super) fn read(
        form: LaunchedForm,
        list_of: impl FnOnce(Vec<String>) -> Result<Vec<[u8; LEN]>, String>,
    ) -> Result<Self, String> {
        match form {
            LaunchedForm::Word(InitDataWord::InitData) => Ok(Self::InitData),
            LaunchedForm::List(list) => list_of(list).map(Self::OneOf),
        }
    }

    /// Whether the field is that: `binds_init_data` is that init-data came, and that it is their
    /// digest.
    pub(crate) fn check(
        &self,
        binds_init_data: bool,
        is_among: impl FnOnce(&[[u8; LEN]]) -> Result<(), String>,
    ) -> Result<(), String> {
        match self {
            Self::OneOf(wanted) => is_among(wanted),
            Self::InitData if binds_init_data => Ok(()),
            Self::InitData => Err("no init-data came with the evidence".to_owned()),
        }
    }
}
