use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// What a verb gave.
pub(crate) enum Answer {
    /// Text for people; its JSON for programs.
    Text {
        text: String,
        json: serde_json::Value,
    },
    /// Bytes as they are.
    Bytes(Bytes),
}

/// Bytes that a verb gave, under the name of their field in the protocol.
pub(crate) struct Bytes {
    pub(crate) field: &'static str,
    pub(crate) version: Option<u32>,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Whether a terminal must not get them even as JSON.
    pub(crate) secret: bool,
}

impl Answer {
    pub(crate) fn public(field: &'static str, version: Option<u32>, bytes: Vec<u8>) -> Self {
        Self::Bytes(Bytes {
            field,
            version,
            bytes: Zeroizing::new(bytes),
            secret: false,
        })
    }

    pub(crate) fn secret(
        field: &'static str,
        version: Option<u32>,
        bytes: Zeroizing<Vec<u8>>,
    ) -> Self {
        Self::Bytes(Bytes {
            field,
            version,
            bytes,
            secret: true,
        })
    }
}

impl Bytes {
    /// `{"version":1,"field":"base64"}`, made in place in memory that is erased: a JSON value would
    /// keep copies.
    pub(crate) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let mut head = String::from("{");
        if let Some(version) = self.version {
            head.push_str(&format!("\"version\":{version},"));
        }
        head.push_str(&format!("\"{}\":\"", self.field));
        let body = Base64::encoded_len(&self.bytes);
        let tail = b"\"}\n";
        let mut json = Zeroizing::new(vec![0; head.len() + body + tail.len()]);
        json[..head.len()].copy_from_slice(head.as_bytes());
        json[head.len() + body..].copy_from_slice(tail);
        let place = &mut json[head.len()..head.len() + body];
        let encoded = Base64::encode(&self.bytes, place).map_or(0, str::len);
        debug_assert_eq!(encoded, body, "the place has the encoding's own length");
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_base64_in_json() {
        let answer = |version, bytes: &[u8]| {
            let bytes = Bytes {
                field: "secret",
                version,
                bytes: Zeroizing::new(bytes.to_vec()),
                secret: true,
            };
            String::from_utf8(bytes.to_json().to_vec()).unwrap()
        };
        assert_eq!(
            answer(Some(2), b"\xff\x00a"),
            "{\"version\":2,\"secret\":\"/wBh\"}\n"
        );
        assert_eq!(answer(None, b""), "{\"secret\":\"\"}\n");
        let parsed: serde_json::Value = serde_json::from_str(&answer(Some(2), b"ab")).unwrap();
        assert_eq!(parsed["secret"], "YWI=");
    }
}
