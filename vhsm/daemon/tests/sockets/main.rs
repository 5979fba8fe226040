//! The real binary, over its sockets.

#![cfg(test)]
#![forbid(unsafe_code)]

mod completed;
mod credential;
mod disk_key;
mod handed_over;
mod hostile;
mod lingering;
mod many;
mod phases;
mod rounds;
mod serving;
mod shared_memory;
mod world;
