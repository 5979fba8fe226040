//! Every message round-trips, and any bytes give a message in its one spelling or a named error.

use super::cddl::Rules;
use super::parts::{Parts, parts};
use super::properties_of_keys::every_message_of_keys_round_trips;
use super::{SHAPES, encoded, golden_message};
use crate::admin::*;
use crate::agent::*;
use crate::application::*;
use crate::quote::*;
use crate::{Empty, KeyName, Message, Reader, Status, open_reply, open_request};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::fmt::Debug;
use std::sync::LazyLock;

pub(super) static RULES: LazyLock<Rules> =
    LazyLock::new(|| Rules::of(&["types", "application", "admin", "agent", "quote", "audit"]));

pub(super) fn round_trips<'a, M: Message<'a> + PartialEq + Debug>(rule: &str, message: &M) {
    let bytes: Vec<u8> = encoded(message);
    let shape = SHAPES.iter().find(|shape| shape.rule == rule).unwrap();
    assert_eq!((shape.spell)(&bytes).as_ref(), Ok(&bytes), "{rule}");
    assert!(RULES.accepts(rule, &bytes), "{rule}: {message:?}");
    // Leaked, a few kilobytes a case: the decoded value must live as long as the one given.
    let bytes: &'static [u8] = Box::leak(bytes.into_boxed_slice());
    let decoded = M::decode_last(Reader::new(bytes)).unwrap();
    assert_eq!(&decoded, message, "{rule}");
}

fn every_message_round_trips(parts: &Parts) {
    let key = KeyName::parse(&parts.names.0).unwrap();
    let after = parts
        .names
        .1
        .as_deref()
        .map(|name| KeyName::parse(name).unwrap());
    let (data, more) = (parts.bytes.0.as_slice(), parts.bytes.1.as_slice());
    let (line, optional_line) = (parts.lines.0.as_str(), parts.lines.1.as_deref());
    let lines: Vec<&str> = parts.lines.2.iter().map(String::as_str).collect();
    let (small, number, long) = parts.numbers;
    let (version, optional_long, flag) = parts.options;
    let (key_type, state, origin, class) = parts.kinds;
    let (scheme, operations, optional_operations) =
        (parts.scheme, parts.operations, parts.optional_operations);
    let round = parts.round;
    let mut report_data = [0; 48];
    report_data[..32].copy_from_slice(&parts.digest.0);
    report_data[32..].copy_from_slice(&parts.digest.1);
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&parts.digest.1[..12]);
    let names: Vec<KeyName<'_>> = after.into_iter().chain([key]).collect();

    round_trips(
        "hello",
        &Hello {
            min_version: small,
            max_version: !small,
            client: line,
            wait_ms: number,
            attaches: number % 2 == 0,
        },
    );
    round_trips(
        "hello-reply",
        &Welcome {
            version: small,
            server: line,
            max_packet: number,
            max_inline: !number,
            features: lines.clone(),
        },
    );
    round_trips(
        "generate",
        &Generate {
            key,
            key_type,
            operations: optional_operations,
            wrappable_by: names.clone(),
        },
    );
    round_trips("generate-reply", &Generated { version: number });
    round_trips(
        "import",
        &Import {
            key,
            key_type,
            operations: optional_operations,
            material: data,
            format: parts.format,
            wrapping_key: after,
            wrappable_by: names.clone(),
        },
    );
    round_trips("import-reply", &Imported { version: number });
    round_trips("describe", &Describe { key });
    let versions = vec![
        VersionInfo {
            version: number,
            state,
            uses: long,
            plaintext_courier: flag
        };
        lines.len()
    ];
    round_trips(
        "describe-reply",
        &Description {
            key_type,
            state,
            origin,
            origin_uri: optional_line,
            operations,
            gate: optional_line,
            created_secs: long,
            lease_secs_left: optional_long,
            min_version: number,
            max_uses: optional_long,
            uses_left: optional_long,
            not_before: Some(long),
            not_after: optional_long,
            wrappable_by: names.clone(),
            versions,
        },
    );
    round_trips(
        "list",
        &List {
            prefix: line,
            after,
            max: number,
        },
    );
    let entries = vec![
        ListEntry {
            key,
            key_type,
            state,
            newest_version: number,
            plaintext_courier: flag
        };
        lines.len()
    ];
    round_trips(
        "list-reply",
        &Listing {
            entries,
            more: flag,
        },
    );
    round_trips("public-key", &PublicKey { key, version });
    round_trips(
        "public-key-reply",
        &PublicKeyDer {
            version: number,
            spki: data,
        },
    );
    round_trips(
        "sign",
        &Sign {
            key,
            scheme,
            message: data,
            prehashed: flag,
        },
    );
    round_trips(
        "sign-reply",
        &Signature {
            version: number,
            signature: data,
        },
    );
    round_trips(
        "verify",
        &Verify {
            key,
            version,
            scheme,
            message: data,
            prehashed: flag,
            signature: more,
        },
    );
    round_trips("verify-reply", &Empty);
    round_trips(
        "encrypt",
        &Encrypt {
            key,
            scheme: parts.encryption,
            plaintext: data,
            aad: more,
        },
    );
    round_trips("encrypt-reply", &Ciphertext { ciphertext: data });
    round_trips(
        "decrypt",
        &Decrypt {
            key,
            version,
            scheme: parts.encryption,
            ciphertext: data,
            aad: more,
            nonce: flag.then_some(&nonce),
        },
    );
    round_trips("decrypt-reply", &Plaintext { plaintext: data });
    round_trips("mac", &Mac { key, data });
    round_trips(
        "mac-reply",
        &Tag {
            version: number,
            tag: &data[..data.len().min(64)],
        },
    );
    round_trips(
        "verify-mac",
        &VerifyMac {
            key,
            version,
            data,
            tag: more,
        },
    );
    round_trips(
        "random",
        &Random {
            len: number % 65_537,
        },
    );
    round_trips("random-reply", &RandomBytes { bytes: data });
    round_trips("release", &Release { key, version });
    round_trips(
        "release-reply",
        &Released {
            version: number,
            secret: data,
        },
    );
    round_trips("enable", &Enable { key, version });
    round_trips("disable", &Disable { key, version });
    round_trips("destroy", &Destroy { key, version });
    round_trips("status", &StatusRequest { also_signers: flag });
    let signers = vec![
        SignerStatus {
            signer: "owner",
            serial: long,
            keys: u64::from(small),
        };
        lines.len().min(16)
    ];
    let gates = vec![
        GateStatus {
            gate: line,
            age_ms: optional_long
        };
        lines.len()
    ];
    round_trips(
        "status-reply",
        &VaultStatus {
            server: line,
            arena_kind: line,
            records_used: long,
            records_size: !long,
            heap_used: long / 2,
            heap_size: long / 3,
            keys: long / 5,
            connections: u64::from(small),
            parked: 0,
            agent_connected: flag,
            policy_generation: long,
            policy_digest: &parts.digest.0,
            tee: line,
            gates,
            warnings: lines.clone(),
            signers: flag.then_some(signers),
            seal: flag.then_some(SealStatus {
                state: line,
                platform: line,
                generation: long,
                keys: u64::from(small),
                left_out: Some(line),
                because: None,
            }),
        },
    );
    round_trips("reload", &Reload);
    round_trips(
        "reload-reply",
        &Reloaded {
            policy_generation: long,
        },
    );
    round_trips(
        "next-round",
        &NextRound {
            also_cause: flag,
            takes_plaintext: optional_long.is_some(),
        },
    );
    round_trips(
        "next-round-reply",
        &RoundOrder {
            round,
            service: line,
            tee: line,
            resources: lines.clone(),
            result_wanted: flag,
            budget_ms: number,
            cause: optional_long.map(|_| RoundCause::ALL[usize::from(flag)]),
            plaintext: flag,
        },
    );
    round_trips(
        "challenge",
        &Challenge {
            round,
            nonce: line,
            hash: optional_line,
            tee_keys: lines.clone().into_iter().take(16).collect(),
            wants_audit_head: flag,
        },
    );
    round_trips(
        "challenge-reply",
        &Evidence {
            tee_pubkey: line,
            primary_evidence: line,
            additional_evidence: "",
            init_data: optional_line,
            audit_head: flag.then_some(Head {
                sequence: 1 << 40,
                digest: &[7; 32],
            }),
        },
    );
    round_trips("result", &AttestationResult { round, token: line });
    round_trips(
        "resource",
        &Resource {
            round,
            resource: line,
            jwe: data,
        },
    );
    round_trips(
        "failure",
        &Failure {
            round,
            resource: optional_line,
            class,
            reason: line,
            retry_after_ms: number,
        },
    );
    round_trips("finish", &Finish { round });
    round_trips(
        "plaintext",
        &PlaintextResource {
            round,
            resource: line,
            version: number.max(1),
            lease_secs: optional_long.filter(|secs| *secs > 0),
            material: data,
        },
    );
    round_trips(
        "evidence",
        &EvidenceRequest {
            tee: line,
            report_data: &report_data,
            yields: flag,
        },
    );
    round_trips(
        "evidence-reply",
        &EvidenceReply {
            tee: line,
            primary_evidence: line,
            additional_evidence: line,
        },
    );
    let params = &data[..data.len().min(4096)];
    round_trips(
        "platform-key",
        &PlatformKeyRequest {
            platform: line,
            params,
        },
    );
    round_trips(
        "platform-key-reply",
        &PlatformKeyReply {
            secret: &parts.digest.0,
            params,
            is_old: flag,
        },
    );
    round_trips(
        "counter",
        &CounterRequest {
            platform: line,
            params,
            increment: flag,
        },
    );
    round_trips("counter-reply", &CounterReply { value: long });
    round_trips(
        "forget",
        &ForgetRequest {
            platform: line,
            params,
        },
    );
    round_trips("forget-reply", &Empty);
    round_trips("phase", &PhaseRequest { name: line });
    round_trips("phase-reply", &PhaseReply { is_new: flag });
    round_trips("phase-end", &PhaseEndRequest { name: line });
    round_trips("phase-end-reply", &PhaseEndReply { is_new: flag });
    round_trips("measure-release", &MeasureReleaseRequest { key });
    round_trips(
        "measure-release-reply",
        &MeasureReleaseReply { is_new: flag },
    );
}

/// Decodes, and holds the decoder against the CDDL: what one accepts the other accepts.
fn decoder_and_cddl_agree(bytes: &[u8]) {
    for shape in SHAPES {
        match (shape.spell)(bytes) {
            Ok(spelled) => {
                assert_eq!(spelled, bytes, "{} has two spellings", shape.rule);
                assert!(RULES.accepts(shape.rule, bytes), "{}", shape.rule);
            }
            // The order inside a set of operations is the one rule that CDDL cannot say.
            Err(crate::DecodeError::OutOfRange {
                field: "operations",
                ..
            }) => {}
            Err(_) => assert!(!RULES.accepts(shape.rule, bytes), "{}", shape.rule),
        }
    }
}

proptest! {
    #[test]
    fn any_message_round_trips(parts in parts()) {
        every_message_round_trips(&parts);
        every_message_of_keys_round_trips(&parts);
    }

    #[test]
    fn any_bytes_give_a_message_or_a_named_error(bytes in proptest::collection::vec(any::<u8>(), 0..96)) {
        decoder_and_cddl_agree(&bytes);
        let _ = open_request(&bytes);
        let _ = open_reply(&bytes);
    }

    #[test]
    fn damaged_messages_give_a_message_or_a_named_error(
        which in any::<Index>(),
        damage in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<Index>()),
    ) {
        let mut bytes = golden_message(which.get(SHAPES).rule);
        for (at, value) in &damage {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        decoder_and_cddl_agree(&bytes);
    }

    #[test]
    fn any_head_opens_as_it_was_written(id in any::<u32>(), operation in any::<u16>(), status in select(&Status::ALL[..])) {
        let mut buffer = [0; 16];
        let len = crate::write_request(&mut buffer, id, operation, &Empty).unwrap();
        let (head, params) = open_request(&buffer[..len]).unwrap();
        prop_assert_eq!((head.id, head.operation), (id, operation));
        prop_assert_eq!(Empty::decode_last(params), Ok(Empty));
        let len = crate::write_reply(&mut buffer, id, status, &Empty).unwrap();
        let (head, _) = open_reply(&buffer[..len]).unwrap();
        prop_assert_eq!((head.id, head.status), (id, status));
    }
}
