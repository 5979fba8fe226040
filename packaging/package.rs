//! Nothing: what is to be said of the packages is in `Cargo.toml` beside this.
#![forbid(unsafe_code)]
