//! Packets made to be refused, each named for its defect.

use super::{encoded, golden_bytes};
use crate::admin::Import;
use crate::agent::{Failure, FailureClass, PlaintextResource, RoundCause, RoundOrder};
use crate::application::*;
use crate::limits::*;
use crate::{
    DecodeError, Empty, KeyName, KeyType, MaterialFormat, Message, Reader, RequestError, Status,
    open_reply, open_request, refusal_of, write_refusal,
};

pub(super) fn refused<'a, M: Message<'a>>(bytes: &'a [u8]) -> DecodeError {
    M::decode_last(Reader::new(bytes)).map(drop).unwrap_err()
}

fn key() -> KeyName<'static> {
    KeyName::parse("a").unwrap()
}

#[test]
fn a_packet_that_is_no_request_is_refused_under_its_id_where_it_has_one() {
    let request_error = |packet: &[u8]| open_request(packet).map(drop).unwrap_err();
    for (packet, id, error) in [
        (&[][..], None, DecodeError::Truncated { at: 0 }),
        (
            &[0x80],
            None,
            DecodeError::WrongLength {
                at: 0,
                expected: 3,
                found: 0,
            },
        ),
        (
            &[0x84, 1, 6, 0x80, 0x80],
            None,
            DecodeError::WrongLength {
                at: 0,
                expected: 3,
                found: 4,
            },
        ),
        (
            &[0x9f, 1, 6, 0x80, 0xff],
            None,
            DecodeError::Indefinite { at: 0 },
        ),
        (
            &[0x83, 0x20],
            None,
            DecodeError::WrongType {
                at: 1,
                expected: "an unsigned integer",
            },
        ),
        (
            &[0x83, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0, 6],
            None,
            DecodeError::OutOfRange { at: 1, field: "id" },
        ),
        (&[0x83, 7], Some(7), DecodeError::Truncated { at: 2 }),
        (
            &[0x83, 7, 0x1a, 0, 1, 0, 0, 0x80],
            Some(7),
            DecodeError::OutOfRange {
                at: 2,
                field: "operation",
            },
        ),
        (
            &[0x83, 7, 0x18, 6, 0x80],
            Some(7),
            DecodeError::NotShortest { at: 2 },
        ),
    ] {
        assert_eq!(request_error(packet), RequestError { id, error });
    }
    let long = vec![0x83; MAX_PACKET_LEN + 1];
    let error = request_error(&long).error;
    assert_eq!(
        error,
        DecodeError::OutOfRange {
            at: 0,
            field: "packet"
        }
    );
    assert_eq!(refusal_of(&error), Status::TooLarge);
}

#[test]
fn a_reply_with_an_unknown_status_is_refused() {
    assert_eq!(
        open_reply(&[0x83, 1, 0x18, 99, 0x80]).map(drop),
        Err(DecodeError::OutOfRange {
            at: 2,
            field: "status"
        })
    );
}

#[test]
fn a_refusal_carries_nothing() {
    let mut buffer = [0; 16];
    let len = write_refusal(&mut buffer, 5, Status::Denied).unwrap();
    assert_eq!(buffer[..len], [0x83, 5, 5, 0x80]);
    let (head, result) = open_reply(&buffer[..len]).unwrap();
    assert_eq!((head.id, head.status), (5, Status::Denied));
    assert_eq!(Empty::decode_last(result), Ok(Empty));
}

#[test]
fn bytes_after_the_params_are_refused() {
    let mut packet = golden_bytes("sign.request");
    packet.push(0);
    let at = packet.len() - 1;
    let (_, params) = open_request(&packet).unwrap();
    assert_eq!(
        Sign::decode_last(params),
        Err(DecodeError::TrailingBytes { at })
    );
}

#[test]
fn data_over_its_limit_is_too_large_and_anything_else_is_malformed() {
    let long = vec![0; MAX_INLINE_LEN + 1];
    let sign = encoded(&Sign {
        key: key(),
        scheme: None,
        message: &long,
        prehashed: false,
    });
    let error = refused::<Sign<'_>>(&sign);
    assert_eq!(
        error,
        DecodeError::OutOfRange {
            at: 4,
            field: "message"
        }
    );
    assert_eq!(refusal_of(&error), Status::TooLarge);

    let encrypt = encoded(&Encrypt {
        key: key(),
        scheme: None,
        plaintext: b"",
        aad: &long[..MAX_AAD_LEN + 1],
    });
    assert_eq!(
        refusal_of(&refused::<Encrypt<'_>>(&encrypt)),
        Status::TooLarge
    );

    let import = encoded(&Import {
        key: key(),
        key_type: KeyType::Secret,
        operations: None,
        material: &long[..MAX_SECRET_LEN + 1],
        format: MaterialFormat::Raw,
        wrapping_key: None,
        wrappable_by: vec![],
    });
    assert_eq!(
        refusal_of(&refused::<Import<'_>>(&import)),
        Status::TooLarge
    );

    let random = encoded(&Random { len: 65_537 });
    assert_eq!(refusal_of(&refused::<Random>(&random)), Status::TooLarge);

    assert_eq!(
        refusal_of(&DecodeError::Truncated { at: 0 }),
        Status::Malformed
    );
    assert_eq!(
        refusal_of(&DecodeError::OutOfRange {
            at: 0,
            field: "key"
        }),
        Status::Malformed
    );
}

#[test]
fn data_at_its_limit_is_taken() {
    let data = vec![7; MAX_INLINE_LEN];
    let bytes = encoded(&Sign {
        key: key(),
        scheme: None,
        message: &data,
        prehashed: false,
    });
    assert_eq!(
        Sign::decode_last(Reader::new(&bytes))
            .unwrap()
            .message
            .len(),
        MAX_INLINE_LEN
    );
    let ciphertext = vec![7; MAX_CIPHERTEXT_LEN];
    let bytes = encoded(&Decrypt {
        key: key(),
        version: None,
        scheme: None,
        ciphertext: &ciphertext,
        aad: &data[..MAX_AAD_LEN],
        nonce: None,
    });
    assert!(Decrypt::decode_last(Reader::new(&bytes)).is_ok());
    assert!(bytes.len() < MAX_PACKET_LEN);
}

/// A list announces its length before its entries: nothing may be reserved on the sender's word.
#[test]
fn a_list_longer_than_its_limit_is_refused_before_it_is_read() {
    // [entries: array of 2^32, ...]
    assert_eq!(
        refused::<Listing<'_>>(&[0x82, 0x9b, 0, 0, 0, 1, 0, 0, 0, 0]),
        DecodeError::OutOfRange {
            at: 1,
            field: "entries"
        }
    );
    // One more than the limit.
    assert_eq!(
        refused::<Listing<'_>>(&[0x82, 0x99, 1, 1]),
        DecodeError::OutOfRange {
            at: 1,
            field: "entries"
        }
    );
    assert_eq!(
        refused::<Listing<'_>>(&[0x82, 0x99, 1, 0]),
        DecodeError::Truncated { at: 4 }
    );
    let order = encoded(&RoundOrder {
        round: [0; 16],
        service: "s",
        tee: "t",
        resources: vec!["a/b/c"; MAX_RESOURCES_PER_ROUND + 1],
        result_wanted: false,
        budget_ms: 1,
        cause: Some(RoundCause::Request),
        plaintext: false,
    });
    assert_eq!(
        refused::<RoundOrder<'_>>(&order),
        DecodeError::OutOfRange {
            at: 22,
            field: "resources"
        }
    );
}

#[test]
fn text_that_could_forge_a_log_line_is_refused() {
    let failure = encoded(&Failure {
        round: [0; 16],
        resource: None,
        class: FailureClass::Refused,
        reason: "no\nvhsmd: all is well",
        retry_after_ms: 0,
    });
    assert_eq!(
        refused::<Failure<'_>>(&failure),
        DecodeError::OutOfRange {
            at: 20,
            field: "reason"
        }
    );
    for client in ["\u{1b}[2J", "a\u{85}b", "tab\t", "\0"] {
        let hello = encoded(&Hello {
            min_version: 1,
            max_version: 1,
            client,
            wait_ms: 0,
            attaches: false,
        });
        assert_eq!(
            refused::<Hello<'_>>(&hello),
            DecodeError::OutOfRange {
                at: 3,
                field: "client"
            }
        );
    }
}

#[test]
fn unknown_words_and_numbers_are_out_of_range() {
    let describe = encoded(&Generate {
        key: key(),
        key_type: KeyType::Secret,
        operations: None,
        wrappable_by: vec![],
    });
    let mut unknown = describe.clone();
    let last = unknown.len() - 3;
    unknown[last] = b'T';
    assert_eq!(
        refused::<Generate<'_>>(&unknown),
        DecodeError::OutOfRange {
            at: 3,
            field: "key-type"
        }
    );
    // [version, state, uses] with the state 4
    assert_eq!(
        refused::<VersionInfo>(&[0x83, 1, 4, 0]),
        DecodeError::OutOfRange {
            at: 2,
            field: "state"
        }
    );
    assert_eq!(
        refused::<Describe<'_>>(&[0x81, 0x62, b'.', b'.']),
        DecodeError::OutOfRange {
            at: 1,
            field: "key"
        }
    );
}

#[test]
fn debug_shows_lengths_and_no_secret() {
    let shown = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        Import {
            key: key(),
            key_type: KeyType::Secret,
            operations: None,
            material: b"zq-secret",
            format: MaterialFormat::Raw,
            wrapping_key: None,
            wrappable_by: vec![]
        },
        Released {
            version: 1,
            secret: b"zq-secret"
        },
        Plaintext {
            plaintext: b"zq-secret"
        },
        Encrypt {
            key: key(),
            scheme: None,
            plaintext: b"zq-secret",
            aad: b"zq-secret"
        },
        RandomBytes {
            bytes: b"zq-secret"
        },
        Batched {
            items: vec![BatchAnswer::Bytes(b"zq-secret")]
        },
        PlaintextResource {
            round: [0; 16],
            resource: "a/b/c",
            version: 1,
            lease_secs: None,
            material: b"zq-secret"
        },
    );
    assert_eq!(shown.matches("<9 bytes>").count(), 8);
    // The value neither as text nor as a list of its bytes.
    assert!(!shown.contains("zq") && !shown.contains("122, 113"));
}

/// A type that can be copied owns no memory, so decoding it reserves none.
#[test]
fn hot_messages_own_no_memory() {
    fn owns_nothing<T: Copy>() {}
    owns_nothing::<Sign<'_>>();
    owns_nothing::<Signature<'_>>();
    owns_nothing::<Verify<'_>>();
    owns_nothing::<Encrypt<'_>>();
    owns_nothing::<Ciphertext<'_>>();
    owns_nothing::<Decrypt<'_>>();
    owns_nothing::<Plaintext<'_>>();
    owns_nothing::<Mac<'_>>();
    owns_nothing::<Tag<'_>>();
    owns_nothing::<VerifyMac<'_>>();
    owns_nothing::<Release<'_>>();
    owns_nothing::<Released<'_>>();
}

#[test]
fn a_batch_is_bounded_and_holds_nothing_but_data_operations() {
    // [items: array of 2^32]
    let announced = [0x81, 0x9b, 0, 0, 0, 1, 0, 0, 0, 0];
    let error = refused::<Batch<'_>>(&announced);
    assert_eq!(
        error,
        DecodeError::OutOfRange {
            at: 1,
            field: "items"
        }
    );
    assert_eq!(refusal_of(&error), Status::TooLarge);
    assert_eq!(
        refused::<Batch<'_>>(&[0x81, 0x80]),
        DecodeError::WrongLength {
            at: 1,
            expected: 1,
            found: 0
        }
    );
    // A batch in a batch, a release, an operation of administration, and one that is none.
    for operation in [29, 13, 16, 99] {
        assert_eq!(
            refused::<Batch<'_>>(&[0x81, 0x81, 0x82, 0x18, operation, 0x80]).to_string(),
            match operation {
                29 | 99 => DecodeError::OutOfRange {
                    at: 3,
                    field: "operation"
                },
                _ => DecodeError::NotShortest { at: 3 },
            }
            .to_string()
        );
    }
    for operation in [13, 16] {
        assert_eq!(
            refused::<Batch<'_>>(&[0x81, 0x81, 0x82, operation, 0x80]),
            DecodeError::OutOfRange {
                at: 3,
                field: "operation"
            }
        );
    }
    let too_many = Batch {
        items: vec![BatchItem::Random(Random { len: 1 }); MAX_BATCH_LEN + 1],
    };
    assert_eq!(
        refusal_of(&refused::<Batch<'_>>(&encoded(&too_many))),
        Status::TooLarge
    );
}

#[test]
fn a_refused_item_carries_nothing() {
    // [[5, [h'00']]]
    assert_eq!(
        refused::<Batched<'_>>(&[0x81, 0x81, 0x82, 5, 0x81, 0x41, 0]),
        DecodeError::WrongLength {
            at: 4,
            expected: 0,
            found: 1
        }
    );
}

#[test]
fn a_rate_over_no_time_is_refused() {
    assert_eq!(
        refused::<crate::Rate>(&[0x82, 1, 0]),
        DecodeError::OutOfRange {
            at: 2,
            field: "per-secs"
        }
    );
}

#[test]
fn the_chunked_format_is_as_long_as_stated() {
    let chunk = CHUNK_LEN as u64;
    assert_eq!(chunked_len(0), Some(56 + 16));
    assert_eq!(chunked_len(1), Some(56 + 16 + 1));
    assert_eq!(chunked_len(chunk), Some(56 + 16 + chunk));
    assert_eq!(chunked_len(chunk + 1), Some(56 + 32 + chunk + 1));
    assert_eq!(chunked_len(u64::MAX), None);
}
