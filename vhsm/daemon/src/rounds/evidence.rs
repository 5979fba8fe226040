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
    /// There are devices in it which nothing was asked of, so that nothing binds them.
    #[error("nitride-quote answered with devices to a question about {tee}")]
    UnaskedDevices {
        /// What was asked for.
        tee: String,
    },
    /// There are none in it.
    #[error("nitride-quote answered without devices to a question about {devices}")]
    NoDevices {
        /// What was asked for.
        devices: String,
    },
    /// Each part of it fits, and all of them do not.
    #[error(
        "evidence of {primary_len} bytes, {additional_len} of devices and {init_data_len} of init-data do \
         not fit the {MAX_PACKET_LEN} of a packet: leave out of the init-data what need not be measured, \
         or have nitride-quote leave out the event log"
    )]
    TooLarge {
        /// Of the machine.
        primary_len: usize,
        /// Of devices.
        additional_len: usize,
        /// Of what it was started with.
        init_data_len: usize,
    },
    /// The thread that asked has died.
    #[error("the thread that asked nitride-quote has died")]
    ThreadDied,
}

/// Asks nitride-quote for the devices first, where any are configured, over `device_data`: the
/// machine's evidence, whose report data hash theirs, binds them. Blocks for as long as is configured,
/// at each step.
pub(crate) fn ask_with_devices(
    from: &Evidence,
    device_data: &[u8; 48],
    report_data: impl FnOnce(&str) -> [u8; 48],
) -> Result<MadeEvidence, NoEvidence> {
    let additional = match &from.devices {
        None => String::new(),
        Some(devices) => {
            let made = ask_for(from, devices, device_data, Turn::First)?;
            if made.additional.is_empty() {
                let devices = devices.clone();
                return Err(NoEvidence::NoDevices { devices });
            }
            made.additional
        }
    };
    let made = of_machine(from, &report_data(&additional), Turn::First)?;
    Ok(MadeEvidence { additional, ..made })
}

/// Asks nitride-quote for evidence of the machine alone over `report_data`, which an application wants:
/// everything else goes first. Blocks for as long as is configured, at each step.
pub(crate) fn ask(from: &Evidence, report_data: &[u8; 48]) -> Result<MadeEvidence, NoEvidence> {
    of_machine(from, report_data, Turn::Yields)
}

/// Whether a question waits until no round's does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    First,
    Yields,
}

fn of_machine(
    from: &Evidence,
    report_data: &[u8; 48],
    turn: Turn,
) -> Result<MadeEvidence, NoEvidence> {
    let made = ask_for(from, &from.tee, report_data, turn)?;
    if !made.additional.is_empty() {
        let tee = from.tee.clone();
        return Err(NoEvidence::UnaskedDevices { tee });
    }
    Ok(made)
}

fn ask_for(
    from: &Evidence,
    tee: &str,
    report_data: &[u8; 48],
    turn: Turn,
) -> Result<MadeEvidence, NoEvidence> {
    let request = EvidenceRequest {
        tee,
        report_data,
        yields: turn == Turn::Yields,
    };
    let mut packet = vec![0; MAX_PACKET_LEN];
    let result = quote::ask(from, &request, &mut packet)?;
    let reply = EvidenceReply::decode_last(result).map_err(QuoteFault::Malformed)?;
    if reply.tee != tee {
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
            devices: None,
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
            assert!(request.yields);
            write_reply(buffer, 1, Status::Ok, &reply("sample")).ok()
        });
        assert_eq!(made.unwrap().primary, "{}");
    }

    /// Asks a helper whose devices are `additional`, and says what it was asked for.
    fn ask_both(
        additional: &str,
        machine: EvidenceReply<'static>,
    ) -> Result<MadeEvidence, NoEvidence> {
        let dir = tempfile::tempdir().unwrap();
        let from = Evidence {
            tee: "sample".into(),
            devices: Some("nvidia".into()),
            quote_socket: dir.path().join("quote"),
            timeout: Duration::from_secs(5),
        };
        let listener = Listener::bind(&from.quote_socket, 0o600).unwrap();
        let devices = EvidenceReply {
            tee: "nvidia",
            primary_evidence: "",
            additional_evidence: additional,
        };
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let answers = [(devices, [1; 48]), (machine, [2; 48])];
                for (answer, data) in answers {
                    let connection = listener.accept().unwrap();
                    let mut packet = vec![0; 1000];
                    let Ok(Some(len)) = connection.recv(&mut packet) else {
                        return;
                    };
                    let (_, params) = open_request(&packet[..len]).unwrap();
                    let request = EvidenceRequest::decode_last(params).unwrap();
                    assert_eq!(request.tee, answer.tee);
                    assert_eq!(request.report_data, &data);
                    assert!(!request.yields, "a round waits for no application");
                    let mut reply = vec![0; 10_000];
                    let len = write_reply(&mut reply, 1, Status::Ok, &answer).unwrap();
                    connection.send(&reply[..len]).unwrap();
                    if answer.additional_evidence.is_empty() {
                        return;
                    }
                }
            });
            ask_with_devices(&from, &[1; 48], |bound| {
                assert_eq!(bound, additional);
                [2; 48]
            })
        })
    }

    #[test]
    fn devices_are_asked_first_and_the_machine_over_what_they_said() {
        let made = ask_both("{\"nvidia\":{}}", reply("sample")).unwrap();
        assert_eq!(made.primary, "{}");
        assert_eq!(made.additional, "{\"nvidia\":{}}");
    }

    #[test]
    fn devices_that_are_configured_and_not_in_the_answer_are_no_evidence() {
        let made = ask_both("", reply("sample"));
        assert!(matches!(made, Err(NoEvidence::NoDevices { .. })));
    }

    #[test]
    fn devices_that_nothing_was_asked_of_are_not_passed_on() {
        let unasked = EvidenceReply {
            additional_evidence: "{\"nvidia\":{}}",
            ..reply("sample")
        };
        let made = ask_both("{\"nvidia\":{}}", unasked);
        assert!(matches!(made, Err(NoEvidence::UnaskedDevices { .. })));
        let made = ask_one(|_, buffer| write_reply(buffer, 1, Status::Ok, &unasked).ok());
        assert!(matches!(made, Err(NoEvidence::UnaskedDevices { .. })));
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
            devices: None,
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
            devices: None,
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
