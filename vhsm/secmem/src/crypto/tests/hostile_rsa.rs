//! RSA keys that AWS-LC takes and no vault may.

use super::files::{file, value};
use crate::crypto::{CryptoError, KeyAlgorithm, Rsa, RsaSize, parse_pkcs8};
use crate::stacks::{STACK_LEN, deepest_of};
use crate::testing::installed;
use aws_lc_sys::{BIGNUM, BN_CTX};
use std::ptr::{null, null_mut};

const SIZE: RsaSize = RsaSize::Bits2048;

/// Numbers of one test, freed with it.
struct Numbers {
    context: *mut BN_CTX,
    made: Vec<*mut BIGNUM>,
}

impl Numbers {
    fn new() -> Self {
        // SAFETY: the constructor takes nothing.
        let context = unsafe { aws_lc_sys::BN_CTX_new() };
        let made = Vec::new();
        Self { context, made }
    }

    fn number(&mut self, write: impl FnOnce(*mut BIGNUM, *mut BN_CTX) -> i32) -> *mut BIGNUM {
        // SAFETY: the constructor takes nothing.
        let number = unsafe { aws_lc_sys::BN_new() };
        self.made.push(number);
        assert_eq!(write(number, self.context), 1);
        number
    }

    fn prime(&mut self, bits: i32) -> *mut BIGNUM {
        // SAFETY: the number is live; no further conditions, no callback.
        self.number(|out, _| unsafe {
            aws_lc_sys::BN_generate_prime_ex(out, bits, 0, null(), null(), null_mut())
        })
    }

    fn less_one(&mut self, number: *const BIGNUM) -> *mut BIGNUM {
        // SAFETY: both numbers are live.
        self.number(|out, _| unsafe { aws_lc_sys::BN_sub(out, number, aws_lc_sys::BN_value_one()) })
    }

    fn product(&mut self, one: *const BIGNUM, other: *const BIGNUM) -> *mut BIGNUM {
        // SAFETY: all are live.
        self.number(|out, context| unsafe { aws_lc_sys::BN_mul(out, one, other, context) })
    }

    fn inverse(&mut self, number: *const BIGNUM, modulus: *const BIGNUM) -> *mut BIGNUM {
        // SAFETY: all are live; the result goes to the number that is given.
        self.number(|out, context| unsafe {
            i32::from(!aws_lc_sys::BN_mod_inverse(out, number, modulus, context).is_null())
        })
    }

    fn rest(&mut self, number: *const BIGNUM, modulus: *const BIGNUM) -> *mut BIGNUM {
        // SAFETY: all are live; the quotient is not asked for.
        self.number(|out, context| unsafe {
            aws_lc_sys::BN_div(null_mut(), out, number, modulus, context)
        })
    }

    fn word(&mut self, word: u64) -> *mut BIGNUM {
        // SAFETY: the number is live.
        self.number(|out, _| unsafe { aws_lc_sys::BN_set_word(out, word) })
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        // SAFETY: each was made here and is freed once.
        unsafe {
            for number in &self.made {
                aws_lc_sys::BN_free(*number);
            }
            aws_lc_sys::BN_CTX_free(self.context);
        }
    }
}

/// A number as DER, positive and in its shortest form.
fn integer(number: *const BIGNUM) -> Vec<u8> {
    // SAFETY: the number is live, and the vector as long as it.
    let digits = unsafe {
        let mut digits = vec![0; aws_lc_sys::BN_num_bytes(number) as usize];
        aws_lc_sys::BN_bn2bin(number, digits.as_mut_ptr());
        digits
    };
    let sign: &[u8] = match digits.first() {
        Some(0..=0x7f) => &[],
        _ => &[0],
    };
    value(2, &[sign, &digits])
}

/// A file with these numbers after the version.
fn file_of(numbers: &[Vec<u8>]) -> Vec<u8> {
    let numbers = numbers.concat();
    file(
        KeyAlgorithm::Rsa,
        &value(0x30, &[&[2, 1, 0], &numbers]),
        None,
    )
}

/// A key with factors of these lengths, all of whose numbers fit each other.
fn key_of(bits: [i32; 2]) -> Vec<u8> {
    let mut made = Numbers::new();
    let exponent = made.word(65_537);
    loop {
        let [p, q] = bits.map(|bits| made.prime(bits));
        let n = made.product(p, q);
        // SAFETY: the number is live.
        if unsafe { aws_lc_sys::BN_num_bits(n) } != 2048 {
            continue;
        }
        let [p_less, q_less] = [p, q].map(|prime| made.less_one(prime));
        let order = made.product(p_less, q_less);
        let d = made.inverse(exponent, order);
        let (dp, dq) = (made.rest(d, p_less), made.rest(d, q_less));
        let coefficient = made.inverse(q, p);
        let numbers = [n, exponent, d, p, q, dp, dq, coefficient];
        return file_of(&numbers.map(|number| integer(number)));
    }
}

#[test]
fn a_key_stripped_of_all_but_its_private_exponent_is_refused() {
    installed();
    let whole = Rsa::generate(SIZE).unwrap().pkcs8().unwrap();
    let inner = parse_pkcs8(whole.expose()).unwrap().secret;
    // Version, modulus, exponent and private exponent; the heads have four bytes each.
    let modulus = inner[7..7 + 4 + 257].to_vec();
    let zero = vec![2, 1, 0];
    let stripped: Vec<_> = [modulus.clone(), zero.clone(), modulus]
        .into_iter()
        .chain(vec![zero; 5])
        .collect();
    assert_eq!(
        Rsa::from_pkcs8(SIZE, &file_of(&stripped)).unwrap_err(),
        CryptoError::InvalidKey
    );
}

#[test]
fn factors_of_different_lengths_are_refused() {
    installed();
    assert!(Rsa::from_pkcs8(SIZE, &key_of([1024, 1024])).is_ok());
    for bits in [[1000, 1048], [1048, 1000], [64, 1984], [1984, 64]] {
        let refused = Rsa::from_pkcs8(SIZE, &key_of(bits)).unwrap_err();
        assert_eq!(refused, CryptoError::InvalidKey, "{bits:?}");
    }
}

#[test]
fn numbers_as_long_as_a_file_allows_go_no_deeper_than_a_stack() {
    installed();
    let longest = |len: usize| value(2, &[&vec![0x7f; len]]);
    let short = vec![2, 1, 3];
    for lens in [[2000, 5, 5000, 400, 400], [256, 3, 7000, 128, 128]] {
        let mut numbers: Vec<_> = lens.map(longest).into();
        numbers.extend(vec![short.clone(); 3]);
        let file = file_of(&numbers);
        let depth = deepest_of(|| assert!(Rsa::from_pkcs8(SIZE, &file).is_err()));
        assert!((512..STACK_LEN / 2).contains(&depth), "{depth}");
    }
}
