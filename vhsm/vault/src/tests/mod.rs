//! The vault as its users see it, on a virtual clock and with randomness that repeats.

mod access;
mod concurrency;
mod data;
mod explain;
mod generate;
mod leases;
mod lifecycle;
mod limits;
mod listing;
mod properties;
mod provisioned;
mod release;
mod reload;
mod statuses;
mod versions;
pub(crate) mod world;
