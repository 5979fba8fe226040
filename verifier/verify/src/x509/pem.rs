//! Chains in PEM (RFC 7468), as platforms send them: certificates, and nothing but white space and a
//! final zero around them.

use base64ct::{Base64, Encoding};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificates in DER, in the order of the text; `None` if there is anything else in it. How
/// many there may be, the caller says: no more than `max` are decoded.
pub(crate) fn split_pem(pem: &[u8], max: usize) -> Option<Vec<Vec<u8>>> {
    let pem = pem.strip_suffix(b"\0").unwrap_or(pem);
    let mut rest = std::str::from_utf8(pem).ok()?;
    let mut chain = Vec::new();
    while !rest.trim_ascii().is_empty() {
        if chain.len() > max {
            break;
        }
        let body = rest.trim_ascii_start().strip_prefix(BEGIN)?;
        let (body, after) = body.split_once(END)?;
        let text: String = body.split_ascii_whitespace().collect();
        chain.push(Base64::decode_vec(&text).ok()?);
        rest = after;
    }
    Some(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certificates_are_read_and_one_more_than_asked_for_at_most() {
        let one = format!("{BEGIN}\nAAE=\n{END}\n");
        let two = format!("{one}\r\n{one}\0");
        assert_eq!(split_pem(two.as_bytes(), 2), Some(vec![vec![0, 1]; 2]));
        assert_eq!(split_pem(b"", 2), Some(Vec::new()));
        assert_eq!(split_pem(one.repeat(9).as_bytes(), 2).unwrap().len(), 3);
        for bad in [
            "a",
            "-----BEGIN CERTIFICATE-----",
            &format!("{one}a"),
            &one.replace("AAE=", "AAE"),
        ] {
            assert_eq!(split_pem(bad.as_bytes(), 2), None, "{bad}");
        }
        assert_eq!(split_pem(b"\xff", 2), None);
    }
}
