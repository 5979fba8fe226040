//! Golden packets of what makes keys of keys, of batches and buffers, and of administration.

use super::golden::{COUNT, check, golden, name};
use super::golden_bytes;
use crate::admin::*;
use crate::application::*;
use crate::audit::{AuditEntry, AuditKind, AuditPeer, AuditRequest};
use crate::{
    Empty, EncryptionScheme, KeyPolicy, KeyType, Message, Operation, OperationSet, Rate, Reader,
    Status,
};

pub(super) const DIGEST: [u8; 32] = {
    let mut digest = [0; 32];
    let mut at = 0u8;
    while at < 32 {
        digest[at as usize] = 0xe0 + at;
        at += 1;
    }
    digest
};
const WRAPPED: &[u8] = b"NW\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const CAPSULE: &[u8] = &[b'c'; 40];

golden! {
    wrap_is_golden, "wrap", Operation::Wrap,
        Wrap { wrapping_key: name("app/kek"), key: name("app/sign"), version: Some(24) },
        Wrapped { wrapping_version: 2, wrapped: WRAPPED };
    unwrap_is_golden, "unwrap", Operation::Unwrap,
        Unwrap {
            wrapping_key: name("app/kek"),
            wrapped: WRAPPED,
            new_key: name("app/copy"),
            key_type: KeyType::EcP256,
        },
        Unwrapped { version: 1 };
    derive_is_golden, "derive", Operation::Derive,
        Derive {
            key: name("app/mac"),
            version: None,
            child: Child {
                name: name("app/child"),
                key_type: KeyType::Aes256Gcm,
                operations: Some(OperationSet::of(&[Operation::Encrypt, Operation::Decrypt])),
                info: b"child 1",
            },
            salt: b"salt",
        },
        ChildMade { parent_version: 3, version: 1 };
    agree_is_golden, "agree", Operation::Agree,
        Agree {
            key: name("app/dh"),
            version: Some(1),
            peer_public: &COUNT[..32],
            child: Child {
                name: name("app/shared"),
                key_type: KeyType::HmacSha512,
                operations: None,
                info: b"info",
            },
            salt: b"",
        },
        ChildMade { parent_version: 1, version: 1 };
    encapsulate_is_golden, "encapsulate", Operation::Encapsulate,
        Encapsulate {
            key: name("app/kem"),
            version: None,
            child: Child {
                name: name("app/session"),
                key_type: KeyType::ChaCha20Poly1305,
                operations: None,
                info: b"info",
            },
        },
        Encapsulated { key_version: 1, ciphertext: CAPSULE, version: 1 };
    decapsulate_is_golden, "decapsulate", Operation::Decapsulate,
        Decapsulate {
            key: name("app/kem"),
            version: Some(1),
            ciphertext: CAPSULE,
            child: Child {
                name: name("app/session"),
                key_type: KeyType::ChaCha20Poly1305,
                operations: None,
                info: b"info",
            },
        },
        ChildMade { parent_version: 1, version: 1 };
    rotate_is_golden, "rotate", Operation::Rotate,
        Rotate { key: name("app/sign") },
        Rotated { version: 25 };
    set_policy_is_golden, "set-policy", Operation::SetPolicy,
        SetPolicy {
            key: name("app/sign"),
            policy: KeyPolicy {
                operations: Some(OperationSet::of(&[Operation::Sign])),
                max_uses: Some(1000),
                not_before: None,
                not_after: Some(1_800_000_000),
                rate: Some(Rate { uses: 10, per_secs: 60 }),
                wrappable_by: Some(vec![name("app/kek")]),
                min_version: Some(2),
            },
        },
        Empty;
    attest_is_golden, "attest", Operation::Attest,
        Attest { data: b"a challenge", audit_head: true },
        Attested {
            tee: "sample",
            report_data: COUNT[..48].try_into().unwrap(),
            primary_evidence: r#"{"svn":"1"}"#,
            additional_evidence: "",
            audit_head: Some(Head { sequence: 1 << 40, digest: &DIGEST }),
        };
    audit_head_is_golden, "audit-head", Operation::AuditHead,
        AuditHead,
        Head { sequence: 1 << 40, digest: &DIGEST };
    batch_is_golden, "batch", Operation::Batch,
        Batch { items: items() },
        Batched {
            items: vec![
                BatchAnswer::Versioned { version: 24, bytes: b"\x30\x59\x30\x13" },
                BatchAnswer::Versioned { version: 24, bytes: &COUNT },
                BatchAnswer::Done,
                BatchAnswer::Bytes(b"ciphertext"),
                BatchAnswer::Refused(Status::WrongKeyType),
                BatchAnswer::Refused(Status::Denied),
                BatchAnswer::Refused(Status::VerificationFailed),
                BatchAnswer::Bytes(&COUNT[..3]),
            ],
        };
    register_buffer_is_golden, "register-buffer", Operation::RegisterBuffer,
        RegisterBuffer { len: 1 << 20 },
        Registered { buffer: 0 };
    encrypt_buffer_is_golden, "encrypt-buffer", Operation::EncryptBuffer,
        EncryptBuffer(Window {
            key: name("app/seal"),
            buffer: Some(0),
            input_offset: 0,
            input_len: 524_288,
            output_offset: 524_288,
            aad: b"context",
        }),
        BufferDone { output_len: 524_472 };
    decrypt_buffer_is_golden, "decrypt-buffer", Operation::DecryptBuffer,
        DecryptBuffer(Window {
            key: name("app/seal"),
            buffer: None,
            input_offset: 524_288,
            input_len: 524_472,
            output_offset: 0,
            aad: b"context",
        }),
        BufferDone { output_len: 524_288 };
    check_policy_is_golden, "check-policy", Operation::CheckPolicy,
        CheckPolicy { name: "web.toml", text: "[[rule]]\n" },
        PolicyChecked { faults: vec!["web.toml line 1: keys is missing"] };
    explain_is_golden, "explain", Operation::Explain,
        Explain {
            key: name("app/sign"),
            operation: Operation::Sign,
            peer: PeerClaim {
                uid: Some(1000),
                gid: None,
                unit: Some("web.service"),
                cgroup: None,
                executable_digest: Some(&DIGEST),
            },
        },
        Explained { allowed: true, because: vec!["rule 1 grants sign"] };
    why_is_golden, "why", Operation::Why,
        Why { connection: 7, request: 3 },
        Reasons { because: vec!["no rule grants sign there"] };
    wipe_is_golden, "wipe", Operation::Wipe, Wipe, Empty;
    backup_is_golden, "backup", Operation::Backup,
        Backup { recipient: "office", cursor: Some(b"page 2") },
        BackedUp { sealed: b"sealed", next: None };
    restore_is_golden, "restore", Operation::Restore,
        Restore { sealed: b"sealed" },
        Restored { keys: 12 };
    end_phase_is_golden, "end-phase", Operation::EndPhase,
        EndPhase { protection: Protection::Verity },
        PhaseEnded { kept: true };
}

/// One of each operation that a batch takes.
fn items() -> Vec<BatchItem<'static>> {
    let (sign, mac) = (name("app/sign"), name("app/mac"));
    vec![
        BatchItem::PublicKey(PublicKey {
            key: sign,
            version: None,
        }),
        BatchItem::Sign(Sign {
            key: sign,
            scheme: None,
            message: b"a message",
            prehashed: false,
        }),
        BatchItem::Verify(Verify {
            key: sign,
            version: None,
            scheme: None,
            message: b"a message",
            prehashed: false,
            signature: &COUNT,
        }),
        BatchItem::Encrypt(Encrypt {
            key: name("app/seal"),
            scheme: None,
            plaintext: b"a plaintext",
            aad: b"",
        }),
        BatchItem::Decrypt(Decrypt {
            key: name("app/rsa"),
            version: Some(1),
            scheme: Some(EncryptionScheme::RsaOaepSha256),
            ciphertext: b"cccccccc",
            aad: b"label",
            nonce: None,
        }),
        BatchItem::Mac(Mac {
            key: mac,
            data: b"some data",
        }),
        BatchItem::VerifyMac(VerifyMac {
            key: mac,
            version: None,
            data: b"some data",
            tag: &COUNT[..32],
        }),
        BatchItem::Random(Random { len: 3 }),
    ]
}

#[test]
fn an_audit_entry_is_golden() {
    let entry = AuditEntry {
        sequence: 9,
        boot_ms: 12_345,
        wall_secs: 1_700_000_000,
        kind: AuditKind::Denial,
        peer: Some(AuditPeer {
            uid: 1000,
            pid: 4242,
            unit: Some("web.service"),
        }),
        key: Some(name("app/sign")),
        version: Some(24),
        operation: Some(Operation::Sign),
        status: Status::Denied,
        request: Some(AuditRequest {
            connection: 7,
            request: 3,
        }),
        count: 1,
        reason: "no rule grants sign there",
        previous: &DIGEST,
    };
    let bytes = golden_bytes("audit-entry");
    assert_eq!(AuditEntry::decode_last(Reader::new(&bytes)), Ok(entry));
    let mut buffer = [0; 512];
    let len = entry.write(&mut buffer).unwrap();
    assert_eq!(buffer[4..len], bytes);
}
