use super::*;
use crate::exit;
use clap::CommandFactory;
use nitride_protocol::{KeyType, Operation};

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split(' '))
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

/// Every operation is a subcommand, or one of those named here, whose help says that it does it.
#[test]
fn every_operation_has_its_place() {
    let mut command = Arguments::command();
    for operation in Operation::ALL {
        let verb = operation.as_str();
        let within = match operation {
            // Said on connecting.
            Operation::Hello => continue,
            // For programs alone, by the client library.
            Operation::Batch => continue,
            // What `encrypt` and `decrypt` do with long data, without a word of its own.
            Operation::RegisterBuffer | Operation::EncryptBuffer | Operation::DecryptBuffer => {
                continue;
            }
            Operation::CheckPolicy | Operation::Explain => "policy",
            _ => verb,
        };
        let found = command.find_subcommand_mut(within);
        let help = found.unwrap().render_long_help().to_string();
        assert!(within == verb || help.contains(verb), "{verb} in {within}");
    }
}

/// A subcommand that is no operation is one of these.
#[test]
fn every_subcommand_is_an_operation_or_made_of_some() {
    let command = Arguments::command();
    let made: Vec<&str> = command
        .get_subcommands()
        .map(clap::Command::get_name)
        .filter(|verb| verb.parse::<Operation>().is_err())
        .filter(|verb| !["audit", "metrics"].contains(verb))
        .collect();
    assert_eq!(made, ["policy", "csr"]);
}

#[test]
fn every_argument_of_every_subcommand_has_help() {
    let command = Arguments::command();
    for verb in command.get_subcommands() {
        assert!(verb.get_about().is_some(), "{}", verb.get_name());
        for argument in verb.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{} {}",
                verb.get_name(),
                argument.get_id()
            );
        }
    }
}

#[test]
fn help_tells_the_exit_codes() {
    let help = Arguments::command().render_long_help().to_string();
    for line in [
        "Exit codes:",
        "  4  no answer",
        "--admin-socket",
        "verify-mac",
    ] {
        assert!(help.contains(line), "{line}");
    }
}

#[test]
fn connection_options_stand_before_or_after_the_verb() {
    for line in [
        "vhsm --socket /s --wait 2.5 --json describe app/key",
        "vhsm describe app/key --socket /s --wait 2.5 --json",
    ] {
        let arguments = parse(line).unwrap();
        assert_eq!(arguments.connection.socket, PathBuf::from("/s"));
        assert_eq!(arguments.connection.wait, Duration::from_millis(2500));
        assert!(arguments.connection.json);
    }
    let arguments = parse("vhsm status").unwrap();
    assert_eq!(
        arguments.connection.socket,
        PathBuf::from("/run/vhsm/vhsm.sock")
    );
    assert_eq!(
        arguments.connection.admin_socket,
        PathBuf::from("/run/vhsm/admin.sock")
    );
}

#[test]
fn a_new_key_has_a_type_and_maybe_operations() {
    let arguments = parse("vhsm generate app/key --type ec-p256 --operations sign,verify").unwrap();
    let Verb::Generate { new, .. } = arguments.verb else {
        panic!("another verb");
    };
    assert_eq!(new.key_type, KeyType::EcP256);
    assert_eq!(
        new.operations,
        Some(vec![Operation::Sign, Operation::Verify])
    );
    assert!(parse("vhsm generate app/key").is_err());
    assert!(parse("vhsm generate app/key --type rsa").is_err());
    assert!(parse("vhsm generate app/key --type secret --operations shred").is_err());
}

#[test]
fn what_cannot_be_is_refused_before_vhsmd_is_asked() {
    for line in [
        "vhsm",
        "vhsm shred a",
        "vhsm describe ../a",
        "vhsm describe",
        "vhsm random 0",
        "vhsm random 65537",
        "vhsm verify a",
        "vhsm wipe",
        "vhsm end-phase --protection luks",
        "vhsm set-policy a",
        "vhsm set-policy a --rate 5/0",
        "vhsm set-policy a --wrappable-by k --not-wrappable",
        "vhsm policy explain a shred",
        "vhsm policy explain a sign --peer user=web",
        "vhsm policy explain a sign --peer sha256=+0",
        "vhsm why 1",
        "vhsm sign a --scheme rsa",
        "vhsm enable a --key-version x",
        "vhsm status --wait -1",
        "vhsm status --wait soon",
        "vhsm release a b",
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(exit::USAGE), "{line}");
    }
}

/// Arguments are seen by every process of the machine: data comes from files alone.
#[test]
fn no_argument_takes_data() {
    let names = [
        "in",
        "out",
        "aad",
        "signature",
        "tag",
        "socket",
        "admin-socket",
        "nonce",
        "info",
        "salt",
        "peer-public",
        "new-key",
        "wrapping-key",
        "wrappable-by",
    ];
    let words = [
        "wait",
        "type",
        "operations",
        "scheme",
        "key-version",
        "limit",
        "format",
        "max-uses",
        "not-before",
        "not-after",
        "rate",
        "min-version",
        "subject",
        "san",
        "peer",
        "metrics-socket",
        "protection",
    ];
    let command = Arguments::command();
    let globals = command.get_arguments();
    let locals = command
        .get_subcommands()
        .flat_map(clap::Command::get_arguments);
    for argument in globals.chain(locals) {
        let Some(long) = argument.get_long() else {
            let positional = argument.get_id().as_str();
            assert!(
                [
                    "name",
                    "prefix",
                    "len",
                    "connection",
                    "request",
                    "recipient"
                ]
                .contains(&positional),
                "{positional}"
            );
            continue;
        };
        let flag = !argument.get_action().takes_values();
        assert!(
            flag || names.contains(&long) || words.contains(&long),
            "--{long}"
        );
    }
}

#[test]
fn a_peer_is_told_in_parts() {
    let digest = "0f".repeat(32);
    let line = format!("vhsm policy explain a sign --peer uid=7,unit=web.service,sha256={digest}");
    let Verb::Policy(PolicyVerb::Explain {
        peer, operation, ..
    }) = parse(&line).unwrap().verb
    else {
        panic!("another verb");
    };
    assert_eq!(operation, Operation::Sign);
    assert_eq!(
        peer,
        [
            PeerPart::Uid(7),
            PeerPart::Unit("web.service".into()),
            PeerPart::Digest([15; 32])
        ]
    );
}
