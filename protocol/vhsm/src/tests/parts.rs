//! What messages are made of, for the properties.

use crate::agent::FailureClass;
use crate::{
    EncryptionScheme, KeyState, KeyType, MaterialFormat, Operation, OperationSet, Origin,
    SignScheme,
};
use proptest::prelude::*;
use proptest::sample::select;

/// What messages are made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) names: (String, Option<String>),
    pub(super) bytes: (Vec<u8>, Vec<u8>),
    pub(super) lines: (String, Option<String>, Vec<String>),
    pub(super) numbers: (u16, u32, u64),
    pub(super) options: (Option<u32>, Option<u64>, bool),
    pub(super) kinds: (KeyType, KeyState, Origin, FailureClass),
    pub(super) scheme: Option<SignScheme>,
    pub(super) encryption: Option<EncryptionScheme>,
    pub(super) format: MaterialFormat,
    pub(super) operations: OperationSet,
    pub(super) optional_operations: Option<OperationSet>,
    pub(super) round: [u8; 16],
    pub(super) digest: ([u8; 32], [u8; 16]),
}

pub(super) fn parts() -> impl Strategy<Value = Parts> {
    let name = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}){0,4}";
    let line = "\\P{Cc}{1,16}";
    let bytes = || proptest::collection::vec(any::<u8>(), 0..64);
    let operations = || {
        proptest::collection::vec(select(&Operation::ALL[..]), 0..8)
            .prop_map(|all| all.into_iter().collect())
    };
    (
        (
            (name, proptest::option::of(name)),
            (bytes(), bytes()),
            (
                line,
                proptest::option::of(line),
                proptest::collection::vec(line, 0..5),
            ),
            any::<(u16, u32, u64)>(),
            any::<(Option<u32>, Option<u64>, bool)>(),
        ),
        (
            select(&KeyType::ALL[..]),
            select(&KeyState::ALL[..]),
            select(&Origin::ALL[..]),
            select(&FailureClass::ALL[..]),
        ),
        (
            proptest::option::of(select(&SignScheme::ALL[..])),
            proptest::option::of(select(&EncryptionScheme::ALL[..])),
            select(&MaterialFormat::ALL[..]),
        ),
        operations(),
        proptest::option::of(operations()),
        any::<[u8; 16]>(),
        any::<([u8; 32], [u8; 16])>(),
    )
        .prop_map(
            |(
                (names, bytes, lines, numbers, options),
                kinds,
                (scheme, encryption, format),
                operations,
                optional_operations,
                round,
                digest,
            )| {
                Parts {
                    names,
                    bytes,
                    lines,
                    numbers,
                    options,
                    kinds,
                    scheme,
                    encryption,
                    format,
                    operations,
                    optional_operations,
                    round,
                    digest,
                }
            },
        )
}
