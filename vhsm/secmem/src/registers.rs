//! Vector registers, which a call leaves as they are.

/// Zeroes the vector registers, where ciphers keep round keys and hashes keep state, and the masks.
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
                // Masks, by which tables of multiples are searched: where the secret index was.
                "kxorw k0, k0, k0",
                "kxorw k1, k1, k1",
                "kxorw k2, k2, k2",
                "kxorw k3, k3, k3",
                "kxorw k4, k4, k4",
                "kxorw k5, k5, k5",
                "kxorw k6, k6, k6",
                "kxorw k7, k7, k7",
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
    use crate::door::through;
    use crate::testing::installed;

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

    /// The same for the upper half of each, where the processor has one.
    #[inline(never)]
    fn upper_halves_after(work: fn()) -> [[u8; 16]; 16] {
        use std::arch::asm;
        let pattern = [0xc3_u8; 32];
        let mut found = [[0_u8; 16]; 16];
        // SAFETY: reads the 32 bytes of the pattern; says that it changes the registers.
        unsafe {
            asm!(
                "vmovdqu ymm0, [{from}]", "vmovdqa ymm1, ymm0", "vmovdqa ymm2, ymm0",
                "vmovdqa ymm3, ymm0", "vmovdqa ymm4, ymm0", "vmovdqa ymm5, ymm0",
                "vmovdqa ymm6, ymm0", "vmovdqa ymm7, ymm0", "vmovdqa ymm8, ymm0",
                "vmovdqa ymm9, ymm0", "vmovdqa ymm10, ymm0", "vmovdqa ymm11, ymm0",
                "vmovdqa ymm12, ymm0", "vmovdqa ymm13, ymm0", "vmovdqa ymm14, ymm0",
                "vmovdqa ymm15, ymm0",
                from = in(reg) pattern.as_ptr(),
                clobber_abi("sysv64"),
                options(nostack, readonly),
            );
        }
        work();
        // SAFETY: writes 16 times 16 bytes, as the array has.
        unsafe {
            asm!(
                "vextractf128 [{to}], ymm0, 1", "vextractf128 [{to} + 16], ymm1, 1",
                "vextractf128 [{to} + 32], ymm2, 1", "vextractf128 [{to} + 48], ymm3, 1",
                "vextractf128 [{to} + 64], ymm4, 1", "vextractf128 [{to} + 80], ymm5, 1",
                "vextractf128 [{to} + 96], ymm6, 1", "vextractf128 [{to} + 112], ymm7, 1",
                "vextractf128 [{to} + 128], ymm8, 1", "vextractf128 [{to} + 144], ymm9, 1",
                "vextractf128 [{to} + 160], ymm10, 1", "vextractf128 [{to} + 176], ymm11, 1",
                "vextractf128 [{to} + 192], ymm12, 1", "vextractf128 [{to} + 208], ymm13, 1",
                "vextractf128 [{to} + 224], ymm14, 1", "vextractf128 [{to} + 240], ymm15, 1",
                to = in(reg) found.as_mut_ptr(),
                options(nostack),
            );
        }
        found
    }

    /// The masks, where the processor has any.
    #[inline(never)]
    fn masks_after(work: fn()) -> [u32; 8] {
        use std::arch::asm;
        let mut found = [0_u32; 8];
        // SAFETY: says that it changes the registers.
        unsafe {
            asm!(
                "kmovw k0, {all:e}", "kmovw k1, {all:e}", "kmovw k2, {all:e}",
                "kmovw k3, {all:e}", "kmovw k4, {all:e}", "kmovw k5, {all:e}",
                "kmovw k6, {all:e}", "kmovw k7, {all:e}",
                all = in(reg) 0xffff_u32,
                clobber_abi("sysv64"),
                options(nostack, nomem),
            );
        }
        work();
        // SAFETY: writes eight words, as the array has, by way of a register that it names.
        unsafe {
            asm!(
                "kmovw {by:e}, k0", "mov [{to}], {by:e}",
                "kmovw {by:e}, k1", "mov [{to} + 4], {by:e}",
                "kmovw {by:e}, k2", "mov [{to} + 8], {by:e}",
                "kmovw {by:e}, k3", "mov [{to} + 12], {by:e}",
                "kmovw {by:e}, k4", "mov [{to} + 16], {by:e}",
                "kmovw {by:e}, k5", "mov [{to} + 20], {by:e}",
                "kmovw {by:e}, k6", "mov [{to} + 24], {by:e}",
                "kmovw {by:e}, k7", "mov [{to} + 28], {by:e}",
                to = in(reg) found.as_mut_ptr(),
                by = out(reg) _,
                options(nostack),
            );
        }
        found
    }

    #[test]
    fn nothing_is_left_in_the_upper_halves_or_the_masks() {
        if std::is_x86_feature_detected!("avx") {
            let untouched = upper_halves_after(|| {});
            assert!(untouched.contains(&[0xc3; 16]), "the test sees registers");
            assert_eq!(upper_halves_after(scrub), [[0; 16]; 16]);
        }
        if std::is_x86_feature_detected!("avx512f") {
            assert!(masks_after(|| {}).contains(&0xffff), "the test sees masks");
            assert_eq!(masks_after(scrub), [0; 8]);
        }
    }

    #[test]
    fn nothing_is_left_in_the_vector_registers() {
        let untouched = vectors_after(|| {});
        assert!(
            untouched.iter().filter(|each| **each == [0xc3; 16]).count() > 8,
            "the test sees registers"
        );
        // By itself, and after each call.
        installed();
        for scrub in [scrub, || through(|| ())] {
            assert!(!vectors_after(scrub).contains(&[0xc3; 16]));
        }
    }
}
