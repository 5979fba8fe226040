//! How deep calls go, and that nothing of them is left.

use super::*;
use crate::SecretBuf;
use crate::crypto::{
    AeadAlgorithm, AeadKey, EcP256, Ed25519, HmacSha256, aes256_key_unwrap, concat_kdf_sha256,
    fill_random, sha256, sha384, verify_ed25519, verify_p256_sha256,
};
use crate::mapping::PAGE_LEN;
use crate::testing::installed;
use std::ffi::c_void;
use std::ptr;

const STACK_LEN: usize = 256 * PAGE_LEN;
const PAINT: u8 = 0xa5;

/// A thread's stack that can be looked at from outside once the thread is gone.
struct PaintedStack {
    start: *mut u8,
}

/// What the thread does, and the address that [`call`]'s frame lies below.
struct Errand<'a> {
    work: &'a (dyn Fn() + Sync),
    top: usize,
}

impl PaintedStack {
    fn new() -> Self {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                STACK_LEN,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED);
        // SAFETY: the mapping is ours and that long.
        unsafe { start.cast::<u8>().write_bytes(PAINT, STACK_LEN) };
        Self {
            start: start.cast(),
        }
    }

    /// Runs `work` on this stack; gives the address that its frames lie below.
    fn run(&self, work: &(dyn Fn() + Sync)) -> usize {
        let mut errand = Errand { work, top: 0 };
        // SAFETY: the attributes are initialised before use; the stack outlives the thread, which
        // is joined here; so does the errand, which nobody else touches meanwhile.
        unsafe {
            let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
            assert_eq!(libc::pthread_attr_init(attributes.as_mut_ptr()), 0);
            assert_eq!(
                libc::pthread_attr_setstack(attributes.as_mut_ptr(), self.start.cast(), STACK_LEN),
                0
            );
            let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
            assert_eq!(
                libc::pthread_create(
                    thread.as_mut_ptr(),
                    attributes.as_ptr(),
                    run_errand,
                    (&raw mut errand).cast()
                ),
                0
            );
            assert_eq!(libc::pthread_join(thread.assume_init(), ptr::null_mut()), 0);
        }
        errand.top
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is that long, and the thread that wrote to it is gone.
        unsafe { std::slice::from_raw_parts(self.start, STACK_LEN) }
    }

    /// What lies above the lowest byte that was written.
    fn touched(&self) -> &[u8] {
        let bytes = self.bytes();
        let untouched = bytes.iter().take_while(|byte| **byte == PAINT).count();
        &bytes[untouched..]
    }

    /// Bytes from `top` down to the lowest that was written.
    fn depth_below(&self, top: usize) -> usize {
        top - self.touched().as_ptr().addr()
    }
}

impl Drop for PaintedStack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours; no reference into it is left.
        unsafe { libc::munmap(self.start.cast(), STACK_LEN) };
    }
}

extern "C" fn run_errand(errand: *mut c_void) -> *mut c_void {
    // SAFETY: `run` passes an errand that it leaves alone until this thread is joined.
    let errand = unsafe { &mut *errand.cast::<Errand<'_>>() };
    let local = 0_u8;
    errand.top = (&raw const local).addr();
    (errand.work)();
    ptr::null_mut()
}

thread_local! {
    static SCRUB_IS_OFF: Cell<bool> = const { Cell::new(false) };
}

/// Lets a test see what the scrub would remove.
pub(super) fn scrub_is_off() -> bool {
    SCRUB_IS_OFF.get()
}

/// How deep `work` goes on a fresh thread, the seeding of the thread's generator included.
fn depth_of(work: impl Fn() + Sync) -> usize {
    let stack = PaintedStack::new();
    let top = stack.run(&|| {
        SCRUB_IS_OFF.set(true);
        work();
    });
    stack.depth_below(top)
}

/// Has the compiler compute a result that nobody looks at.
fn keep<T>(result: T) {
    std::hint::black_box(result);
}

/// Room for the frame of a signal that arrives at the deepest point: the vector registers of a
/// processor with AVX-512 take 2.7 KiB of it.
const SIGNAL_FRAME_LEN: usize = 4096;

#[test]
fn the_scrub_reaches_below_the_deepest_call_and_a_signal_there() {
    installed();
    let data = vec![7; 65_536];
    let mut measured = Vec::new();
    let mut measure = |name: &'static str, work: &(dyn Fn() + Sync)| {
        measured.push((name, depth_of(work)));
    };
    measure("random", &|| fill_random(&mut [0; 100]));
    measure("sha-256", &|| keep(sha256(&[&data])));
    measure("sha-384", &|| keep(sha384(&[&data])));
    measure("p-256 generate", &|| keep(EcP256::generate().unwrap()));
    measure("p-256 import", &|| {
        keep(EcP256::from_scalar(&[1; 32]).unwrap());
    });
    let key = EcP256::generate().unwrap();
    let point = key.public_point();
    let signature = key.sign(&data).unwrap();
    measure("p-256 sign", &|| keep(key.sign(&data).unwrap()));
    measure("p-256 export", &|| key.scalar_into(&mut [0; 32]));
    measure("p-256 agree", &|| keep(key.ecdh(&point).unwrap()));
    measure("p-256 verify", &|| {
        assert!(verify_p256_sha256(&point, &[&data], &signature));
    });
    measure("ed25519 generate", &|| keep(Ed25519::generate().unwrap()));
    let key = Ed25519::generate().unwrap();
    let signature = key.sign(&data).unwrap();
    measure("ed25519 sign", &|| keep(key.sign(&data).unwrap()));
    measure("ed25519 verify", &|| {
        assert!(verify_ed25519(&key.public(), &data, &signature));
    });
    for algorithm in [AeadAlgorithm::Aes256Gcm, AeadAlgorithm::Aes256GcmSiv] {
        measure("aead expand", &|| {
            keep(AeadKey::new(algorithm, &[1; 32]).unwrap());
        });
        let key = AeadKey::new(algorithm, &[1; 32]).unwrap();
        for len in [0, 1, 16, 100, 500, 1024, 65_536] {
            let mut sealed = vec![0; len + 16];
            key.seal(&[1; 12], &[b"a", b"b"], &data[..len], &mut sealed)
                .unwrap();
            measure("seal", &|| {
                let mut out = vec![0; len + 16];
                key.seal(&[1; 12], &[b"a", b"b"], &data[..len], &mut out)
                    .unwrap();
            });
            measure("open", &|| {
                let mut out = vec![0; len];
                key.open(&[1; 12], &[b"a", b"b"], &sealed, &mut out)
                    .unwrap();
            });
        }
    }
    measure("hmac key", &|| keep(HmacSha256::new(&[1; 100]).unwrap()));
    let key = HmacSha256::new(&[1; 32]).unwrap();
    measure("hmac tag", &|| keep(key.tag(&data).unwrap()));
    measure("hmac verify", &|| {
        keep(key.verify(&data, &[0; 32]).unwrap());
    });
    measure("unwrap", &|| keep(aes256_key_unwrap(&[1; 32], &[1; 40])));
    let secret = SecretBuf::copy_of(&[1; 32]).unwrap();
    measure("kdf", &|| keep(concat_kdf_sha256(&secret, &data).unwrap()));
    measured.sort_by_key(|(_, depth)| *depth);
    println!("stack depths in bytes: {measured:?}");
    let (name, deepest) = measured[measured.len() - 1];
    assert!(deepest > 1024, "nothing was measured: {measured:?}");
    assert!(
        deepest + SIGNAL_FRAME_LEN <= SCRUB_LEN,
        "{name} goes {deepest} bytes deep: {measured:?}"
    );
}

/// Leaves a pattern on the stack, as a cipher might.
#[inline(never)]
fn litter() {
    let mut local = [0_u8; 2048];
    local.fill(0xc3);
    std::hint::black_box(&mut local);
}

#[test]
fn nothing_that_a_call_left_on_the_stack_is_there_afterwards() {
    let left_after = |scrub_is_off: bool| {
        let stack = PaintedStack::new();
        stack.run(&|| {
            SCRUB_IS_OFF.set(scrub_is_off);
            through(litter);
        });
        stack.touched().windows(8).any(|window| window == [0xc3; 8])
    };
    assert!(left_after(true), "the scan finds what is left");
    assert!(!left_after(false));
}

/// Sets every vector register to a pattern, does something, and gives all of them.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
fn vectors_after(work: fn()) -> [[u8; 16]; 16] {
    use std::arch::asm;
    let pattern = [0xc3_u8; 16];
    let mut found = [[0_u8; 16]; 16];
    // SAFETY: reads the 16 bytes of the pattern; says that it changes the registers.
    unsafe {
        asm!(
            "movdqu xmm0, [{from}]", "movdqa xmm1, xmm0", "movdqa xmm2, xmm0", "movdqa xmm3, xmm0",
            "movdqa xmm4, xmm0", "movdqa xmm5, xmm0", "movdqa xmm6, xmm0", "movdqa xmm7, xmm0",
            "movdqa xmm8, xmm0", "movdqa xmm9, xmm0", "movdqa xmm10, xmm0", "movdqa xmm11, xmm0",
            "movdqa xmm12, xmm0", "movdqa xmm13, xmm0", "movdqa xmm14, xmm0", "movdqa xmm15, xmm0",
            from = in(reg) pattern.as_ptr(),
            clobber_abi("sysv64"),
            options(nostack, readonly),
        );
    }
    work();
    // SAFETY: writes 16 times 16 bytes, as the array has.
    unsafe {
        asm!(
            "movdqu [{to}], xmm0", "movdqu [{to} + 16], xmm1", "movdqu [{to} + 32], xmm2",
            "movdqu [{to} + 48], xmm3", "movdqu [{to} + 64], xmm4", "movdqu [{to} + 80], xmm5",
            "movdqu [{to} + 96], xmm6", "movdqu [{to} + 112], xmm7", "movdqu [{to} + 128], xmm8",
            "movdqu [{to} + 144], xmm9", "movdqu [{to} + 160], xmm10",
            "movdqu [{to} + 176], xmm11", "movdqu [{to} + 192], xmm12",
            "movdqu [{to} + 208], xmm13", "movdqu [{to} + 224], xmm14",
            "movdqu [{to} + 240], xmm15",
            to = in(reg) found.as_mut_ptr(),
            options(nostack),
        );
    }
    found
}

#[cfg(target_arch = "x86_64")]
#[test]
fn nothing_is_left_in_the_vector_registers() {
    let untouched = vectors_after(|| {});
    assert!(
        untouched.iter().filter(|each| **each == [0xc3; 16]).count() > 8,
        "the test sees registers"
    );
    let scrubbed = vectors_after(scrub_registers);
    assert!(!scrubbed.contains(&[0xc3; 16]));
}
