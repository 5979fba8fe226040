use super::Config;
use nitride_settings::SettingsError;
use std::io::Write;
use std::time::Duration;

pub(super) const GOOD: &str = r#"
[vhsmd]
socket = "/run/vhsm/agent.sock"

[[service]]
name = "main"
ca = "/etc/nitride/ca.pem"
client-cert = "/etc/nitride/client.pem"
client-key = "/etc/nitride/client.key"
request-timeout-ms = 2000
[[service.endpoint]]
url = "https://kbs-1.example:8443/"
priority = 1
[[service.endpoint]]
url = "https://kbs-2.example/prefix/"
priority = 2

[[service]]
name = "test"
danger-plain-http = true
[[service.endpoint]]
url = "http://127.0.0.1:8080"
"#;

#[test]
fn a_file_that_everybody_can_write_is_refused() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(GOOD.as_bytes()).unwrap();
    assert!(Config::load(file.path()).is_ok());
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o646);
    file.as_file().set_permissions(everybody).unwrap();
    let refused = Config::load(file.path());
    assert!(matches!(refused, Err(SettingsError::Untrusted { .. })));
}

/// What is said of the text, beginning with its line.
pub(super) fn refused(text: &str) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let error = Config::load(file.path()).unwrap_err().to_string();
    let path = file.path().display().to_string();
    let located = error.strip_prefix(&path).unwrap();
    located.strip_prefix(':').unwrap().to_owned()
}

fn refused_with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from));
    refused(&GOOD.replacen(from, to, 1))
}

#[test]
fn a_whole_configuration_is_read() {
    let config = Config::parse(GOOD).unwrap();
    assert_eq!(config.max_rounds, 8);
    let [main, test] = &config.services[..] else {
        panic!("two services");
    };
    let urls: Vec<_> = main.endpoints.iter().map(|e| e.url.as_str()).collect();
    assert_eq!(
        urls,
        ["https://kbs-1.example:8443", "https://kbs-2.example/prefix"]
    );
    assert_eq!(main.endpoints[1].priority, 2);
    assert_eq!(main.request_timeout, Duration::from_secs(2));
    assert_eq!(main.connect_timeout, Duration::from_secs(2));
    assert!(main.tls.as_ref().unwrap().client.is_some());
    assert!(test.endpoints[0].plain && test.tls.is_none());
}

#[test]
fn an_unknown_key_is_an_error_with_its_line_and_what_was_expected() {
    let error = refused_with("priority = 1", "prioritty = 1");
    assert_eq!(
        error,
        "13: unknown field `prioritty`, expected `url` or `priority`"
    );
    let error = refused_with("[vhsmd]\n", "[vhsmd]\nverify = false\n");
    assert!(error.starts_with("3: unknown field `verify`"), "{error}");
}

#[test]
fn https_needs_a_pinned_ca() {
    let text = "[vhsmd]\nsocket = \"/s\"\n[[service]]\nname = \"a\"\n\
                [[service.endpoint]]\nurl = \"https://a\"\n";
    let error = refused(text);
    assert!(error.starts_with("6: no CA is pinned"), "{error}");
}

#[test]
fn plain_http_must_be_stated_and_stays_on_loopback() {
    let error = refused_with("danger-plain-http = true", "");
    assert!(error.contains("neither secret nor authentic"), "{error}");
    for url in [
        "http://10.0.0.1",
        "http://localhost:80",
        "http://kbs.example",
    ] {
        let error = refused_with("http://127.0.0.1:8080", url);
        assert!(error.contains("loopback alone"), "{url}: {error}");
    }
    for url in ["http://[::1]:80", "http://127.1.2.3"] {
        let text = GOOD.replacen("http://127.0.0.1:8080", url, 1);
        assert!(Config::parse(&text).is_ok(), "{url}");
    }
}

#[test]
fn a_url_has_no_more_than_it_should() {
    for url in [
        "https://user:word@kbs",
        "https://kbs/?a=b",
        "https://kbs/#x",
        "ftp://kbs",
        "kbs.example",
        "/kbs",
        "",
        "https://",
        "https://k b s",
    ] {
        let error = refused_with("https://kbs-1.example:8443/", url);
        assert!(error.starts_with("12: "), "{url}: {error}");
        assert!(error.contains("URL"), "{url}: {error}");
    }
}

#[test]
fn a_client_certificate_comes_with_its_key() {
    let error = refused_with("client-key = \"/etc/nitride/client.key\"", "");
    assert!(error.starts_with("8: give `client-key`"), "{error}");
}

#[test]
fn a_service_needs_a_name_of_its_own_and_an_endpoint() {
    let error = refused_with("name = \"test\"", "name = \"main\"");
    assert!(error.contains("described before"), "{error}");
    let error = refused("[vhsmd]\nsocket = \"/s\"\n[[service]]\nname = \"a\"\n");
    assert!(error.starts_with("3: no endpoint"), "{error}");
    let error = refused("[vhsmd]\nsocket = \"/s\"\n");
    assert!(error.contains("no service"), "{error}");
}

#[test]
fn values_out_of_range_name_the_range() {
    let error = refused_with("request-timeout-ms = 2000", "request-timeout-ms = 1");
    assert!(
        error.starts_with("10: the value is out of range"),
        "{error}"
    );
    let error = refused_with("/run/vhsm/agent.sock", "agent.sock");
    assert!(error.starts_with("3: the path is relative"), "{error}");
}
