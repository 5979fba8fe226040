//! Bodies: read to their end, up to a length and a time that the message needs, and no further.

use super::fault::{Fault, FaultKind};
use axum::body::{Body, Bytes, HttpBody};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::time::Duration;

/// Reads a body of at most `max_len` bytes within `timeout`. More is refused at the first byte too
/// many, and by its announced length before any is read.
pub(super) async fn read_body(
    body: Body,
    max_len: usize,
    timeout: Duration,
) -> Result<Bytes, Fault> {
    let too_large = || {
        Fault::new(
            FaultKind::RequestTooLarge,
            format!("body is longer than {max_len} bytes"),
        )
    };
    if usize::try_from(body.size_hint().lower()).map_or(true, |len| len > max_len) {
        return Err(too_large());
    }
    match tokio::time::timeout(timeout, Limited::new(body, max_len).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            Err(Fault::new(FaultKind::InvalidRequest, "body cannot be read")
                .because(error.as_ref()))
        }
        Err(_) => Err(Fault::new(
            FaultKind::RequestTimeout,
            "body did not come in time",
        )),
    }
}
