//! Random bytes.

use crate::door;
use std::io;

/// Fills `out` with random bytes: by AWS-LC's generator, whose state is in the arena; where there
/// is no room for this thread's, or no arena yet, by the kernel's. Ends the process if neither
/// answers, since there is no safe way on.
pub fn fill_random(out: &mut [u8]) {
    let drawn = door::seed_thread()
        // SAFETY: the pointer and the length are those of the slice.
        && door::through(|| unsafe { aws_lc_sys::RAND_bytes(out.as_mut_ptr(), out.len()) == 1 });
    if !drawn {
        fill_from_kernel(out);
    }
}

fn fill_from_kernel(out: &mut [u8]) {
    let mut rest = out;
    while !rest.is_empty() {
        // SAFETY: the pointer and the length are those of the slice.
        let written = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(written) {
            Ok(written) => rest = rest.get_mut(written..).unwrap_or_default(),
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            Err(_) => std::process::abort(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_fills_every_byte() {
        // 64 bytes that all stay zero happen once in 2^512 runs.
        let mut bytes = [0; 64];
        fill_from_kernel(&mut bytes);
        assert!(bytes[..32] != [0; 32] && bytes[32..] != [0; 32]);
        fill_from_kernel(&mut []);
    }
}
