//! The CDDL and the code say the same: rules, verbs, numbers, words, limits and fields.

use super::cddl::{Rules, Type};
use super::{SHAPES, file, golden_bytes, golden_message};
use crate::agent::{AgentOperation, FailureClass, RoundCause};
use crate::audit::AuditKind;
use crate::quote::QuoteOperation;
use crate::{
    EncryptionScheme, KeyState, KeyType, MaterialFormat, Message, Operation, OperationSet, Origin,
    Reader, SignScheme, Status, admin, application,
};

const FILES: [&str; 6] = ["types", "application", "admin", "agent", "quote", "audit"];

fn enumeration(rules: &Rules, rule: &str) -> Vec<(String, u64)> {
    match rules.body(rule) {
        Type::Enumeration(entries) => entries.clone(),
        other => panic!("{rule} is {other:?}"),
    }
}

fn words(rules: &Rules, rule: &str) -> Vec<String> {
    let Type::Choice(types) = rules.body(rule) else {
        panic!("{rule} is not a choice");
    };
    let word = |one: &Type| match one {
        Type::Text(text) => text.clone(),
        other => panic!("{rule} has {other:?}"),
    };
    types.iter().map(word).collect()
}

fn pairs<T: Copy>(
    all: &[T],
    word: fn(T) -> &'static str,
    wire: fn(T) -> u64,
) -> Vec<(String, u64)> {
    all.iter()
        .map(|one| (word(*one).to_owned(), wire(*one)))
        .collect()
}

/// Number and verb of each request that a socket's rule has.
fn requests(rules: &Rules, rule: &str) -> Vec<(u64, String)> {
    alternatives(rules.body(rule))
        .iter()
        .map(|one| match one {
            Type::Rule(request, arguments) if request == "request" => match arguments.as_slice() {
                [Type::Number(number), Type::Rule(verb, _)] => (*number, verb.clone()),
                other => panic!("{rule} has {other:?}"),
            },
            other => panic!("{rule} has {other:?}"),
        })
        .collect()
}

fn alternatives(of: &Type) -> &[Type] {
    match of {
        Type::Choice(types) => types,
        one => std::slice::from_ref(one),
    }
}

fn spelled(operations: OperationSet) -> Vec<(u64, String)> {
    operations
        .iter()
        .map(|operation| (operation.to_wire().into(), operation.as_str().to_owned()))
        .collect()
}

#[test]
fn enumerations_have_the_same_words_and_numbers() {
    let rules = Rules::of(&FILES);
    assert_eq!(
        enumeration(&rules, "operation"),
        pairs(&Operation::ALL, Operation::as_str, |o| o.to_wire().into())
    );
    assert_eq!(
        enumeration(&rules, "status-code"),
        pairs(&Status::ALL, Status::as_str, |s| s.to_wire().into())
    );
    assert_eq!(
        enumeration(&rules, "agent-operation"),
        pairs(&AgentOperation::ALL, AgentOperation::as_str, |o| o
            .to_wire()
            .into())
    );
    assert_eq!(
        enumeration(&rules, "quote-operation"),
        pairs(&QuoteOperation::ALL, QuoteOperation::as_str, |o| o
            .to_wire()
            .into())
    );
    assert_eq!(
        enumeration(&rules, "key-state"),
        pairs(&KeyState::ALL, KeyState::as_str, KeyState::to_wire)
    );
    assert_eq!(
        enumeration(&rules, "key-origin"),
        pairs(&Origin::ALL, Origin::as_str, Origin::to_wire)
    );
    assert_eq!(
        enumeration(&rules, "failure-class"),
        pairs(
            &FailureClass::ALL,
            FailureClass::as_str,
            FailureClass::to_wire
        )
    );
    assert_eq!(
        enumeration(&rules, "round-cause"),
        pairs(&RoundCause::ALL, RoundCause::as_str, RoundCause::to_wire)
    );
    assert_eq!(
        words(&rules, "operation-name"),
        Operation::ALL.map(Operation::as_str)
    );
    assert_eq!(words(&rules, "key-type"), KeyType::ALL.map(KeyType::as_str));
    assert_eq!(
        words(&rules, "sign-scheme"),
        SignScheme::ALL.map(SignScheme::as_str)
    );
    assert_eq!(
        words(&rules, "encryption-scheme"),
        EncryptionScheme::ALL.map(EncryptionScheme::as_str)
    );
    assert_eq!(
        words(&rules, "material-format"),
        MaterialFormat::ALL.map(MaterialFormat::as_str)
    );
    assert_eq!(
        words(&rules, "protection"),
        admin::Protection::ALL.map(admin::Protection::as_str)
    );
    assert_eq!(
        enumeration(&rules, "audit-kind"),
        pairs(&AuditKind::ALL, AuditKind::as_str, AuditKind::to_wire)
    );
    let last = Status::ALL.len() as u64 - 1;
    assert_eq!(
        rules.body("refusal-code"),
        &Type::Range(Box::new(Type::Number(1)), Box::new(Type::Number(last)))
    );
}

#[test]
fn each_socket_accepts_the_same_operations() {
    let rules = Rules::of(&FILES);
    assert_eq!(
        requests(&rules, "application-request"),
        spelled(application::OPERATIONS)
    );
    assert_eq!(
        requests(&rules, "admin-request"),
        spelled(admin::OPERATIONS)
    );
    let numbered = |all: Vec<(String, u64)>| -> Vec<(u64, String)> {
        all.into_iter()
            .map(|(word, number)| (number, word))
            .collect()
    };
    assert_eq!(
        requests(&rules, "agent-request"),
        numbered(enumeration(&rules, "agent-operation"))
    );
    assert_eq!(
        requests(&rules, "quote-request"),
        numbered(enumeration(&rules, "quote-operation"))
    );
}

#[test]
fn every_request_has_its_reply() {
    let rules = Rules::of(&FILES);
    for socket in ["application", "admin", "agent", "quote"] {
        let mut expected: Vec<Type> = requests(&rules, &format!("{socket}-request"))
            .into_iter()
            .map(|(_, verb)| {
                let reply = Type::Rule(format!("{verb}-reply"), vec![]);
                Type::Rule("reply".into(), vec![reply])
            })
            .collect();
        expected.push(Type::Rule("refusal".into(), vec![]));
        assert_eq!(
            alternatives(rules.body(&format!("{socket}-reply"))),
            expected
        );
    }
}

#[test]
fn limits_have_the_same_names_and_values() {
    let rules = Rules::of(&FILES);
    let mut stated: Vec<(String, u64)> = rules
        .0
        .iter()
        .filter(|(rule, _)| rule.starts_with("max-"))
        .map(|(rule, (_, body))| (rule.clone(), rules.number(body)))
        .collect();
    stated.sort();
    let mut coded = vec![(
        "max-ciphertext-len".to_owned(),
        crate::limits::MAX_CIPHERTEXT_LEN as u64,
    )];
    for line in file("src/limits.rs").lines() {
        if let Some(constant) = line.strip_prefix("pub const MAX_")
            && let Some((name, value)) = constant.split_once(": usize = ")
            && let Ok(value) = value.trim_end_matches(';').replace('_', "").parse()
        {
            coded.push((
                format!("max-{}", name.to_lowercase().replace('_', "-")),
                value,
            ));
        }
    }
    coded.sort();
    assert_eq!(stated, coded);
}

/// Array counts stand as numbers in the CDDL, since an occurrence cannot name a rule.
#[test]
fn lists_have_the_same_limits() {
    let rules = Rules::of(&FILES);
    for (rule, member, limit) in [
        ("hello-reply", "features", crate::limits::MAX_FEATURES_LEN),
        (
            "describe-reply",
            "versions",
            crate::limits::MAX_VERSIONS_LEN,
        ),
        ("list-reply", "entries", crate::limits::MAX_LIST_LEN),
        (
            "generate",
            "wrappable-by",
            crate::limits::MAX_WRAPPABLE_BY_LEN,
        ),
        (
            "import",
            "wrappable-by",
            crate::limits::MAX_WRAPPABLE_BY_LEN,
        ),
        (
            "describe-reply",
            "wrappable-by",
            crate::limits::MAX_WRAPPABLE_BY_LEN,
        ),
        ("status-reply", "gates", crate::limits::MAX_GATES_LEN),
        ("status-reply", "warnings", crate::limits::MAX_WARNINGS_LEN),
        (
            "next-round-reply",
            "resources",
            crate::limits::MAX_RESOURCES_PER_ROUND,
        ),
    ] {
        let Type::Array(members) = rules.body(rule) else {
            panic!("{rule} is not an array");
        };
        let list = members
            .iter()
            .find(|one| one.name.as_deref() == Some(member))
            .unwrap();
        let Type::Array(entries) = &list.entry else {
            panic!("{member} of {rule} is not an array");
        };
        assert_eq!(entries[0].times, (0, limit as u64), "{member} of {rule}");
    }
    let count = |list: &Type| match list {
        Type::Array(entries) => entries[0].times,
        other => panic!("{other:?} is not an array"),
    };
    let reasons = (0, crate::limits::MAX_REASONS_LEN as u64);
    assert_eq!(count(rules.body("reasons")), reasons);
    for batch in ["batch", "batch-reply"] {
        let Type::Array(members) = rules.body(batch) else {
            panic!("{batch} is not an array");
        };
        let items = (1, crate::limits::MAX_BATCH_LEN as u64);
        assert_eq!(count(&members[0].entry), items, "{batch}");
    }
}

/// The first struct of a message's file is the request, the second the reply.
#[test]
fn messages_have_the_same_fields_in_the_same_order() {
    let rules = Rules::of(&FILES);
    for pair in SHAPES.chunks(2) {
        let verb = pair[0].rule;
        let path = verb.replace('-', "_");
        let source = ["application", "admin", "agent", "quote"]
            .iter()
            .map(|socket| format!("src/{socket}/{path}.rs"))
            .find(|path| {
                std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join(path)
                    .exists()
            })
            .unwrap_or_else(|| panic!("no file for {verb}"));
        let mut structs = fields_of_structs(&file(&source)).into_iter();
        for shape in pair {
            let Type::Array(members) = rules.body(shape.rule) else {
                panic!("{} is not an array", shape.rule);
            };
            let stated: Vec<String> = members
                .iter()
                .map(|member| member.name.clone().unwrap().replace('-', "_"))
                .collect();
            let fields = match shared(shape.rule) {
                Some((file_name, at)) => {
                    let source = file(&format!("src/application/{file_name}.rs"));
                    fields_of_structs(&source).swap_remove(at)
                }
                None => with_child(structs.next().unwrap_or_default()),
            };
            assert_eq!(fields, stated, "{}", shape.rule);
        }
    }
}

/// The file, and the place in it, of a struct that several messages are.
fn shared(rule: &str) -> Option<(&'static str, usize)> {
    match rule {
        "derive-reply" | "agree-reply" | "decapsulate-reply" => Some(("child", 1)),
        "encrypt-buffer" | "decrypt-buffer" => Some(("window", 0)),
        "encrypt-buffer-reply" | "decrypt-buffer-reply" => Some(("window", 1)),
        _ => None,
    }
}

/// The fields of the child in the place of the child; a salt stands before its info.
fn with_child(mut fields: Vec<String>) -> Vec<String> {
    let Some(at) = fields.iter().position(|field| field == "child") else {
        return fields;
    };
    let tail = fields.split_off(at);
    fields.extend(fields_of_structs(&file("src/application/child.rs")).swap_remove(0));
    let info = fields.pop();
    fields.extend(tail.into_iter().skip(1).chain(info));
    let name = fields.iter_mut().find(|field| *field == "name");
    "new_key".clone_into(name.expect("a child has a name"));
    fields
}

fn fields_of_structs(source: &str) -> Vec<Vec<String>> {
    let mut structs = Vec::new();
    let mut fields: Vec<String> = Vec::new();
    for line in source.lines() {
        if line.starts_with("pub struct ") {
            fields = Vec::new();
            if line.ends_with(';') {
                structs.push(Vec::new());
            }
        } else if let Some(field) = line.strip_prefix("    pub ")
            && let Some((name, _)) = field.split_once(": ")
            && !name.contains(' ')
        {
            fields.push(name.to_owned());
        } else if line == "}" && !fields.is_empty() {
            structs.push(std::mem::take(&mut fields));
        }
    }
    structs
}

#[test]
fn golden_messages_match_their_rules() {
    let rules = Rules::of(&FILES);
    for shape in SHAPES {
        let bytes = golden_message(shape.rule);
        assert!(rules.accepts(shape.rule, &bytes), "{}", shape.rule);
    }
    assert!(rules.accepts("audit-entry", &golden_bytes("audit-entry")));
}

/// What a batch takes is what the code takes, and under the same numbers.
#[test]
fn a_batch_takes_the_same_operations() {
    let rules = Rules::of(&FILES);
    let mut stated: Vec<(u64, String)> = alternatives(rules.body("batch-item"))
        .iter()
        .map(|one| match one {
            Type::Array(members) => match [&members[0].entry, &members[1].entry] {
                [Type::Number(number), Type::Rule(verb, _)] => (*number, verb.clone()),
                other => panic!("batch-item has {other:?}"),
            },
            other => panic!("batch-item has {other:?}"),
        })
        .collect();
    stated.sort();
    let golden = golden_message("batch");
    let batch = application::Batch::decode_last(Reader::new(&golden)).unwrap();
    let operations = batch.items.iter().map(application::BatchItem::operation);
    assert_eq!(stated, spelled(operations.collect()));
}

/// The vault's own tests read the same items, and write them again byte for byte.
#[test]
fn a_sealed_file_matches_its_rules() {
    let rules = Rules::of(&["types", "seal"]);
    assert!(rules.accepts("seal-head", &golden_bytes("seal-head")));
    let golden = golden_bytes("sealed-keys");
    let mut rest = &golden[..];
    let mut item = || {
        let (len, after) = rest.split_first_chunk::<4>()?;
        let (item, after) = after.split_at(u32::from_be_bytes(*len) as usize);
        rest = after;
        Some(item)
    };
    let mut keys = 0;
    while let Some(key) = item() {
        assert!(rules.accepts("sealed-key", key), "key {keys}");
        let mut reader = Reader::new(key);
        reader.array_of(4).unwrap();
        reader.bytes().unwrap();
        reader.u64().unwrap();
        reader.u64().unwrap();
        for number in 1..=reader.u64().unwrap() {
            let version = item().unwrap();
            assert!(rules.accepts("sealed-version", version), "{keys}: {number}");
        }
        keys += 1;
    }
    assert_eq!(keys, 4);
}
