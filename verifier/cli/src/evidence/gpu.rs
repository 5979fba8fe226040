//! The report of an NVIDIA device, and the chain of its key.

use crate::arguments::GpuArguments;
use nitride_collateral::Files;
use nitride_collateral::Obstacle;
use nitride_verify::{Allegation, GpuAllegation};

/// Longer than any, so that the core names the length of what is too long.
const MAX_LEN: u64 = 256 << 10;

pub(super) fn read(arguments: &GpuArguments, files: &mut Files) -> Result<Allegation, Obstacle> {
    let report = files.read(&arguments.report, MAX_LEN)?;
    let chain = files.read(&arguments.chain, MAX_LEN)?;
    Ok(Allegation::Gpu(GpuAllegation {
        report: raw(report),
        chain,
    }))
}

/// NVIDIA's own tools write hexadecimal. A report begins with a byte that is no digit.
fn raw(bytes: Vec<u8>) -> Vec<u8> {
    match base16ct::mixed::decode_vec(bytes.trim_ascii()) {
        Ok(report) => report,
        Err(_) => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_is_and_in_hexadecimal() {
        assert_eq!(raw(b"11e0 ".to_vec()), [0x11, 0xe0]);
        assert_eq!(raw(vec![0x11, 0xe0]), [0x11, 0xe0]);
        assert_eq!(raw(b"11e".to_vec()), b"11e");
    }
}
