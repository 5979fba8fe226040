//! The one ioctl that the device mapper is asked by. This file alone has unsafe code.
#![expect(unsafe_code, reason = "an ioctl that has no wrapper")]

use nix::errno::Errno;
use nix::libc;
use std::fs::File;
use std::os::fd::AsRawFd;

/// What the kernel reads its question from, and writes its answer to.
pub(super) const BUFFER_LEN: usize = DATA_SIZE as usize;
const DATA_SIZE: u32 = 16 * 1024;
/// `struct dm_ioctl`.
pub(super) const HEADER_LEN: usize = HEADER_SIZE as usize;
const HEADER_SIZE: u32 = 312;
/// Where the header says how long all of it is.
const DATA_SIZE_AT: usize = 12;
/// `DM_TABLE_STATUS`: `_IOWR(0xfd, 12, struct dm_ioctl)`.
const TABLE_STATUS: u32 = 3 << 30 | HEADER_SIZE << 16 | 0xfd << 8 | 12;

/// Asks for a table. The question is what stands in `buffer`, but for its length, which is said here.
pub(super) fn table_status(control: &File, buffer: &mut [u8; BUFFER_LEN]) -> Result<(), Errno> {
    let size = DATA_SIZE.to_ne_bytes();
    for (to, from) in buffer.iter_mut().skip(DATA_SIZE_AT).zip(size) {
        *to = from;
    }
    // SAFETY: the descriptor is open for as long as `control` is borrowed. For this code the kernel reads
    // a `struct dm_ioctl` and writes no more than its `data_size` bytes, which has just been set to the
    // buffer's length; the buffer is borrowed exclusively, any bytes are values of it, and the kernel
    // copies bytes, whatever their alignment, and keeps no pointer. Should the descriptor be another
    // driver's, which has no such code, it answers ENOTTY.
    let result = unsafe {
        libc::ioctl(
            control.as_raw_fd(),
            TABLE_STATUS.into(),
            buffer.as_mut_ptr(),
        )
    };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_the_kernels_and_a_file_that_is_no_such_device_refuses() {
        assert_eq!(TABLE_STATUS, 0xc138_fd0c);
        let file = File::open("/dev/null").unwrap();
        let refused = table_status(&file, &mut [0; BUFFER_LEN]);
        assert_eq!(refused, Err(Errno::ENOTTY));
    }
}
