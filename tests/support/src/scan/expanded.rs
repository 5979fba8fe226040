//! What ciphers make of a key and keep beside it: written here a second time, slowly and plainly
//! (FIPS 197, FIPS 180-4, RFC 2104), since the point is to know what another implementation has
//! in memory.

use sha2::Digest;

/// The 15 round keys of AES-256 (FIPS 197, 5.2); the first two are the key itself.
#[must_use]
pub fn aes256_round_keys(key: &[u8; 32]) -> [[u8; 16]; 15] {
    let mut words = [[0_u8; 4]; 60];
    for (word, bytes) in words.iter_mut().zip(key.chunks_exact(4)) {
        word.copy_from_slice(bytes);
    }
    let mut round_constant = 1_u8;
    for index in 8..60 {
        let mut word = words[index - 1];
        if index % 8 == 0 {
            word.rotate_left(1);
            word = word.map(substitute);
            word[0] ^= round_constant;
            round_constant = double(round_constant);
        } else if index % 8 == 4 {
            word = word.map(substitute);
        }
        for (byte, earlier) in word.iter_mut().zip(words[index - 8]) {
            *byte ^= earlier;
        }
        words[index] = word;
    }
    let mut round_keys = [[0; 16]; 15];
    for (round_key, four) in round_keys.iter_mut().zip(words.chunks_exact(4)) {
        for (part, word) in round_key.chunks_exact_mut(4).zip(four) {
            part.copy_from_slice(word);
        }
    }
    round_keys
}

/// GCM's hash key: AES of the zero block (SP 800-38D, 7.1).
#[must_use]
pub fn ghash_key(key: &[u8; 32]) -> [u8; 16] {
    aes256_encrypt_block(key, &[0; 16])
}

/// AES-256 of one block (FIPS 197, 5.1).
#[must_use]
pub fn aes256_encrypt_block(key: &[u8; 32], block: &[u8; 16]) -> [u8; 16] {
    let round_keys = aes256_round_keys(key);
    let mut state: [u8; 16] = std::array::from_fn(|at| block[at] ^ round_keys[0][at]);
    for (round, round_key) in round_keys.iter().enumerate().skip(1) {
        state = state.map(substitute);
        state = shift_rows(&state);
        if round < 14 {
            state = mix_columns(&state);
        }
        for (byte, key_byte) in state.iter_mut().zip(round_key) {
            *byte ^= key_byte;
        }
    }
    state
}

fn shift_rows(state: &[u8; 16]) -> [u8; 16] {
    std::array::from_fn(|at| state[(at + 4 * (at % 4)) % 16])
}

fn mix_columns(state: &[u8; 16]) -> [u8; 16] {
    std::array::from_fn(|at| {
        let column = at / 4 * 4;
        let row = |step: usize| state[column + (at + step) % 4];
        double(row(0)) ^ double(row(1)) ^ row(1) ^ row(2) ^ row(3)
    })
}

/// Multiplication by x in GF(2^8).
const fn double(byte: u8) -> u8 {
    (byte << 1) ^ (if byte & 0x80 == 0 { 0 } else { 0x1b })
}

fn multiply(mut left: u8, mut right: u8) -> u8 {
    let mut product = 0;
    while right != 0 {
        if right & 1 == 1 {
            product ^= left;
        }
        left = double(left);
        right >>= 1;
    }
    product
}

/// The S-box (FIPS 197, 5.1.1): the inverse, which is the 254th power, then an affine map.
fn substitute(byte: u8) -> u8 {
    let mut inverse = 1;
    for _ in 0..254 {
        inverse = multiply(inverse, byte);
    }
    inverse
        ^ inverse.rotate_left(1)
        ^ inverse.rotate_left(2)
        ^ inverse.rotate_left(3)
        ^ inverse.rotate_left(4)
        ^ 0x63
}

/// HMAC-SHA-256's inner and outer states after the padded key: who has them can make tags.
#[must_use]
pub fn hmac_sha256_states(key: &[u8]) -> ([u32; 8], [u32; 8]) {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&sha2::Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let state_after = |pad: u8| {
        let mut state = [
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ];
        sha2::block_api::compress256(&mut state, &[block.map(|byte| byte ^ pad)]);
        state
    };
    (state_after(0x36), state_after(0x5c))
}

/// What Ed25519 expands its seed to (RFC 8032, 5.1.5): scalar, before clamping, and prefix.
#[must_use]
pub fn sha512(seed: &[u8]) -> [u8; 64] {
    sha2::Sha512::digest(seed).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect()
    }

    /// FIPS 197, A.3.
    #[test]
    fn the_schedule_is_the_one_of_the_standard() {
        let key = hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
        let round_keys = aes256_round_keys(&key.try_into().unwrap());
        assert_eq!(
            round_keys[2].to_vec(),
            hex("9ba354118e6925afa51a8b5f2067fcde")
        );
        assert_eq!(
            round_keys[14].to_vec(),
            hex("fe4890d1e6188d0b046df344706c631e")
        );
    }

    /// The GCM specification's test case 13: a key of zeros.
    #[test]
    fn the_hash_key_is_the_one_of_the_test_case() {
        assert_eq!(
            ghash_key(&[0; 32]).to_vec(),
            hex("dc95c078a2408989ad48a21492842087")
        );
    }

    /// RFC 4231, test case 2, finished from the states.
    #[test]
    fn a_tag_can_be_made_from_the_states_alone() {
        let (mut inner, mut outer) = hmac_sha256_states(b"Jefe");
        let finish = |state: &mut [u32; 8], data: &[u8]| -> Vec<u8> {
            let mut block = [0_u8; 64];
            block[..data.len()].copy_from_slice(data);
            block[data.len()] = 0x80;
            block[56..].copy_from_slice(&((64 + data.len() as u64) * 8).to_be_bytes());
            sha2::block_api::compress256(state, &[block]);
            state.iter().flat_map(|word| word.to_be_bytes()).collect()
        };
        let digest = finish(&mut inner, b"what do ya want for nothing?");
        assert_eq!(
            finish(&mut outer, &digest),
            hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        );
    }
}
