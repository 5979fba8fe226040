//! Bodies as OpenBao 2.7.2 gave them, and what others may send in their place.

use super::*;

const WRITTEN: &[u8] = br#"{"request_id":"3be84bd3","lease_id":"","renewable":false,"lease_duration":0,"data":{"created_time":"2026-11-23T00:26:00.493778128Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":1},"wrap_info":null,"warnings":null,"auth":null}"#;
const READ: &[u8] = br#"{"request_id":"017833f4","lease_id":"","renewable":false,"lease_duration":0,"data":{"data":{"sealed":"YmJi"},"metadata":{"created_time":"2026-11-23T00:26:00Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":2}},"wrap_info":null,"warnings":null,"auth":null}"#;
const DELETED: &[u8] = br#"{"request_id":"3799888b","data":{"data":null,"metadata":{"created_time":"2026-11-23T00:26:00Z","custom_metadata":null,"deletion_time":"2026-11-23T00:26:00Z","destroyed":false,"version":2}},"auth":null}"#;
const ABSENT: &[u8] = br#"{"errors":[]}"#;
const NO_ENGINE: &[u8] =
    br#"{"errors":["no handler for route \"nomount/data/p/a\". route entry not found."]}"#;
const LOGIN: &[u8] = br#"{"request_id":"","data":null,"auth":{"client_token":"s.abcDEF","accessor":"x","policies":["default"],"lease_duration":2764800,"renewable":true,"entity_id":"y"}}"#;

#[test]
fn a_secret_is_read_with_its_version() {
    let found = read(200, READ).unwrap().unwrap();
    assert_eq!(found.version, 2);
    assert_eq!(found.sealed.as_deref(), Some(&b"bbb"[..]));
    assert_eq!(written(WRITTEN), Ok(1));
}

#[test]
fn none_deleted_and_no_engine_are_three_things() {
    assert_eq!(read(404, ABSENT), Ok(None));
    let deleted = read(404, DELETED).unwrap().unwrap();
    assert_eq!((deleted.version, deleted.sealed), (2, None));
    assert!(matches!(
        read(404, NO_ENGINE),
        Err(AnswerError::NoSuchPath { told }) if told.contains("no handler for route")
    ));
    // A proxy's page is no statement about a secret.
    for page in [&b"<html>Not Found</html>"[..], b"", b"{}", b"null"] {
        assert!(read(404, page).is_err());
        assert!(keys(404, page).is_err());
    }
    // Nor is a secret that comes with the status of none.
    assert!(read(404, READ).is_err());
}

#[test]
fn what_is_not_a_secret_of_ours_is_named() {
    let with = |data: &str, version: &str| {
        let body = format!(r#"{{"data":{{"data":{data},"metadata":{{"version":{version}}}}}}}"#);
        read(200, body.as_bytes())
    };
    assert!(with(r#"{"sealed":"YmJi"}"#, "1").is_ok());
    assert_eq!(
        with(r#"{"sealed":"YmJi"}"#, "0"),
        Err(AnswerError::NoVersion)
    );
    for data in [
        r#"{"password":"x"}"#,
        r#"{"sealed":null}"#,
        r#"{"sealed":"Ym"}"#,
        "null",
    ] {
        assert_eq!(with(data, "1"), Err(AnswerError::NotSealed), "{data}");
    }
    for (data, version) in [
        (r#"{"sealed":5}"#, "1"),
        (r#"{"sealed":"YmJi","sealed":"YWFh"}"#, "1"),
        (r#"{"sealed":"YmJi"}"#, "-1"),
        (r#"{"sealed":"YmJi"}"#, "1.5"),
        (r#"{"sealed":"YmJi"}"#, "18446744073709551616"),
    ] {
        let error = with(data, version).unwrap_err();
        assert!(matches!(error, AnswerError::Malformed { .. }), "{error}");
    }
    assert!(read(200, b"{\"data\":null}").is_err());
    assert!(written(b"{\"data\":{\"version\":0}}").is_err());
}

#[test]
fn answers_are_bounded() {
    let long = vec![b' '; MAX_ANSWER_LEN + 1];
    let too_long = |max| AnswerError::TooLong { max };
    assert_eq!(read(200, &long), Err(too_long(MAX_ANSWER_LEN)));
    assert_eq!(written(&long), Err(too_long(MAX_ANSWER_LEN)));
    assert!(logged_in(&long).is_err());
    let names = vec![r#""a""#; MAX_KEYS + 1].join(",");
    let many = format!(r#"{{"data":{{"keys":[{names}]}}}}"#);
    assert_eq!(keys(200, many.as_bytes()), Err(AnswerError::TooMany));
    let deep = "[".repeat(100_000);
    assert!(read(200, deep.as_bytes()).is_err());
}

#[test]
fn a_folder_s_names_are_listed_and_no_folder_is_an_empty_one() {
    let body = br#"{"data":{"keys":["a","b/"]}}"#;
    assert_eq!(keys(200, body).unwrap(), ["a", "b/"]);
    assert_eq!(keys(404, ABSENT), Ok(Vec::new()));
    assert!(keys(404, NO_ENGINE).is_err());
}

#[test]
fn a_login_gives_a_token_that_nothing_prints() {
    let login = logged_in(LOGIN).unwrap();
    assert_eq!(login.token.expose(), "s.abcDEF");
    assert_eq!((login.lease_secs, login.renewable), (2_764_800, true));
    assert!(!format!("{login:?}").contains("abcDEF"));
    for token in ["", "a\\nb", "a b", "\\u00fc"] {
        let text = String::from_utf8(LOGIN.to_vec()).unwrap();
        let body = text.replace("s.abcDEF", token);
        assert_eq!(
            logged_in(body.as_bytes()).unwrap_err(),
            AnswerError::NoToken
        );
    }
    assert_eq!(logged_in(WRITTEN).unwrap_err(), AnswerError::NoToken);
    // An error about a login's answer quotes none of it.
    let text = String::from_utf8(LOGIN.to_vec()).unwrap();
    let broken = text.replace(
        "\"lease_duration\":2764800",
        "\"lease_duration\":\"s.abcDEF\"",
    );
    let error = logged_in(broken.as_bytes()).unwrap_err().to_string();
    assert!(!error.contains("abcDEF"), "{error}");
}

#[test]
fn what_a_server_tells_is_short_and_printable() {
    assert_eq!(told(br#"{"errors":["one","two"]}"#), "one; two");
    assert_eq!(told(b"\xff"), "");
    let loud = format!(r#"{{"errors":["\u001b[2J{}"]}}"#, "x".repeat(5000));
    let told = told(loud.as_bytes());
    assert_eq!(told.len(), MAX_TOLD_CHARS);
    assert!(told.starts_with(" [2Jx"));
}

#[test]
fn statuses_are_sorted_and_unknown_ones_refuse() {
    for (status, class) in [
        (200, Class::Done),
        (204, Class::Done),
        (404, Class::NotFound),
        (403, Class::Denied),
        (400, Class::Refused),
        (405, Class::Refused),
        (301, Class::Refused),
        (201, Class::Refused),
        (0, Class::Refused),
        (307, Class::Elsewhere),
        (412, Class::Elsewhere),
        (429, Class::Elsewhere),
        (473, Class::Elsewhere),
        (500, Class::Elsewhere),
        (503, Class::Elsewhere),
    ] {
        assert_eq!(Class::of(status), class, "{status}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_an_answer_or_a_named_error(body: Vec<u8>, cut in 0..400_usize) {
        for body in [&body[..], &READ[..cut.min(READ.len())]] {
            for status in [200, 404] {
                let _ = (read(status, body), keys(status, body));
            }
            let _ = (written(body), logged_in(body).is_ok(), told(body));
        }
    }
}
