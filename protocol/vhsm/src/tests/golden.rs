//! Each golden packet must decode to the value written out here and encode back byte for byte.
//! The packets were made by golden/make.py, with an encoder that is not ours.

use super::golden_keys::DIGEST;
use super::{SHAPES, golden_bytes, golden_keys};
use crate::admin::{Destroy, Import, Imported, Reload, Reloaded};
use crate::agent::{
    AgentOperation, AttestationResult, Challenge, Evidence, Failure, FailureClass, Finish,
    NextRound, PlaintextResource, Resource, RoundCause, RoundOrder,
};
use crate::application::*;
use crate::quote::*;
use crate::{
    Call, Empty, KeyName, KeyState, KeyType, MaterialFormat, Message, Operation, OperationSet,
    Origin, SignScheme, Status, open_reply, open_request, write_reply, write_request,
};
use std::fmt::Debug;

const ID: u32 = 0x0102_0304;
const ROUND: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
pub(super) const COUNT: [u8; 64] = {
    let mut bytes = [0; 64];
    let mut at = 0u8;
    while at < 64 {
        bytes[at as usize] = at;
        at += 1;
    }
    bytes
};
const CIPHERTEXT: &[u8] =
    b"NV\x01\x01\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\
    \x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00ccccccccccctttttttttttttttt";

pub(super) fn name(text: &str) -> KeyName<'_> {
    KeyName::parse(text).unwrap()
}

pub(super) fn check<R>(verb: &str, operation: u16, request: &R, reply: &R::Reply<'static>)
where
    R: Call + Message<'static> + PartialEq + Debug,
    R::Reply<'static>: PartialEq + Debug,
{
    assert_eq!((R::OPERATION, R::VERB), (operation, verb));
    let mut buffer = vec![0; 4096];

    let packet: &'static [u8] = golden_bytes(&format!("{verb}.request")).leak();
    let (head, params) = open_request(packet).unwrap();
    assert_eq!((head.id, head.operation), (ID, operation));
    assert_eq!(&R::decode_last(params).unwrap(), request);
    let len = write_request(&mut buffer, ID, operation, request).unwrap();
    assert_eq!(&buffer[..len], packet);

    let packet: &'static [u8] = golden_bytes(&format!("{verb}.reply")).leak();
    let (head, result) = open_reply(packet).unwrap();
    assert_eq!((head.id, head.status), (ID, Status::Ok));
    assert_eq!(&R::Reply::decode_last(result).unwrap(), reply);
    let len = write_reply(&mut buffer, ID, Status::Ok, reply).unwrap();
    assert_eq!(&buffer[..len], packet);
}

/// One test a message, and the verbs that have one in their order.
macro_rules! golden {
    ($($test:ident, $verb:literal, $operation:expr, $request:expr, $reply:expr;)*) => {
        $(
            #[test]
            fn $test() {
                check($verb, $operation.to_wire(), &$request, &$reply);
            }
        )*

        pub(super) const TESTED: &[&str] = &[$($verb),*];
    };
}
pub(super) use golden;

#[test]
fn every_message_and_every_golden_file_has_its_test() {
    let mut tested = [TESTED, golden_keys::TESTED].concat();
    let mut rules: Vec<&str> = SHAPES.iter().step_by(2).map(|shape| shape.rule).collect();
    rules.sort_unstable();
    tested.sort_unstable();
    assert_eq!(tested, rules);
    let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".hex"))
        .collect();
    files.sort();
    let mut expected: Vec<String> = tested
        .iter()
        .flat_map(|verb| [format!("{verb}.request.hex"), format!("{verb}.reply.hex")])
        .collect();
    // The last two are tried where they are written and read, in the vault.
    expected.extend(["audit-entry.hex", "seal-head.hex", "sealed-keys.hex"].map(String::from));
    expected.sort();
    assert_eq!(files, expected);
}

golden! {
    hello_is_golden, "hello", Operation::Hello,
        Hello { min_version: 1, max_version: 1, client: "golden 1.0", wait_ms: 5000, attaches: true },
        Welcome {
            version: 1,
            server: "vhsmd 0.1.0",
            max_packet: 200_000,
            max_inline: 65_536,
            features: vec!["trial"],
        };
    generate_is_golden, "generate", Operation::Generate,
        Generate {
            key: name("app/sign"),
            key_type: KeyType::EcP256,
            operations: Some(OperationSet::of(&[Operation::Sign, Operation::Verify])),
            wrappable_by: vec![name("app/kek")],
        },
        Generated { version: 1 };
    import_is_golden, "import", Operation::Import,
        Import {
            key: name("app/mac"),
            key_type: KeyType::HmacSha256,
            operations: None,
            material: &COUNT[..32],
            format: MaterialFormat::Raw,
            wrapping_key: None,
            wrappable_by: vec![],
        },
        Imported { version: 3 };
    describe_is_golden, "describe", Operation::Describe,
        Describe { key: name("app/tls") },
        Description {
            key_type: KeyType::EcP256,
            state: KeyState::Enabled,
            origin: Origin::Provisioned,
            origin_uri: Some("kbs:///app/tls/key"),
            operations: OperationSet::of(&[Operation::PublicKey, Operation::Sign]),
            gate: Some("fresh"),
            created_secs: 1_700_000_000,
            lease_secs_left: Some(43_200),
            min_version: 2,
            max_uses: Some(1000),
            uses_left: Some(990),
            not_before: None,
            not_after: Some(1_800_000_000),
            wrappable_by: vec![name("app/kek"), name("backup/kek")],
            versions: vec![
                VersionInfo { version: 1, state: KeyState::Destroyed, uses: 9, plaintext_courier: true },
                VersionInfo { version: 2, state: KeyState::Enabled, uses: 1 << 40, plaintext_courier: false },
            ],
        };
    list_is_golden, "list", Operation::List,
        List { prefix: "app/", after: Some(name("app/mac")), max: 100 },
        Listing {
            entries: vec![
                ListEntry {
                    key: name("app/sign"),
                    key_type: KeyType::EcP256,
                    state: KeyState::Enabled,
                    newest_version: 24,
                    plaintext_courier: true,
                },
                ListEntry {
                    key: name("disk/root"),
                    key_type: KeyType::Secret,
                    state: KeyState::Pending,
                    newest_version: 0,
                    plaintext_courier: false,
                },
            ],
            more: true,
        };
    public_key_is_golden, "public-key", Operation::PublicKey,
        PublicKey { key: name("app/sign"), version: None },
        PublicKeyDer { version: 24, spki: b"\x30\x59\x30\x13" };
    sign_is_golden, "sign", Operation::Sign,
        Sign {
            key: name("app/sign"),
            scheme: Some(SignScheme::EcdsaSha256Fixed),
            message: b"a message",
            prehashed: false,
        },
        Signature { version: 24, signature: &COUNT };
    verify_is_golden, "verify", Operation::Verify,
        Verify {
            key: name("app/sign"),
            version: Some(24),
            scheme: Some(SignScheme::EcdsaSha256Der),
            message: b"a message",
            prehashed: true,
            signature: b"\x30\x06\x02\x01\x01\x02\x01\x01",
        },
        Empty;
    encrypt_is_golden, "encrypt", Operation::Encrypt,
        Encrypt { key: name("app/seal"), scheme: None, plaintext: b"a plaintext", aad: b"context" },
        Ciphertext { ciphertext: CIPHERTEXT };
    decrypt_is_golden, "decrypt", Operation::Decrypt,
        Decrypt {
            key: name("app/seal"),
            version: None,
            scheme: None,
            ciphertext: CIPHERTEXT,
            aad: b"context",
            nonce: None,
        },
        Plaintext { plaintext: b"a plaintext" };
    mac_is_golden, "mac", Operation::Mac,
        Mac { key: name("app/mac"), data: b"some data" },
        Tag { version: 65_536, tag: &COUNT[..32] };
    verify_mac_is_golden, "verify-mac", Operation::VerifyMac,
        VerifyMac {
            key: name("app/mac"),
            version: Some(65_536),
            data: b"some data",
            tag: &COUNT[..32],
        },
        Empty;
    random_is_golden, "random", Operation::Random,
        Random { len: 24 },
        RandomBytes { bytes: &COUNT[..24] };
    release_is_golden, "release", Operation::Release,
        Release { key: name("disk/root"), version: Some(2) },
        Released { version: 2, secret: b"not a real passphrase" };
    enable_is_golden, "enable", Operation::Enable,
        Enable { key: name("app/sign"), version: Some(23) },
        Empty;
    disable_is_golden, "disable", Operation::Disable,
        Disable { key: name("app/sign"), version: None },
        Empty;
    destroy_is_golden, "destroy", Operation::Destroy,
        Destroy { key: name("app/sign"), version: Some(u32::MAX) },
        Empty;
    status_is_golden, "status", Operation::Status,
        StatusRequest::default(),
        VaultStatus {
            server: "vhsmd 0.1.0",
            arena_kind: "memfd-secret",
            records_used: 4096,
            records_size: 3_145_728,
            heap_used: 8192,
            heap_size: 3_145_728,
            keys: 2,
            connections: 1,
            parked: 0,
            agent_connected: true,
            policy_generation: 1,
            policy_digest: &[
                0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed,
                0xee, 0xef, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb,
                0xfc, 0xfd, 0xfe, 0xff,
            ],
            tee: "sample",
            gates: vec![
                GateStatus { gate: "fresh", age_ms: Some(600) },
                GateStatus { gate: "late", age_ms: None },
            ],
            warnings: vec!["evidence is simulated and proves nothing"],
            seal: Some(SealStatus {
                state: "open",
                platform: "tpm",
                generation: 7,
                keys: 2,
                left_out: None,
                because: Some("the sealed file cannot be written"),
            }),
            signers: None,
        };
    reload_is_golden, "reload", Operation::Reload,
        Reload,
        Reloaded { policy_generation: 2 };
    next_round_is_golden, "next-round", AgentOperation::NextRound,
        NextRound::default(),
        RoundOrder {
            round: ROUND,
            service: "main",
            tee: "sample",
            resources: vec!["app/tls/key", "disk/data/luks"],
            result_wanted: false,
            budget_ms: 30_000,
            cause: Some(RoundCause::Prefetch),
            plaintext: true,
        };
    challenge_is_golden, "challenge", AgentOperation::Challenge,
        Challenge {
            round: ROUND,
            nonce: "bm9uY2U=",
            hash: None,
            tee_keys: vec!["ECDH-ES+A256KW"],
            wants_audit_head: true,
        },
        Evidence {
            tee_pubkey: r#"{"alg":"ECDH-ES+A256KW"}"#,
            primary_evidence: r#"{"svn":"1"}"#,
            additional_evidence: "",
            init_data: None,
            audit_head: Some(Head { sequence: 1 << 40, digest: &DIGEST }),
        };
    result_is_golden, "result", AgentOperation::Result,
        AttestationResult { round: ROUND, token: "aGVhZA.Ym9keQ.c2ln" },
        Empty;
    resource_is_golden, "resource", AgentOperation::Resource,
        Resource { round: ROUND, resource: "app/tls/key", jwe: br#"{"protected":""}"# },
        Empty;
    failure_is_golden, "failure", AgentOperation::Failure,
        Failure {
            round: ROUND,
            resource: Some("app/tls/key"),
            class: FailureClass::NotFound,
            reason: "no such resource",
            retry_after_ms: 0,
        },
        Empty;
    finish_is_golden, "finish", AgentOperation::Finish,
        Finish { round: ROUND },
        Empty;
    plaintext_is_golden, "plaintext", AgentOperation::Plaintext,
        PlaintextResource {
            round: ROUND,
            resource: "app/tls/key",
            version: 3,
            lease_secs: Some(3600),
            material: b"not a real passphrase",
        },
        Empty;
    evidence_is_golden, "evidence", QuoteOperation::Evidence,
        EvidenceRequest {
            tee: "sample",
            report_data: COUNT[..48].try_into().unwrap(),
            yields: true,
        },
        EvidenceReply {
            tee: "sample",
            primary_evidence: r#"{"svn":"1"}"#,
            additional_evidence: "",
        };
    platform_key_is_golden, "platform-key", QuoteOperation::PlatformKey,
        PlatformKeyRequest { platform: "tpm", params: b"" },
        PlatformKeyReply {
            secret: COUNT[..32].try_into().unwrap(),
            params: b"params",
            is_old: true,
        };
    counter_is_golden, "counter", QuoteOperation::Counter,
        CounterRequest { platform: "tpm", params: b"params", increment: true },
        CounterReply { value: 1 << 33 };
    forget_is_golden, "forget", QuoteOperation::Forget,
        ForgetRequest { platform: "tpm", params: b"params" },
        Empty;
    phase_is_golden, "phase", QuoteOperation::Phase,
        PhaseRequest { name: "initrd" },
        PhaseReply { is_new: true };
    phase_end_is_golden, "phase-end", QuoteOperation::PhaseEnd,
        PhaseEndRequest { name: "initrd" },
        PhaseEndReply { is_new: true };
    measure_release_is_golden, "measure-release", QuoteOperation::MeasureRelease,
        MeasureReleaseRequest { key: name("disk/root") },
        MeasureReleaseReply { is_new: false };
}
