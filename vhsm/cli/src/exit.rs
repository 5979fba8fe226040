//! Exit codes: what a script can act on.

use crate::failure::Failure;
use nitride_client::ClientError;
use nitride_protocol::Status;

pub(crate) const REFUSED: u8 = 1;
pub(crate) const USAGE: u8 = 2;
pub(crate) const UNREACHABLE: u8 = 3;
pub(crate) const TIMED_OUT: u8 = 4;
pub(crate) const FILE: u8 = 5;
pub(crate) const NOT_NOW: u8 = 6;
pub(crate) const FAULT: u8 = 7;

const MEANINGS: [(u8, &str); 8] = [
    (0, "done; what was to be verified is genuine"),
    (
        REFUSED,
        "vhsmd refused, or what was to be verified is not genuine",
    ),
    (
        USAGE,
        "the command line is wrong, or a terminal was to get raw bytes",
    ),
    (
        UNREACHABLE,
        "vhsmd could not be reached, or closed the connection",
    ),
    (TIMED_OUT, "no answer in the time allowed by --wait"),
    (FILE, "a file could not be read or written"),
    (
        NOT_NOW,
        "vhsmd cannot do it now: agent, service, evidence or room is missing",
    ),
    (
        FAULT,
        "vhsmd failed, or is of another version than this program",
    ),
];

/// The table at the end of `vhsm --help`.
pub(crate) fn table() -> String {
    let mut table = String::from("Exit codes:\n");
    for (code, meaning) in MEANINGS {
        table.push_str(&format!("  {code}  {meaning}\n"));
    }
    table.push_str(
        "\nSecrets are read from files or standard input and written to files or pipes, never taken\n\
         from the command line. With --json, bytes are base64.",
    );
    table
}

/// The code that a failure ends the program with.
pub(crate) fn code_of(failure: &Failure) -> u8 {
    match failure {
        Failure::Vhsmd { source, .. } => of_client(source),
        Failure::Terminal { .. } | Failure::TypedMaterial | Failure::Form(_) => USAGE,
        Failure::Segments(_) | Failure::Faults(_) | Failure::Audit(_) => REFUSED,
        Failure::PublicKey(_) | Failure::Csr(_) => REFUSED,
        Failure::Read { .. }
        | Failure::TooLong { .. }
        | Failure::Write { .. }
        | Failure::NotAFile { .. } => FILE,
    }
}

fn of_client(error: &ClientError) -> u8 {
    match error {
        ClientError::Refused { status, .. } => of_status(*status),
        ClientError::Timeout { .. } => TIMED_OUT,
        ClientError::Name(_) | ClientError::TooLong { .. } => USAGE,
        ClientError::Protocol { .. } | ClientError::Version { .. } => FAULT,
        _ => UNREACHABLE,
    }
}

fn of_status(status: Status) -> u8 {
    match status {
        Status::Ok => 0,
        Status::TimedOut => TIMED_OUT,
        Status::QuotaExceeded
        | Status::ArenaFull
        | Status::ServiceUnreachable
        | Status::AgentAbsent
        | Status::ShuttingDown
        | Status::EvidenceUnavailable
        | Status::AuditUnavailable
        | Status::SealUnavailable => NOT_NOW,
        Status::Internal | Status::UnsupportedVersion => FAULT,
        _ => REFUSED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_protocol::DecodeError;
    use std::time::Duration;

    fn vhsmd(source: ClientError) -> Failure {
        Failure::Vhsmd { key: None, source }
    }

    #[test]
    fn every_refusal_has_a_code_of_its_own_kind() {
        for status in Status::ALL {
            let refused = ClientError::Refused {
                operation: "sign",
                status,
            };
            let expected = match status.as_str() {
                "ok" => 0,
                "timed-out" => 4,
                "quota-exceeded"
                | "arena-full"
                | "service-unreachable"
                | "agent-absent"
                | "shutting-down"
                | "evidence-unavailable"
                | "audit-unavailable"
                | "seal-unavailable" => 6,
                "internal" | "unsupported-version" => 7,
                _ => 1,
            };
            assert_eq!(code_of(&vhsmd(refused)), expected, "{status}");
        }
    }

    #[test]
    fn what_never_reached_vhsmd_is_told_from_what_it_refused() {
        let operation = "sign";
        let after = Duration::from_secs(1);
        let source = DecodeError::Truncated { at: 0 };
        for (error, code) in [
            (ClientError::Closed { operation }, UNREACHABLE),
            (ClientError::Unusable { operation }, UNREACHABLE),
            (ClientError::Timeout { operation, after }, TIMED_OUT),
            (ClientError::Protocol { operation, source }, FAULT),
            (
                ClientError::Version {
                    operation,
                    found: 2,
                },
                FAULT,
            ),
            (ClientError::Name(nitride_protocol::NameError::Empty), USAGE),
        ] {
            assert_eq!(code_of(&vhsmd(error)), code);
        }
        let absent = nitride_client::Client::connect("/nowhere/vhsm.sock").unwrap_err();
        assert_eq!(code_of(&vhsmd(absent)), UNREACHABLE);
    }

    #[test]
    fn every_code_has_a_meaning() {
        for (at, (code, _)) in (0..).zip(MEANINGS) {
            assert_eq!(code, at);
        }
    }
}
