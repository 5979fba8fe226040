use crate::exit;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use nitride_protocol::{KeyName, KeyType, NameError, Operation, SignScheme};
use std::path::PathBuf;
use std::time::Duration;

/// Use the keys of vhsmd: the confidential VM's key vault.
#[derive(Debug, Parser)]
#[command(name = "vhsm", version, after_help = exit::table())]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Where vhsmd is and how it is talked to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArguments {
    /// The application socket
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = "/run/vhsm/vhsm.sock"
    )]
    pub(crate) socket: PathBuf,
    /// The admin socket, which import, destroy and reload use
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = "/run/vhsm/admin.sock"
    )]
    pub(crate) admin_socket: PathBuf,
    /// Use the admin socket also for describe, list, enable, disable and status
    #[arg(long, global = true)]
    pub(crate) admin: bool,
    /// How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all
    #[arg(long, global = true, value_name = "SECS", default_value = "30", value_parser = seconds)]
    pub(crate) wait: Duration,
    /// Print JSON, also for errors
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Have the vault draw a new key
    Generate(NewKey),
    /// Give the vault a key's material, raw: AES or HMAC key, P-256 scalar, Ed25519 seed, secret
    Import {
        #[command(flatten)]
        new: NewKey,
        #[command(flatten)]
        input: Input,
    },
    /// Print what a key is and which versions it has
    Describe {
        #[command(flatten)]
        key: Key,
    },
    /// Print the keys that you may list
    List {
        /// Only keys whose names start so
        #[arg(default_value = "")]
        prefix: String,
        /// Print no more than so many
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,
    },
    /// Print a key's public half as PEM
    PublicKey {
        #[command(flatten)]
        key: VersionedKey,
        /// Write DER instead
        #[arg(long)]
        der: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Sign a message (not its digest)
    Sign {
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        scheme: Scheme,
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        output: Output,
    },
    /// Check a signature
    Verify {
        #[command(flatten)]
        key: VersionedKey,
        #[command(flatten)]
        scheme: Scheme,
        /// The signature's file
        #[arg(long, value_name = "FILE")]
        signature: PathBuf,
        #[command(flatten)]
        input: Input,
    },
    /// Encrypt
    Encrypt {
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        aad: Aad,
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        output: Output,
    },
    /// Decrypt what encrypt made
    Decrypt {
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        aad: Aad,
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        output: Output,
    },
    /// Make a message authentication code
    Mac {
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        output: Output,
    },
    /// Check a message authentication code
    VerifyMac {
        #[command(flatten)]
        key: VersionedKey,
        /// The code's file
        #[arg(long, value_name = "FILE")]
        tag: PathBuf,
        #[command(flatten)]
        input: Input,
    },
    /// Draw random bytes from the vault's generator
    Random {
        /// How many bytes
        #[arg(value_parser = clap::value_parser!(u32).range(1..=65_536))]
        len: u32,
        #[command(flatten)]
        output: Output,
    },
    /// Write out a secret's bytes, where policy lets you have them
    Release {
        #[command(flatten)]
        key: VersionedKey,
        #[command(flatten)]
        output: Output,
    },
    /// Make a key or a version usable again
    Enable(VersionedKey),
    /// Make a key or a version unusable until it is enabled
    Disable(VersionedKey),
    /// Erase the material of a key or a version, for good
    Destroy(VersionedKey),
    /// Print how the vault is
    Status,
    /// Have vhsmd read its policy anew
    Reload,
}

/// A key.
#[derive(Debug, Args)]
pub(crate) struct Key {
    /// The key's name
    #[arg(value_name = "KEY", value_parser = key_name)]
    pub(crate) name: String,
}

/// A key, and one of its versions.
#[derive(Debug, Args)]
pub(crate) struct VersionedKey {
    /// The key's name
    #[arg(value_name = "KEY", value_parser = key_name)]
    pub(crate) name: String,
    /// A version; without it the newest not destroyed, or the key as a whole
    #[arg(long, value_name = "NUMBER")]
    pub(crate) key_version: Option<u32>,
}

/// A key that comes to be.
#[derive(Debug, Args)]
pub(crate) struct NewKey {
    /// The key's name
    #[arg(value_name = "KEY", value_parser = key_name)]
    pub(crate) name: String,
    /// What it is made of
    #[arg(
        long = "type",
        value_name = "TYPE",
        value_parser = PossibleValuesParser::new(KeyType::ALL.map(KeyType::as_str))
            .try_map(|word| word.parse::<KeyType>())
    )]
    pub(crate) key_type: KeyType,
    /// What it may be used for; without this, all that its type can do
    #[arg(
        long,
        value_name = "VERB,...",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(Operation::ALL.map(Operation::as_str))
            .try_map(|word| word.parse::<Operation>())
    )]
    pub(crate) operations: Option<Vec<Operation>>,
}

/// How to sign.
#[derive(Debug, Args)]
pub(crate) struct Scheme {
    /// The signature's form; without it, the default of the key's type
    #[arg(
        long,
        value_name = "SCHEME",
        value_parser = PossibleValuesParser::new(SignScheme::ALL.map(SignScheme::as_str))
            .try_map(|word| word.parse::<SignScheme>())
    )]
    pub(crate) scheme: Option<SignScheme>,
}

/// Where data comes from.
#[derive(Debug, Args)]
pub(crate) struct Input {
    /// The data's file; without it, standard input
    #[arg(id = "in", long, value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
}

/// Data that is authenticated and not encrypted.
#[derive(Debug, Args)]
pub(crate) struct Aad {
    /// A file with additional data that is authenticated and not encrypted
    #[arg(id = "aad", long, value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
}

/// Where the result goes.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// The result's file, written as a whole with mode 0600; without it, standard output
    #[arg(id = "out", long, value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
    /// Write secrets and raw bytes to a terminal, too
    #[arg(long)]
    pub(crate) force_terminal: bool,
}

fn key_name(text: &str) -> Result<String, NameError> {
    KeyName::parse(text).map(|name| name.as_str().to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let parsed = text
        .parse()
        .ok()
        .and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    parsed.ok_or_else(|| "not a number of seconds".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn subcommands_are_the_protocols_verbs() {
        let command = Arguments::command();
        let verbs: Vec<&str> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        let expected: Vec<&str> = Operation::ALL
            .into_iter()
            .filter(|operation| *operation != Operation::Hello)
            .map(Operation::as_str)
            .collect();
        assert_eq!(verbs, expected);
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
        let arguments =
            parse("vhsm generate app/key --type ec-p256 --operations sign,verify").unwrap();
        let Verb::Generate(new) = arguments.verb else {
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
        ];
        let words = [
            "wait",
            "type",
            "operations",
            "scheme",
            "key-version",
            "limit",
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
                    ["name", "prefix", "len"].contains(&positional),
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
}
