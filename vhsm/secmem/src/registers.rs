//! Vector registers, which a call leaves as they are.

/// Zeroes the vector registers, where ciphers keep round keys and hashes keep state.
#[cfg(target_arch = "x86_64")]
pub(crate) fn scrub() {
    if std::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has these instructions; every register they change is one that a
        // call may change, which is what the clobber says.
        unsafe {
            std::arch::asm!(
                "vzeroall",
                "vpxorq zmm16, zmm16, zmm16",
                "vpxorq zmm17, zmm17, zmm17",
                "vpxorq zmm18, zmm18, zmm18",
                "vpxorq zmm19, zmm19, zmm19",
                "vpxorq zmm20, zmm20, zmm20",
                "vpxorq zmm21, zmm21, zmm21",
                "vpxorq zmm22, zmm22, zmm22",
                "vpxorq zmm23, zmm23, zmm23",
                "vpxorq zmm24, zmm24, zmm24",
                "vpxorq zmm25, zmm25, zmm25",
                "vpxorq zmm26, zmm26, zmm26",
                "vpxorq zmm27, zmm27, zmm27",
                "vpxorq zmm28, zmm28, zmm28",
                "vpxorq zmm29, zmm29, zmm29",
                "vpxorq zmm30, zmm30, zmm30",
                "vpxorq zmm31, zmm31, zmm31",
                clobber_abi("sysv64"),
                options(nomem, nostack, preserves_flags),
            );
        }
    } else if std::is_x86_feature_detected!("avx") {
        // SAFETY: as above.
        unsafe {
            std::arch::asm!(
                "vzeroall",
                clobber_abi("sysv64"),
                options(nomem, nostack, preserves_flags),
            );
        }
    } else {
        // SAFETY: as above; SSE2 is part of the architecture.
        unsafe {
            std::arch::asm!(
                "pxor xmm0, xmm0",
                "pxor xmm1, xmm1",
                "pxor xmm2, xmm2",
                "pxor xmm3, xmm3",
                "pxor xmm4, xmm4",
                "pxor xmm5, xmm5",
                "pxor xmm6, xmm6",
                "pxor xmm7, xmm7",
                "pxor xmm8, xmm8",
                "pxor xmm9, xmm9",
                "pxor xmm10, xmm10",
                "pxor xmm11, xmm11",
                "pxor xmm12, xmm12",
                "pxor xmm13, xmm13",
                "pxor xmm14, xmm14",
                "pxor xmm15, xmm15",
                clobber_abi("sysv64"),
                options(nomem, nostack, preserves_flags),
            );
        }
    }
}

/// As on x86_64. What of a register lies beyond 128 bits (SVE) is zeroed with it.
#[cfg(target_arch = "aarch64")]
pub(crate) fn scrub() {
    // SAFETY: every register that changes is one that a call may change, and where a call must keep
    // a half of it, the compiler does, since the clobber names the whole.
    unsafe {
        std::arch::asm!(
            "movi v0.2d, #0",
            "movi v1.2d, #0",
            "movi v2.2d, #0",
            "movi v3.2d, #0",
            "movi v4.2d, #0",
            "movi v5.2d, #0",
            "movi v6.2d, #0",
            "movi v7.2d, #0",
            "movi v8.2d, #0",
            "movi v9.2d, #0",
            "movi v10.2d, #0",
            "movi v11.2d, #0",
            "movi v12.2d, #0",
            "movi v13.2d, #0",
            "movi v14.2d, #0",
            "movi v15.2d, #0",
            "movi v16.2d, #0",
            "movi v17.2d, #0",
            "movi v18.2d, #0",
            "movi v19.2d, #0",
            "movi v20.2d, #0",
            "movi v21.2d, #0",
            "movi v22.2d, #0",
            "movi v23.2d, #0",
            "movi v24.2d, #0",
            "movi v25.2d, #0",
            "movi v26.2d, #0",
            "movi v27.2d, #0",
            "movi v28.2d, #0",
            "movi v29.2d, #0",
            "movi v30.2d, #0",
            "movi v31.2d, #0",
            clobber_abi("C"),
            options(nomem, nostack, preserves_flags),
        );
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::scrub;

    /// Sets every vector register to a pattern, does something, and gives all of them.
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

    #[test]
    fn nothing_is_left_in_the_vector_registers() {
        let untouched = vectors_after(|| {});
        assert!(
            untouched.iter().filter(|each| **each == [0xc3; 16]).count() > 8,
            "the test sees registers"
        );
        let scrubbed = vectors_after(scrub);
        assert!(!scrubbed.contains(&[0xc3; 16]));
    }
}
