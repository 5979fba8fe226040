//! What OpenBao answers, or whoever answers in its place.

use nitride_openbao::answer::{self, Encoding};

/// Every answer, under every status: bounded, and no token printed.
pub fn openbao(data: &[u8]) {
    for status in [200, 204, 400, 404, 503] {
        if let Ok(Some(found)) = answer::read(status, data) {
            assert!(found.version > 0);
            assert!(found.sealed.is_none_or(|sealed| sealed.len() < data.len()));
        }
        for encoding in [Encoding::Base64, Encoding::Text] {
            if let Ok(Some(read)) = answer::field(status, data, "value", encoding) {
                assert!(read.version > 0 && read.bytes.len() < data.len());
                assert!(read.lease_secs != Some(0));
            }
        }
        if let Ok(keys) = answer::keys(status, data) {
            assert!(keys.len() <= data.len());
        }
    }
    if let Ok(version) = answer::written(data) {
        assert!(version > 0);
    }
    if let Ok(login) = answer::logged_in(data) {
        let token = login.token.expose();
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(format!("{:?}", login.token), "Token(..)");
    }
    assert!(answer::told(data).len() <= 200);
}
