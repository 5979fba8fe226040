//! nitride-agent, a program of its own. All of it is in the library, since `nitride-initrd` is made of the same.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    nitride_agent::main()
}
