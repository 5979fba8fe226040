//! `nitride-verify` over files: generated evidence, real captures, and everything that stands in
//! the way of a judgement.
#![forbid(unsafe_code)]

mod captured;
mod collateral;
mod generated;
mod obstacles;
mod papers;
mod scene;
