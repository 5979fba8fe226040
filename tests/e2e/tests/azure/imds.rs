//! A stand-in for Azure's metadata service. What may be wrong with its answers, `nitride-evidence`'s own
//! tests show.

use anyhow::Result;
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use std::io::{Read, Write};
use std::sync::Arc;

/// Answers one question, its method and path first; `None` is 404.
pub(crate) type Answers = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Serves connections one after the other.
pub(crate) fn serve<S: Read + Write>(
    connections: impl Iterator<Item = S> + Send + 'static,
    answers: Answers,
) {
    std::thread::spawn(move || {
        for mut stream in connections {
            if let Err(error) = answer(&mut stream, &answers) {
                eprintln!("the stand-in for the metadata service: {error:#}");
            }
        }
    });
}

fn answer(stream: &mut (impl Read + Write), answers: &Answers) -> Result<()> {
    let mut asked = String::new();
    let mut part = [0; 4096];
    loop {
        let len = stream.read(&mut part)?;
        asked += std::str::from_utf8(&part[..len])?;
        if len == 0
            || asked.ends_with("\r\n\r\n") && asked.starts_with("GET")
            || asked.ends_with('}')
        {
            break;
        }
    }
    let said = asked
        .contains("\r\nMetadata: true\r\n")
        .then(|| answers(&asked));
    let (status, body) = match said.flatten() {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", String::new()),
    };
    let len = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\n\
         Content-Length: {len}\r\n\r\n{body}"
    )?;
    Ok(())
}

/// As `/metadata/THIM/amd/certification` answers.
pub(crate) fn certification(vcek: &[u8]) -> String {
    let pem: Vec<String> = Base64::encode_string(vcek)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        pem.join("\n")
    );
    serde_json::json!({
        "vcekCert": pem, "tcbm": "DB18000000000104", "certificateChain": "", "cacheControl": "86400",
    })
    .to_string()
}

/// The TDREPORT of a question to `/acc/tdquote`.
pub(crate) fn td_report(asked: &str) -> Option<Vec<u8>> {
    let (_, body) = asked.split_once("\r\n\r\n")?;
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    Base64UrlUnpadded::decode_vec(body["report"].as_str()?).ok()
}
