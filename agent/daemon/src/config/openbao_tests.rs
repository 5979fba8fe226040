use crate::config::Config;
use crate::config::tests::{GOOD, refused};

const BAO: &str = r#"
[vhsmd]
socket = "/run/vhsm/agent.sock"

[[service]]
name = "bao"
kind = "openbao"
plaintext-courier = true
ca = "/etc/nitride/bao-ca.pem"
mount = "secret"
prefix = "machines/a"
[service.login]
method = "approle"
role-id = "/run/role"
secret-id = "/run/secret"
[[service.endpoint]]
url = "https://bao-1.example:8200"
"#;

#[test]
fn an_openbao_is_read_where_the_configuration_calls_it_what_it_is() {
    let config = Config::parse(BAO).unwrap();
    let openbao = config.services[0].openbao.as_ref().unwrap();
    let read = openbao.secrets.kv.read("a/b/c").unwrap();
    assert_eq!(read.path, "/v1/secret/data/machines/a/a/b/c");
    assert_eq!(openbao.secrets.field, "value");
    assert_eq!(openbao.login.mount, "approle");
    let other = BAO
        .replace(
            "prefix = \"machines/a\"",
            "prefix = \"m\"\nfield = \"password\"\nencoding = \"text\"",
        )
        .replace(
            "method = \"approle\"\nrole-id = \"/run/role\"\nsecret-id = \"/run/secret\"",
            "method = \"jwt\"\nmount = \"jwt/team\"\nrole = \"r\"\njwt = \"/run/jwt\"",
        );
    let config = Config::parse(&other).unwrap();
    let openbao = config.services[0].openbao.as_ref().unwrap();
    assert_eq!(openbao.secrets.field, "password");
    assert_eq!(openbao.login.mount, "jwt/team");
    // A KBS has nothing of it.
    let config = Config::parse(GOOD).unwrap();
    assert!(
        config
            .services
            .iter()
            .all(|service| service.openbao.is_none())
    );
    assert!(
        Config::parse(&GOOD.replacen("name = \"main\"", "name = \"main\"\nkind = \"kbs\"", 1))
            .is_ok()
    );
}

#[test]
fn an_openbao_that_is_not_called_what_it_is_or_not_whole_is_refused_with_its_line() {
    let cases = [
        ("plaintext-courier = true\n", "", "5: THE AGENT READS"),
        (
            "plaintext-courier = true",
            "plaintext-courier = false",
            "5: THE AGENT READS",
        ),
        (
            "kind = \"openbao\"\n",
            "",
            "7: this is for `kind = \"openbao\"`",
        ),
        (
            "kind = \"openbao\"",
            "kind = \"kbs\"",
            "8: this is for `kind = \"openbao\"`",
        ),
        (
            "kind = \"openbao\"",
            "kind = \"vault\"",
            "7: unknown variant",
        ),
        ("mount = \"secret\"\n", "", "5: give `mount` and `prefix`"),
        (
            "ca = \"/etc/nitride/bao-ca.pem\"",
            "danger-plain-http = true",
            "5: what is read here comes by HTTPS alone",
        ),
        (
            "prefix = \"machines/a\"\n",
            "",
            "5: give `mount` and `prefix`",
        ),
        (
            "\"machines/a\"",
            "\"machines/\"",
            "10: one of `mount` and `prefix` is no path",
        ),
        (
            "secret-id = \"/run/secret\"\n",
            "",
            "13: these are not the fields",
        ),
        (
            "secret-id = \"/run/secret\"",
            "secret-id = \"secret\"",
            "15: the path is relative",
        ),
        (
            "method = \"approle\"",
            "method = \"approle\"\nmount = \"/x\"",
            "14: this is no path",
        ),
        (
            "method = \"approle\"",
            "method = \"token\"",
            "13: these are not the fields",
        ),
        (
            "[service.login]\nmethod = \"approle\"\nrole-id = \"/run/role\"\nsecret-id = \"/run/secret\"\n",
            "",
            "5: no login",
        ),
        (
            "prefix = \"machines/a\"",
            "prefix = \"m\"\nfield = \"\"",
            "12: give a name",
        ),
        (
            "prefix = \"machines/a\"",
            "prefix = \"m\"\nencoding = \"hex\"",
            "12: unknown variant",
        ),
    ];
    // Where a KBS may be asked without TLS.
    let plain = BAO
        .replace(
            "ca = \"/etc/nitride/bao-ca.pem\"",
            "danger-plain-http = true",
        )
        .replace("https://bao-1.example:8200", "http://127.0.0.1:8200");
    let said = refused(&plain);
    assert!(said.contains("comes by HTTPS alone"), "{said}");
    for (from, to, expected) in cases {
        assert!(BAO.contains(from));
        let said = refused(&BAO.replacen(from, to, 1));
        assert!(said.starts_with(expected), "{said}");
    }
    // A login by certificate shows the service's own.
    let method = "method = \"approle\"\nrole-id = \"/run/role\"\nsecret-id = \"/run/secret\"";
    let certificate = BAO.replace(method, "method = \"tls-certificate\"\nrole = \"r\"");
    assert!(refused(&certificate).starts_with("13: these are not the fields"));
    let ca = "ca = \"/etc/nitride/bao-ca.pem\"";
    let shown = certificate.replace(
        ca,
        &format!("{ca}\nclient-cert = \"/c\"\nclient-key = \"/k\""),
    );
    assert!(Config::parse(&shown).is_ok());
}

#[test]
fn the_example_is_one() {
    let example = include_str!("../../../../examples/config/openbao/agent.toml");
    let config = Config::parse(example).unwrap();
    let service = &config.services[0];
    assert!(service.openbao.is_some() && service.endpoints.len() == 2);
}
