use super::*;
use nitride_kbs::tee_key::TeeKeyForm;

const GOOD: &str = "listen = \"127.0.0.1:0\"\nstore = \"store\"\nstore-key = \"/k/store\"\n\
    challenge-key = \"challenge\"\ntoken-key = \"token\"\nissuer = \"i\"\naudience = \"a\"\n\
    policy-id = \"p\"\nattestation-policy = \"attestation.toml\"\n\
    resource-policy = \"resource.toml\"\n[tls]\ncertificate = \"c\"\nkey = \"k\"\n";

fn parse(text: &str) -> Result<Config, FileError> {
    Config::parse(text, "provisiond.toml", Path::new("/etc/nitride"))
}

fn error(from: &str, to: &str) -> FileError {
    parse(&GOOD.replacen(from, to, 1)).unwrap_err()
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let config = parse(GOOD).unwrap();
    let store = StoreConfig::Dir("/etc/nitride/store".into());
    assert_eq!(config.fixed.store, store);
    assert_eq!(config.fixed.store_key, Path::new("/k/store"));
    assert_eq!(
        config.reloaded.tls.unwrap().certificate,
        Path::new("/etc/nitride/c")
    );
}

#[test]
fn collateral_may_be_left_out() {
    assert_eq!(parse(GOOD).unwrap().reloaded.collateral, None);
    let config = parse(&GOOD.replacen("[tls]", "collateral = \"c\"\n[tls]", 1)).unwrap();
    let path = Path::new("/etc/nitride/c");
    assert_eq!(config.reloaded.collateral.as_deref(), Some(path));
}

#[test]
fn each_field_that_must_be_there_is_named_when_it_is_not() {
    for line in GOOD.lines().filter(|line| !line.starts_with('[')) {
        let name = line.split(' ').next().unwrap();
        let error = parse(&GOOD.replacen(line, "", 1)).unwrap_err();
        assert!(error.reason.contains(name), "{error}");
    }
}

#[test]
fn the_keys_of_challenges_are_a_file_or_several() {
    let keys = |text: &str| {
        let changed = GOOD.replacen("\"challenge\"", text, 1);
        parse(&changed).map(|config| config.reloaded.challenge_key)
    };
    let one = keys("\"a\"").unwrap();
    assert_eq!(one.paths(), [Path::new("/etc/nitride/a")]);
    let two = keys("[\"a\", \"/b\"]").unwrap();
    assert_eq!(two.paths(), [Path::new("/etc/nitride/a"), Path::new("/b")]);
    for (bad, word) in [
        ("[]", "empty list"),
        ("1", "list of paths"),
        ("[1]", "list of paths"),
    ] {
        let error = keys(bad).unwrap_err();
        assert!(error.reason.contains(word), "{error}");
        assert_eq!(error.line, 4, "{error}");
    }
}

#[test]
fn errors_name_file_line_reason_and_remedy() {
    let unknown = error("issuer", "colour = 1\nissuer");
    assert_eq!(
        (unknown.file.as_str(), unknown.line),
        ("provisiond.toml", 6)
    );
    assert!(unknown.to_string().contains("colour"), "{unknown}");
    for (from, to, line, word) in [
        ("127.0.0.1:0", "localhost", 1, "address and port"),
        ("\"i\"", "\"\"", 6, "issuer"),
        (
            "[tls]",
            "[limits]\nconnections = 0\n[tls]",
            12,
            "connections",
        ),
        ("[tls]", "[throttle]\nburst = 0\n[tls]", 12, "burst"),
        (
            "[tls]",
            "[throttle]\nattest-burst = 0\n[tls]",
            12,
            "attest-burst",
        ),
        (
            "[tls]",
            "[policies]\nevaluation-ms = 0\n[tls]",
            12,
            "evaluation-ms",
        ),
        ("[tls]", "[policies]\ncolour = 0\n[tls]", 12, "colour"),
        (
            "[tls]",
            "[[admin]]\nname = \"a\"\nroles = []\nnamespaces = \"all\"\ntoken-sha256 = \"00\"\n[tls]",
            15,
            "64 hex",
        ),
    ] {
        let error = error(from, to);
        assert_eq!(error.line, line, "{error}");
        assert!(error.reason.contains(word), "{error}");
        assert!(!error.remedy.is_empty());
    }
}

#[test]
fn one_source_has_a_quarter_of_the_connections_and_never_more_than_all() {
    let per_source = |limits: &str| {
        let text = format!("[limits]\nconnections = 10\n{limits}[tls]");
        parse(&GOOD.replacen("[tls]", &text, 1)).map(|config| config.fixed.limits)
    };
    assert_eq!(per_source("").unwrap().connections_per_source, 3);
    let all = per_source("connections-per-source = 10\n").unwrap();
    assert_eq!(all.connections_per_source, 10);
    let error = per_source("connections-per-source = 11\n").unwrap_err();
    assert!(
        error.reason.contains("connections-per-source is 11"),
        "{error}"
    );
}

#[test]
fn the_documented_example_is_a_configuration() {
    let source = include_str!("../config.rs");
    let example = source.split("```").nth(1).unwrap();
    let example: String = example
        .lines()
        .skip(1)
        .map(|line| line.trim_start_matches("//!").trim_start().to_owned() + "\n")
        .collect();
    let example = example.replace("<64 hex digits>", &"0a".repeat(32));
    let config = parse(&example).unwrap();
    // What the example calls the defaults are the defaults.
    let defaults = parse(GOOD).unwrap().fixed;
    assert_eq!(config.fixed.throttle, defaults.throttle);
    assert_eq!(config.fixed.attest_throttle, defaults.attest_throttle);
    assert_eq!(config.fixed.evaluation, defaults.evaluation);
    assert_eq!(config.fixed.limits, defaults.limits);
}

#[test]
fn evidence_has_an_allowance_of_its_own_half_of_all_if_it_is_not_stated() {
    let throttled = |lines: &str| {
        let text = GOOD.replacen("[tls]", &format!("[throttle]\n{lines}\n[tls]"), 1);
        let limits = parse(&text).unwrap().fixed.attest_throttle;
        (limits.requests_per_second, limits.burst)
    };
    assert_eq!(throttled("requests-per-second = 9\nburst = 1"), (5, 1));
    assert_eq!(
        throttled("attests-per-second = 3\nattest-burst = 7"),
        (3, 7)
    );
}

#[test]
fn plain_http_is_for_loopback_alone_and_must_be_said() {
    let plain = GOOD.split("[tls]").next().unwrap();
    assert!(parse(plain).unwrap_err().reason.contains("neither"));
    let said = format!("danger-plain-http = true\n{plain}");
    assert!(parse(&said).unwrap().fixed.plain_http);
    let reachable = said.replace("127.0.0.1", "0.0.0.0");
    assert!(
        parse(&reachable)
            .unwrap_err()
            .reason
            .contains("others can reach")
    );
    let both = format!("danger-plain-http = true\n{GOOD}");
    assert!(parse(&both).unwrap_err().reason.contains("exclude"));
}

fn admin(lines: &str) -> Result<Vec<AdminSettings>, FileError> {
    let text = format!("[[admin]]\nname = \"a\"\n{lines}\n[tls]");
    let parsed = parse(&GOOD.replace("[tls]", &text));
    parsed.map(|config| config.reloaded.admins)
}

#[test]
fn the_admin_token_s_digest_is_hex() {
    let rest = "roles = [\"audit:read\"]\nnamespaces = [\"web\"]";
    let good = admin(&format!("token-sha256 = \"{}\"\n{rest}", "0a".repeat(32)));
    assert_eq!(good.unwrap()[0].way, AdminWay::Token([10; 32]));
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for bad in [&"+a".repeat(32), &"é".repeat(32), &"0g".repeat(32), empty] {
        let bad = admin(&format!("token-sha256 = \"{bad}\"\n{rest}"));
        assert!(!bad.unwrap_err().remedy.is_empty());
    }
}

#[test]
fn an_admin_has_one_way_in_known_roles_and_namespaces_that_are_said() {
    let token = format!("token-sha256 = \"{}\"", "0a".repeat(32));
    let jwt = "jwt = { keys = \"k\", issuer = \"i\", audience = \"a\", role = \"r\" }";
    let certificate = format!(
        "certificate = {{ ca = \"c\", sha256 = \"{}\" }}",
        "0a".repeat(32)
    );
    let named = "certificate = { ca = \"c\", dns = \"a.b\" }";
    let roles = "roles = [\"resources:write\", \"policies:read\"]";
    let all = "namespaces = \"all\"";
    for way in [token.as_str(), jwt, &certificate, named] {
        assert!(admin(&format!("{way}\n{roles}\n{all}")).is_ok(), "{way}");
    }
    for bad in [
        format!("{roles}\n{all}"),
        format!("{token}\n{jwt}\n{roles}\n{all}"),
        format!("{token}\n{all}"),
        format!("{token}\n{roles}"),
        format!("{token}\nroles = [\"resources\"]\n{all}"),
        format!("{token}\nroles = [\"resources:all\"]\n{all}"),
        format!("{token}\nroles = [\"everything:write\"]\n{all}"),
        format!("{token}\n{roles}\nnamespaces = \"web\""),
        format!("{token}\n{roles}\nnamespaces = []"),
        format!("{token}\n{roles}\nnamespaces = [\"a/b\"]"),
        format!("{token}\n{roles}\nnamespaces = [\"..\"]"),
        format!("certificate = {{ ca = \"c\" }}\n{roles}\n{all}"),
        format!("certificate = {{ ca = \"c\", dns = \"a\", sha256 = \"00\" }}\n{roles}\n{all}"),
        format!("certificate = {{ ca = \"c\", dns = \"\" }}\n{roles}\n{all}"),
        format!("certificate = {{ ca = \"c\", dns = \"*.a.b\" }}\n{roles}\n{all}"),
        format!("certificate = {{ ca = \"c\", dns = \"a b\" }}\n{roles}\n{all}"),
        format!("{token}\n{roles}\n{all}\nmore = 1"),
        format!("{token}\n{roles}\n{all}\n[[admin]]\nname = \"a\"\n{token}\n{roles}\n{all}"),
    ] {
        assert!(admin(&bad).is_err(), "{bad}");
    }
}

#[test]
fn figures_are_for_this_machine_alone() {
    let parsed = |listen: &str| {
        let text = format!("[monitor]\nlisten = \"{listen}\"\n[tls]");
        parse(&GOOD.replace("[tls]", &text)).map(|config| config.fixed.monitor)
    };
    for good in ["127.0.0.1:1", "[::1]:1", "unix:/run/x.sock"] {
        assert!(parsed(good).is_ok(), "{good}");
    }
    for bad in ["0.0.0.0:1", "192.0.2.1:1", "unix:", "", "localhost:1"] {
        assert!(parsed(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_witness_names_claims_and_has_an_audit_to_write_to() {
    let parsed = |tables: &str| {
        let text = GOOD.replace("[tls]", &format!("{tables}\n[tls]"));
        parse(&text).map(|config| config.fixed.witness)
    };
    let audit = "[audit]\nfolder = \"a\"\n";
    let identity = "identity = [\"snp.report_id\", \"tpm.ak_sha256\"]";
    for rest in ["", "on-fork = \"note\"", "on-fork = \"refuse\""] {
        let found = parsed(&format!("{audit}[witness]\n{identity}\n{rest}"));
        assert!(found.unwrap().is_some(), "{rest}");
    }
    for bad in [
        format!("[witness]\n{identity}"),
        format!("{audit}[witness]"),
        format!("{audit}[witness]\nidentity = []"),
        format!("{audit}[witness]\nidentity = [\"report_id\"]"),
        format!("{audit}[witness]\nidentity = [\"snp.measurement\"]"),
        format!("{audit}[witness]\nidentity = [\"tpm.ak_sha256\", \"snp.family_id\"]"),
        format!("{audit}[witness]\nidentity = [\"snp.chip_id\"]"),
        format!("{audit}[witness]\n{identity}\non-fork = \"ignore\""),
        format!("{audit}[witness]\n{identity}\nmore = 1"),
    ] {
        assert!(parsed(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_webhook_goes_to_one_address_behind_tls_under_one_key() {
    let parsed = |webhook: &str| {
        let text = GOOD.replace("[tls]", &format!("{webhook}\n[tls]"));
        parse(&text).map(|config| config.fixed.webhooks)
    };
    let hook = "[[webhook]]\nname = \"a\"\nurl = \"https://h:1/p?q=1\"\nca = \"c\"\n\
        secret = \"s\"\nevents = [\"denial\", \"witness-fork\"]";
    let good = parsed(hook).unwrap();
    assert_eq!(good[0].ca, Path::new("/etc/nitride/c"));
    assert_eq!(good[0].give_up, Duration::from_secs(3600));
    assert!(parsed(&hook.replace("secret", "signing-key")).is_ok());
    for (from, to) in [
        ("https://h:1/p?q=1", "http://h/p"),
        ("https://h:1/p?q=1", "https://user:pass@h/p"),
        ("https://h:1/p?q=1", "https:///p"),
        ("https://h:1/p?q=1", "/p"),
        ("https://h:1/p?q=1", "https://h/p#x"),
        ("https://h:1/p?q=1", "file:///etc/passwd"),
        ("name = \"a\"", "name = \"\""),
        ("name = \"a\"", "name = \"A b\""),
        ("secret = \"s\"", ""),
        ("secret = \"s\"", "secret = \"s\"\nsigning-key = \"k\""),
        ("ca = \"c\"", ""),
        ("[\"denial\", \"witness-fork\"]", "[]"),
        ("\"denial\"", "\"everything\""),
        ("events", "give-up-secs = 0\nevents"),
        ("events", "more = 0\nevents"),
    ] {
        let bad = hook.replacen(from, to, 1);
        assert_ne!(bad, hook);
        assert!(parsed(&bad).is_err(), "{bad}");
    }
    assert!(parsed(&format!("{hook}\n{hook}")).is_err(), "a name twice");
    let many = |count: usize| {
        let hooks = (0..count).map(|number| hook.replace("\"a\"", &format!("\"a{number}\"")));
        hooks.collect::<Vec<_>>().join("\n")
    };
    assert!(parsed(&many(8)).is_ok());
    assert!(parsed(&many(9)).is_err());
}

#[test]
fn a_file_that_is_absent_or_too_large_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    assert!(matches!(
        Config::load(&path),
        Err(ConfigError::Unreadable { .. })
    ));
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(matches!(
        Config::load(&path),
        Err(ConfigError::TooLarge { .. })
    ));
}

#[test]
fn all_forms_of_tee_key_are_taken_unless_some_are_named() {
    let tee_keys = |list: &str| {
        let text = format!("[policies]\ntee-keys = {list}\n[tls]");
        parse(&GOOD.replacen("[tls]", &text, 1)).map(|config| config.reloaded.tee_keys)
    };
    assert_eq!(parse(GOOD).unwrap().reloaded.tee_keys, TeeKeys::all());
    let every = r#"["hybrid", "p256", "p521", "rsa-oaep-256", "ml-kem-768"]"#;
    assert_eq!(tee_keys(every).unwrap(), TeeKeys::all());
    let some = tee_keys(r#"["p256", "hybrid"]"#).unwrap();
    assert_eq!(
        some.forms(),
        [TeeKeyForm::EcP256, TeeKeyForm::X25519MlKem768]
    );
    for (bad, word) in [
        ("[]", "empty list"),
        (r#"["p384"]"#, "\"p384\""),
        (r#"["P256"]"#, "\"P256\""),
        (r#"["RSA1_5"]"#, "\"RSA1_5\""),
        (r#"["hybrid", "hybrid"]"#, "twice"),
    ] {
        let error = tee_keys(bad).unwrap_err();
        assert!(error.reason.contains(word), "{error}");
        assert_eq!(error.line, 12, "{error}");
        assert!(error.remedy.contains("\"rsa-oaep-256\""), "{error}");
    }
}

#[test]
fn policies_are_files_or_in_the_store_and_never_both() {
    let files = "attestation-policy = \"attestation.toml\"\nresource-policy = \"resource.toml\"\n";
    let of = |files_of: &str, table: &str| {
        let text = GOOD.replacen(files, files_of, 1);
        let text = text.replacen("[tls]", &format!("[policies]\n{table}\n[tls]"), 1);
        parse(&text).map(|config| config.reloaded.policies)
    };
    let store = PolicySource::Store { at_least: 0 };
    assert_eq!(of("", "source = \"store\"").unwrap(), store);
    let store = PolicySource::Store { at_least: 7 };
    assert_eq!(of("", "source = \"store\"\nat-least = 7").unwrap(), store);
    for table in ["", "source = \"files\""] {
        assert!(matches!(of(files, table).unwrap(), PolicySource::Files(_)));
    }
    let one = "attestation-policy = \"attestation.toml\"\n";
    for (files, table, word) in [
        (files, "source = \"store\"", "named for them, too"),
        (one, "source = \"store\"", "named for them, too"),
        (
            "",
            "source = \"store\"\ntenants = \"d\"",
            "named for them, too",
        ),
        (
            "",
            "source = \"store\"\nappraisal = \"a\"",
            "named for them, too",
        ),
        (
            "",
            "source = \"store\"\nreference-values = \"v\"",
            "named for them, too",
        ),
        (files, "source = \"both\"", "\"both\" is none"),
        (files, "at-least = 7", "in the store"),
        (one, "source = \"files\"", "no resource-policy"),
        ("", "", "no attestation-policy"),
    ] {
        let error = of(files, table).unwrap_err();
        assert!(error.reason.contains(word), "{error}");
    }
}
