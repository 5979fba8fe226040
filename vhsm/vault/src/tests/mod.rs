//! The vault as its users see it, on a virtual clock and with randomness that repeats.

mod access;
mod batches;
pub(crate) mod calls;
mod children;
mod concurrency;
mod data;
mod disks;
mod explain;
mod full_arena;
mod generate;
mod leases;
mod lifecycle;
mod limits;
mod listing;
mod material;
mod properties;
mod provisioned;
mod release;
mod reload;
mod rotation;
mod sealing;
mod signing;
mod statuses;
mod versions;
mod ways_out;
pub(crate) mod world;
mod wrapping;
