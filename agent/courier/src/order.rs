use nitride_kbs::limits::MAX_TEE_LEN;
use nitride_kbs::resource::{ResourcePath, ResourcePathError};
use nitride_protocol::limits::{MAX_RESOURCES_PER_ROUND, ROUND_ID_LEN};
use thiserror::Error;

/// Longest time that a round may take, whatever the order says, in milliseconds.
pub const MAX_BUDGET_MS: u32 = 600_000;

/// What vhsmd wants from one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub(crate) round: [u8; ROUND_ID_LEN],
    pub(crate) tee: String,
    pub(crate) resources: Vec<ResourcePath>,
    pub(crate) result_wanted: bool,
    pub(crate) budget_ms: u32,
}

/// Why an order cannot be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OrderError {
    /// A resource has no usable path.
    #[error("cannot carry out the order: a resource has no usable path")]
    Path(#[source] ResourcePathError),
    /// More resources than one round may fetch.
    #[error("cannot carry out the order: it names {found} resources")]
    TooManyResources {
        /// How many there are.
        found: usize,
    },
    /// The TEE's name is empty, too long, or has other characters than `a-z 0-9 -`.
    #[error("cannot carry out the order: its TEE has no usable name")]
    TeeName,
}

impl Order {
    /// Checks an order's fields. `budget_ms` is cut to [`MAX_BUDGET_MS`].
    pub fn new(
        round: [u8; ROUND_ID_LEN],
        tee: &str,
        resources: &[&str],
        result_wanted: bool,
        budget_ms: u32,
    ) -> Result<Self, OrderError> {
        let found = resources.len();
        if found > MAX_RESOURCES_PER_ROUND {
            return Err(OrderError::TooManyResources { found });
        }
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if tee.is_empty() || tee.len() > MAX_TEE_LEN || !tee.bytes().all(lower) {
            return Err(OrderError::TeeName);
        }
        let resources = resources
            .iter()
            .map(|path| ResourcePath::parse(path).map_err(OrderError::Path));
        Ok(Self {
            round,
            tee: tee.to_owned(),
            resources: resources.collect::<Result<_, _>>()?,
            result_wanted,
            budget_ms: budget_ms.min(MAX_BUDGET_MS),
        })
    }

    /// The round's id, which every question to the vault carries.
    pub fn round(&self) -> &[u8; ROUND_ID_LEN] {
        &self.round
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_with_a_path_that_leaves_its_folder_is_refused() {
        let order = Order::new([0; 16], "sample", &["a/../b"], false, 1);
        assert!(matches!(order, Err(OrderError::Path(_))));
    }

    #[test]
    fn an_order_of_more_resources_than_a_round_fetches_is_refused() {
        let many = vec!["a/b/c"; MAX_RESOURCES_PER_ROUND + 1];
        assert_eq!(
            Order::new([0; 16], "sample", &many, false, 1),
            Err(OrderError::TooManyResources { found: many.len() })
        );
    }

    #[test]
    fn a_tee_that_no_service_could_read_is_refused() {
        for tee in ["", "SNP", "a\"b", &"a".repeat(MAX_TEE_LEN + 1)] {
            assert_eq!(
                Order::new([0; 16], tee, &[], true, 1),
                Err(OrderError::TeeName)
            );
        }
    }
}
