//! The seal: the file, what is in it, what may happen to it, and which one counts.

mod changes;
mod copies;
mod filed;
mod files;
mod golden;
mod ladder;
mod parts;
mod snapshot;
mod world;
