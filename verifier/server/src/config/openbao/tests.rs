use super::*;
use crate::config::{Config, StoreConfig};

const GOOD: &str = "listen = \"127.0.0.1:0\"\nstore-key = \"k\"\nchallenge-key = \"c\"\n\
    token-key = \"t\"\nissuer = \"i\"\naudience = \"a\"\npolicy-id = \"p\"\n\
    attestation-policy = \"a\"\nresource-policy = \"r\"\n[tls]\ncertificate = \"c\"\nkey = \"k\"\n\
    [openbao]\naddresses = [\"https://bao-1.example:8200\", \"https://[::1]:8200/\"]\nca = \"ca.pem\"\n\
    mount = \"secret\"\nprefix = \"nitride\"\n[openbao.login]\nmethod = \"approle\"\n\
    role-id = \"role\"\nsecret-id = \"secret\"\n";

fn parse(text: &str) -> Result<OpenBao, FileError> {
    match Config::parse(text, "provisiond.toml", Path::new("/etc/nitride"))?
        .fixed
        .store
    {
        StoreConfig::OpenBao(engine) => Ok(engine),
        StoreConfig::Dir(path) => panic!("{path:?}"),
    }
}

#[test]
fn an_engine_is_read_with_its_defaults() {
    let engine = parse(GOOD).unwrap();
    assert_eq!(
        engine.addresses,
        ["https://bao-1.example:8200", "https://[::1]:8200"]
    );
    assert_eq!(engine.ca.as_deref(), Some(Path::new("/etc/nitride/ca.pem")));
    assert_eq!(engine.deadline, Duration::from_secs(10));
    assert_eq!(engine.attempt, Duration::from_secs(3));
    assert_eq!(engine.login.mount, "approle");
}

#[test]
fn each_login_takes_its_own_fields_and_no_others() {
    let with = |login: &str| {
        let (head, _) = GOOD.split_once("method =").unwrap();
        parse(&format!("{head}{login}"))
    };
    let jwt = with("method = \"jwt\"\nrole = \"r\"\njwt = \"j\"\nmount = \"oidc/x\"\n").unwrap();
    assert_eq!(jwt.login.mount, "oidc/x");
    let fields = "role = \"r\"\ncertificate = \"c\"\nkey = \"k\"\n";
    let certificate = with(&format!("method = \"tls-certificate\"\n{fields}")).unwrap();
    assert_eq!(certificate.login.mount, "cert");
    for login in [
        format!("method = \"jwt\"\n{fields}"),
        format!("method = \"approle\"\n{fields}"),
        format!("method = \"tls-certificate\"\n{fields}jwt = \"j\"\n"),
        "method = \"token\"\n".to_owned(),
        format!("method = \"tls-certificate\"\n{fields}mount = \"../sys\"\n"),
    ] {
        assert!(with(&login).is_err(), "{login}");
    }
}

#[test]
fn what_would_send_a_token_in_the_clear_or_elsewhere_is_refused() {
    let first = "https://bao-1.example:8200";
    for (from, to, word) in [
        (first, "http://bao-1.example:8200", "in the clear"),
        (first, "https://user@bao:8200", "more than scheme"),
        (first, "https://bao:8200/v1", "more than scheme"),
        (first, "bao:8200", "no URL"),
        (first, "ftp://bao:8200", "another scheme"),
        ("ca = \"ca.pem\"\n", "", "no ca"),
        ("\"secret\"\nprefix", "\"/secret\"\nprefix", "no path"),
        ("\"nitride\"", "\"../x\"", "no path"),
        ("mount =", "deadline-secs = 0\nmount =", "deadline-secs"),
        ("listen", "store = \"s\"\nlisten", "exclude each other"),
    ] {
        let error = parse(&GOOD.replacen(from, to, 1)).unwrap_err();
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

#[test]
fn plain_http_is_for_loopback_addresses_alone() {
    let plain = |addresses: &str| {
        let text = GOOD.replacen(
            "[\"https://bao-1.example:8200\", \"https://[::1]:8200/\"]",
            addresses,
            1,
        );
        parse(&text.replacen("ca = \"ca.pem\"", "danger-plain-http = true", 1))
    };
    assert!(plain("[\"http://127.0.0.1:8200\", \"http://[::1]:8200\"]").is_ok());
    for addresses in [
        "[\"http://bao.example:8200\"]",
        "[\"http://10.0.0.1:8200\"]",
        "[\"https://127.0.0.1:8200\"]",
        "[]",
    ] {
        assert!(plain(addresses).is_err(), "{addresses}");
    }
}
