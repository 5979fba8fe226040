//! The whole protocol over real connections on loopback, by a client written by hand.

mod admin;
mod audit;
mod connections;
mod generated;
mod logging;
mod meanwhile;
mod policies;
mod protocol;
mod refusals;
mod replays;
mod revocations;
mod tee_keys;
mod witness;
mod world;
