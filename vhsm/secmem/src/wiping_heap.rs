//! A heap that keeps nothing of what it is given back.

use crate::mapping::wipe;
use std::alloc::{GlobalAlloc, Layout, System};

/// The system's heap, in which every block is wiped before it is freed, also where it grows into
/// another one. For a program that holds secrets for a moment in libraries that know nothing of
/// that: a parser's texts, the buffers of a TLS connection.
///
/// It is ordinary memory all the same: not locked, and readable by whoever may read the process.
/// What C code allocates by itself is not in it, nor is what is on a stack.
///
/// ```
/// #[global_allocator]
/// static HEAP: nitride_secmem::WipingHeap = nitride_secmem::WipingHeap;
///
/// fn main() {
///     let mut grown = b"hunter2".to_vec();
///     grown.extend_from_slice(&[0; 4096]);
///     assert_eq!(&grown[..7], b"hunter2");
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct WipingHeap;

// SAFETY: every block is one of `System`'s, asked for and given back by the layout that the caller
// states, which is what `System` promises to serve. `realloc` is the trait's own: it allocates,
// copies the shorter of both lengths and frees here, so that the old block is wiped, too.
unsafe impl GlobalAlloc for WipingHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is the caller's alone, of `layout.size()` bytes, and allocated above.
        unsafe {
            wipe(block, layout.size());
            System.dealloc(block, layout);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_what_was_asked_for_and_keeps_its_bytes_when_it_grows() {
        let layout = Layout::from_size_align(64, 32).unwrap();
        // SAFETY: the layout has a size; the block is written and read within it, and given back
        // by the layout that it has at that moment.
        unsafe {
            let block = WipingHeap.alloc_zeroed(layout);
            assert!(!block.is_null() && block.addr().is_multiple_of(32));
            assert_eq!(std::slice::from_raw_parts(block, 64), [0; 64]);
            block.write_bytes(7, 64);
            let grown = WipingHeap.realloc(block, layout, 4096);
            assert_eq!(std::slice::from_raw_parts(grown, 64), [7; 64]);
            let layout = Layout::from_size_align(4096, 32).unwrap();
            let shrunk = WipingHeap.realloc(grown, layout, 16);
            assert_eq!(std::slice::from_raw_parts(shrunk, 16), [7; 16]);
            WipingHeap.dealloc(shrunk, Layout::from_size_align(16, 32).unwrap());
        }
    }
}
