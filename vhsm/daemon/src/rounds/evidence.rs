use crate::config::Evidence;
use crate::quote::{self, QuoteFault};
use nitride_protocol::Message;
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::quote::{EvidenceReply, EvidenceRequest};

/// What nitride-quote made. Nothing in it is secret: it is made to be sent to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MadeEvidence {
    /// Of the CPU, as JSON.
    pub(crate) primary: String,
    /// Of devices, as JSON; empty is none.
    pub(crate) additional: String,
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoEvidence {
    /// No TEE is configured.
    #[error("no [evidence] is configured")]
    NotConfigured,
    /// nitride-quote gave none.
    #[error(transparent)]
    Quote(#[from] QuoteFault),
    /// The answer is of another TEE.
    #[error("nitride-quote answered with evidence of {tee:?}")]
    OtherTee {
        /// What it is of.
        tee: String,
    },
    /// The thread that asked has died.
    #[error("the thread that asked nitride-quote has died")]
    ThreadDied,
}

/// Asks nitride-quote for evidence over `report_data`. Blocks for as long as is configured, at each
/// step.
pub(crate) fn ask(from: &Evidence, report_data: &[u8; 48]) -> Result<MadeEvidence, NoEvidence> {
    let request = EvidenceRequest {
        tee: &from.tee,
        report_data,
    };
    let mut packet = vec![0; MAX_PACKET_LEN];
    let result = quote::ask(from, &request, &mut packet)?;
    let reply = EvidenceReply::decode_last(result).map_err(QuoteFault::Malformed)?;
    if reply.tee != from.tee {
        let tee = reply.tee.to_owned();
        return Err(NoEvidence::OtherTee { tee });
    }
    Ok(MadeEvidence {
        primary: reply.primary_evidence.to_owned(),
        additional: reply.additional_evidence.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_ipc::{Listener, RecvError};
    use nitride_protocol::{Status, open_request, write_refusal, write_reply};
    use std::time::Duration;

    /// Asks a helper that answers as `answer` does.
    fn ask_one(
        answer: impl FnOnce(&EvidenceRequest<'_>, &mut [u8]) -> Option<usize> + Send,
    ) -> Result<MadeEvidence, NoEvidence> {
        let dir = tempfile::tempdir().unwrap();
        let from = Evidence {
            tee: "sample".into(),
            quote_socket: dir.path().join("quote"),
            timeout: Duration::from_millis(100),
        };
        let listener = Listener::bind(&from.quote_socket, 0o600).unwrap();
        std::thread::scope(|scope| {
            let helper = scope.spawn(move || {
                let connection = listener.accept().unwrap();
                let mut packet = vec![0; 1000];
                let len = connection.recv(&mut packet).unwrap().unwrap();
                let (head, params) = open_request(&packet[..len]).unwrap();
                assert_eq!((head.id, head.operation), (1, 1));
                let request = EvidenceRequest::decode_last(params).unwrap();
                let mut reply = vec![0; 10_000];
                if let Some(len) = answer(&request, &mut reply) {
                    connection.send(&reply[..len]).unwrap();
                }
                connection
            });
            let made = ask(&from, &[7; 48]);
            drop(helper.join());
            made
        })
    }

    fn reply<'a>(tee: &'a str) -> EvidenceReply<'a> {
        EvidenceReply {
            tee,
            primary_evidence: "{}",
            additional_evidence: "",
        }
    }

    #[test]
    fn evidence_is_asked_over_the_report_data() {
        let made = ask_one(|request, buffer| {
            assert_eq!(request.tee, "sample");
            assert_eq!(request.report_data, &[7; 48]);
            write_reply(buffer, 1, Status::Ok, &reply("sample")).ok()
        });
        assert_eq!(made.unwrap().primary, "{}");
    }

    #[test]
    fn evidence_of_another_tee_is_not_taken() {
        let made = ask_one(|_, buffer| write_reply(buffer, 1, Status::Ok, &reply("snp")).ok());
        assert!(matches!(made, Err(NoEvidence::OtherTee { .. })));
    }

    #[test]
    fn refusal_silence_and_nonsense_are_told_apart() {
        let refused =
            ask_one(|_, buffer| write_refusal(buffer, 1, Status::EvidenceUnavailable).ok());
        assert!(matches!(
            refused,
            Err(NoEvidence::Quote(QuoteFault::Refused {
                status: Status::EvidenceUnavailable
            }))
        ));
        assert!(matches!(
            ask_one(|_, _| Some(3)),
            Err(NoEvidence::Quote(QuoteFault::Malformed(_)))
        ));
        let nobody = Evidence {
            tee: "sample".into(),
            quote_socket: "/nonexistent/quote".into(),
            timeout: Duration::from_millis(10),
        };
        assert!(matches!(
            ask(&nobody, &[0; 48]),
            Err(NoEvidence::Quote(QuoteFault::Unreachable(_)))
        ));
    }

    #[test]
    fn helper_that_hangs_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let from = Evidence {
            tee: "sample".into(),
            quote_socket: dir.path().join("quote"),
            timeout: Duration::from_millis(50),
        };
        let _listener = Listener::bind(&from.quote_socket, 0o600).unwrap();
        assert!(matches!(
            ask(&from, &[0; 48]),
            Err(NoEvidence::Quote(QuoteFault::Answer(RecvError::TimedOut)))
        ));
    }
}
