//! The messages that make keys of keys, batches, buffers and administration, for the properties.

use super::parts::Parts;
use super::properties::round_trips;
use crate::admin::*;
use crate::application::*;
use crate::audit::{AuditEntry, AuditKind, AuditPeer, AuditRequest};
use crate::{Empty, KeyName, KeyPolicy, Message, Operation, Rate, Reader, Status};

pub(super) fn every_message_of_keys_round_trips(parts: &Parts) {
    let key = KeyName::parse(&parts.names.0).unwrap();
    let (data, more) = (parts.bytes.0.as_slice(), parts.bytes.1.as_slice());
    let (line, optional_line) = (parts.lines.0.as_str(), parts.lines.1.as_deref());
    let lines: Vec<&str> = parts.lines.2.iter().map(String::as_str).collect();
    let (small, number, long) = parts.numbers;
    let (version, optional_long, flag) = parts.options;
    let key_type = parts.kinds.0;
    let operations = parts.optional_operations;
    let optional_bytes = flag.then_some(data);
    let digest = &parts.digest.0;
    let mut report_data = [0; 48];
    report_data[..32].copy_from_slice(digest);

    let wrap = Wrap {
        wrapping_key: key,
        key,
        version,
    };
    round_trips("wrap", &wrap);
    round_trips(
        "wrap-reply",
        &Wrapped {
            wrapping_version: number,
            wrapped: data,
        },
    );
    round_trips(
        "unwrap",
        &Unwrap {
            wrapping_key: key,
            wrapped: data,
            new_key: key,
            key_type,
        },
    );
    round_trips("unwrap-reply", &Unwrapped { version: number });
    round_trips(
        "derive",
        &Derive {
            key,
            version,
            child: Child {
                name: key,
                key_type,
                operations,
                info: more,
            },
            salt: data,
        },
    );
    round_trips(
        "derive-reply",
        &ChildMade {
            parent_version: number,
            version: !number,
        },
    );
    round_trips(
        "agree",
        &Agree {
            key,
            version,
            peer_public: data,
            child: Child {
                name: key,
                key_type,
                operations,
                info: more,
            },
            salt: data,
        },
    );
    round_trips(
        "agree-reply",
        &ChildMade {
            parent_version: number,
            version: !number,
        },
    );
    round_trips(
        "encapsulate",
        &Encapsulate {
            key,
            version,
            child: Child {
                name: key,
                key_type,
                operations,
                info: more,
            },
        },
    );
    round_trips(
        "encapsulate-reply",
        &Encapsulated {
            key_version: number,
            ciphertext: data,
            version: !number,
        },
    );
    round_trips(
        "decapsulate",
        &Decapsulate {
            key,
            version,
            ciphertext: data,
            child: Child {
                name: key,
                key_type,
                operations,
                info: more,
            },
        },
    );
    round_trips(
        "decapsulate-reply",
        &ChildMade {
            parent_version: number,
            version: !number,
        },
    );
    round_trips("rotate", &Rotate { key });
    round_trips("rotate-reply", &Rotated { version: number });
    let policy = KeyPolicy {
        operations,
        max_uses: optional_long,
        not_before: Some(long),
        not_after: optional_long,
        rate: version.map(|uses| Rate {
            uses,
            per_secs: number.max(1),
        }),
        wrappable_by: flag.then(|| vec![key; 3]),
        min_version: version,
    };
    round_trips("set-policy", &SetPolicy { key, policy });
    let audit_head = flag;
    round_trips("attest", &Attest { data, audit_head });
    let head = Head {
        sequence: long,
        digest,
    };
    round_trips(
        "attest-reply",
        &Attested {
            tee: line,
            report_data: &report_data,
            primary_evidence: line,
            additional_evidence: "",
            audit_head: flag.then_some(head),
        },
    );
    round_trips("audit-head", &AuditHead);
    round_trips("audit-head-reply", &head);
    batches(parts, key);
    round_trips("register-buffer", &RegisterBuffer { len: long });
    round_trips("register-buffer-reply", &Registered { buffer: number });
    round_trips(
        "encrypt-buffer",
        &EncryptBuffer(Window {
            key,
            buffer: version,
            input_offset: long,
            input_len: !long,
            output_offset: long / 3,
            aad: data,
        }),
    );
    round_trips("encrypt-buffer-reply", &BufferDone { output_len: long });
    round_trips(
        "decrypt-buffer",
        &DecryptBuffer(Window {
            key,
            buffer: version,
            input_offset: long,
            input_len: !long,
            output_offset: long / 3,
            aad: data,
        }),
    );
    round_trips("decrypt-buffer-reply", &BufferDone { output_len: long });
    let text = lines.join("\n");
    let check = CheckPolicy {
        name: line,
        text: &text,
    };
    round_trips("check-policy", &check);
    let faults = lines.clone();
    round_trips("check-policy-reply", &PolicyChecked { faults });
    round_trips(
        "explain",
        &Explain {
            key,
            operation: Operation::ALL[usize::from(small) % Operation::ALL.len()],
            peer: PeerClaim {
                uid: version,
                gid: version,
                unit: optional_line,
                cgroup: optional_line,
                executable_digest: flag.then_some(digest),
            },
        },
    );
    let because = lines.clone();
    round_trips(
        "explain-reply",
        &Explained {
            allowed: flag,
            because,
        },
    );
    let why = Why {
        connection: long,
        request: number,
    };
    round_trips("why", &why);
    round_trips("why-reply", &Reasons { because: lines });
    round_trips("wipe", &Wipe);
    let backup = Backup {
        recipient: line,
        cursor: optional_bytes,
    };
    round_trips("backup", &backup);
    round_trips(
        "backup-reply",
        &BackedUp {
            sealed: data,
            next: optional_bytes,
        },
    );
    round_trips("restore", &Restore { sealed: data });
    round_trips("restore-reply", &Restored { keys: long });
    let protection = Protection::ALL[usize::from(small) % Protection::ALL.len()];
    round_trips("end-phase", &EndPhase { protection });
    round_trips("end-phase-reply", &PhaseEnded { kept: flag });
    for rule in ["set-policy-reply", "wipe-reply"] {
        round_trips(rule, &Empty);
    }
    entries(parts, key);
}

fn batches(parts: &Parts, key: KeyName<'_>) {
    let (data, more) = (parts.bytes.0.as_slice(), parts.bytes.1.as_slice());
    let (version, _, prehashed) = parts.options;
    let (scheme, encryption) = (parts.scheme, parts.encryption);
    let items = [
        BatchItem::Sign(Sign {
            key,
            scheme,
            message: data,
            prehashed,
        }),
        BatchItem::Verify(Verify {
            key,
            version,
            scheme,
            message: data,
            prehashed,
            signature: more,
        }),
        BatchItem::PublicKey(PublicKey { key, version }),
        BatchItem::Encrypt(Encrypt {
            key,
            scheme: encryption,
            plaintext: data,
            aad: more,
        }),
        BatchItem::Decrypt(Decrypt {
            key,
            version,
            scheme: encryption,
            ciphertext: data,
            aad: more,
            nonce: None,
        }),
        BatchItem::Mac(Mac { key, data }),
        BatchItem::Random(Random { len: 24 }),
    ];
    let first = usize::from(parts.numbers.0) % items.len();
    round_trips(
        "batch",
        &Batch {
            items: items[first..].to_vec(),
        },
    );
    let items = [
        BatchAnswer::Versioned {
            version: parts.numbers.1,
            bytes: more,
        },
        BatchAnswer::Refused(Status::Denied),
        BatchAnswer::Bytes(data),
        BatchAnswer::Done,
    ];
    round_trips(
        "batch-reply",
        &Batched {
            items: items.to_vec(),
        },
    );
}

fn entries(parts: &Parts, key: KeyName<'_>) {
    let (_, number, long) = parts.numbers;
    let (version, _, flag) = parts.options;
    let entry = AuditEntry {
        sequence: long,
        boot_ms: !long,
        wall_secs: long / 3,
        kind: AuditKind::ALL[usize::from(parts.numbers.0) % AuditKind::ALL.len()],
        peer: flag.then_some(AuditPeer {
            uid: number,
            pid: !number,
            unit: parts.lines.1.as_deref(),
        }),
        key: flag.then_some(key),
        version,
        operation: flag.then_some(Operation::Sign),
        status: Status::Denied,
        request: version.map(|request| AuditRequest {
            connection: long,
            request,
        }),
        count: long,
        reason: &parts.lines.0,
        previous: &parts.digest.0,
    };
    let bytes = super::encoded(&entry);
    assert_eq!(AuditEntry::decode_last(Reader::new(&bytes)), Ok(entry));
    assert!(super::properties::RULES.accepts("audit-entry", &bytes));
}
