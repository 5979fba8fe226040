use crate::config::Evidence;
use nitride_ipc::{ConnectError, Connection, RecvError, SendError};
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::quote::{EvidenceReply, EvidenceRequest};
use nitride_protocol::{
    Call, DecodeError, EncodeError, Message, Status, open_reply, write_request,
};

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
    /// nitride-quote is not there.
    #[error("nitride-quote cannot be reached")]
    Unreachable(#[source] ConnectError),
    /// The question did not go out.
    #[error("nitride-quote cannot be asked")]
    Ask(#[source] SendError),
    /// No answer came in time.
    #[error("nitride-quote does not answer")]
    Answer(#[source] RecvError),
    /// It hung up.
    #[error("nitride-quote ended the connection without an answer")]
    HungUp,
    /// The question does not fit a packet.
    #[error("the question for evidence cannot be written")]
    Encode(#[source] EncodeError),
    /// The answer is not of the protocol.
    #[error("the answer of nitride-quote is malformed")]
    Malformed(#[source] DecodeError),
    /// It refused.
    #[error("nitride-quote refuses: {status}")]
    Refused {
        /// What it said.
        status: Status,
    },
    /// The answer is to another question, or of another TEE.
    #[error("nitride-quote answered with evidence of {tee:?}")]
    OtherTee {
        /// What it is of.
        tee: String,
    },
    /// The thread that asked has died.
    #[error("the thread that asked nitride-quote has died")]
    ThreadDied,
}

const ID: u32 = 1;

/// Asks nitride-quote for evidence over `report_data`. Blocks for as long as is configured, at each
/// step.
pub(crate) fn ask(from: &Evidence, report_data: &[u8; 48]) -> Result<MadeEvidence, NoEvidence> {
    let connection = Connection::connect_within(&from.quote_socket, from.timeout)
        .map_err(NoEvidence::Unreachable)?;
    let request = EvidenceRequest {
        tee: &from.tee,
        report_data,
    };
    let mut packet = vec![0; MAX_PACKET_LEN];
    let len = write_request(&mut packet, ID, EvidenceRequest::OPERATION, &request)
        .map_err(NoEvidence::Encode)?;
    connection
        .send(packet.get(..len).unwrap_or_default())
        .map_err(NoEvidence::Ask)?;
    let len = connection
        .recv(&mut packet)
        .map_err(NoEvidence::Answer)?
        .ok_or(NoEvidence::HungUp)?;
    read(from, packet.get(..len).unwrap_or_default())
}

fn read(from: &Evidence, packet: &[u8]) -> Result<MadeEvidence, NoEvidence> {
    let (head, result) = open_reply(packet).map_err(NoEvidence::Malformed)?;
    if head.status != Status::Ok {
        let status = head.status;
        return Err(NoEvidence::Refused { status });
    }
    let reply = EvidenceReply::decode_last(result).map_err(NoEvidence::Malformed)?;
    if reply.tee != from.tee || head.id != ID {
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
    use nitride_ipc::Listener;
    use nitride_protocol::{open_request, write_refusal, write_reply};
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
            Err(NoEvidence::Refused {
                status: Status::EvidenceUnavailable
            })
        ));
        assert!(matches!(
            ask_one(|_, _| Some(3)),
            Err(NoEvidence::Malformed(_))
        ));
        let nobody = Evidence {
            tee: "sample".into(),
            quote_socket: "/nonexistent/quote".into(),
            timeout: Duration::from_millis(10),
        };
        assert!(matches!(
            ask(&nobody, &[0; 48]),
            Err(NoEvidence::Unreachable(_))
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
            Err(NoEvidence::Answer(RecvError::TimedOut))
        ));
    }
}
