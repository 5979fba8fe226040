//! Who a peer is, tried with processes that do what processes can: end and have their number taken,
//! fork, exec, hand their connection on, live in other namespaces, and name their cgroups as units.
//! These tests need root.
#![cfg(test)]
#![forbid(unsafe_code)]

mod inquiry;
mod kernel;
mod names;
mod peers;
mod vault;
