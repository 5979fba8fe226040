//! What can be measured: one file a section.

mod batch;
mod boot;
mod bulk;
mod connections;
mod costs;
mod evidence;
mod fleet;
mod floor;
mod keys;
mod others;
mod round;
mod spin;
mod start;
mod two;
mod types;

use crate::report::Report;
use crate::scale::Scale;
use anyhow::Result;

/// A part of the run that can be asked for by name.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Whether it starts programs, which are built first.
    pub(crate) starts_programs: bool,
    pub(crate) run: fn(&mut Report, Scale) -> Result<()>,
}

pub(crate) const SECTIONS: [Section; 16] = [
    Section {
        name: "floor",
        about: "P-256, AES-256-GCM and HMAC against bare operation and round trip",
        starts_programs: true,
        run: floor::run,
    },
    Section {
        name: "costs",
        about: "instructions and cycles of the same, where perf may count them",
        starts_programs: true,
        run: costs::run,
    },
    Section {
        name: "two",
        about: "two clients on two CPUs against one",
        starts_programs: true,
        run: two::run,
    },
    Section {
        name: "batch",
        about: "batches of 1, 10 and 100 signatures against bare ones",
        starts_programs: true,
        run: batch::run,
    },
    Section {
        name: "bulk",
        about: "1 MiB through shared memory against a bare seal",
        starts_programs: true,
        run: bulk::run,
    },
    Section {
        name: "types",
        about: "every key type, and 16 B to 64 KiB inline",
        starts_programs: true,
        run: types::run,
    },
    Section {
        name: "connections",
        about: "1 to 1,000 connections",
        starts_programs: true,
        run: connections::run,
    },
    Section {
        name: "spin",
        about: "what looking before sleeping gains",
        starts_programs: true,
        run: spin::run,
    },
    Section {
        name: "start",
        about: "start to READY with 10,000 stored keys",
        starts_programs: true,
        run: start::run,
    },
    Section {
        name: "boot",
        about: "the initrd's daemons, from start to passphrase",
        starts_programs: true,
        run: boot::run,
    },
    Section {
        name: "round",
        about: "a round, beyond network and service",
        starts_programs: true,
        run: round::run,
    },
    Section {
        name: "keys",
        about: "memory, and 100 to 100,000 keys",
        starts_programs: true,
        run: keys::run,
    },
    Section {
        name: "evidence",
        about: "SNP reports and TDX quotes against the signatures that they take",
        starts_programs: false,
        run: evidence::run,
    },
    Section {
        name: "fleet",
        about: "the provisioning service, for 64 clients and 10,000 machines",
        starts_programs: true,
        run: fleet::run,
    },
    Section {
        name: "policies",
        about: "a decision by rules and by Rego, alone and before the service",
        starts_programs: true,
        run: fleet::policies::run,
    },
    Section {
        name: "others",
        about: "SoftHSM2 and OpenBao",
        starts_programs: true,
        run: others::run,
    },
];
