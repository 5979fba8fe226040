//! KMAC256 (NIST SP 800-185, 4), for the one form that derives its key by it.

use cshake::CShake256;
use cshake::digest::{ExtendableOutput, Update, XofReader};
use zeroize::Zeroizing;

/// Bytes that Keccak takes in at once, at 256 bits of strength.
const RATE: usize = 136;

/// `KMAC256(key, message, 8 * N, "")`.
pub(super) fn kmac256<const N: usize>(key: &[u8], message: &[u8]) -> Zeroizing<[u8; N]> {
    let mut hash = CShake256::new_with_function_name(b"KMAC", b"");
    // bytepad(encode_string(key), 136).
    let (rate, rate_len) = encoded(RATE);
    let (bits, bits_len) = encoded(key.len().saturating_mul(8));
    let before = [&[rate_len], rate.as_slice(), &[bits_len], bits.as_slice()].concat();
    hash.update(&before);
    hash.update(key);
    let padding = (before.len() + key.len()).next_multiple_of(RATE) - before.len() - key.len();
    for _ in 0..padding {
        hash.update(&[0]);
    }
    hash.update(message);
    // right_encode(the output's bits).
    let (bits, bits_len) = encoded(N.saturating_mul(8));
    hash.update(&bits);
    hash.update(&[bits_len]);
    let mut out = Zeroizing::new([0; N]);
    hash.finalize_xof().read(out.as_mut_slice());
    out
}

/// A number's bytes, big-endian and at least one, and how many they are.
fn encoded(number: usize) -> (Vec<u8>, u8) {
    let bytes = number.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes: Vec<u8> = bytes.into_iter().skip(zeros.min(7)).collect();
    // A usize has at most eight.
    let len = u8::try_from(bytes.len()).unwrap_or(8);
    (bytes, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST's examples of KMAC: sample 4 has a customization, samples 5 and 6 a longer message;
    /// OpenSSL 3 gives these for key and message with none.
    #[test]
    fn outputs_are_those_of_a_second_implementation() {
        let key: Vec<u8> = (0x40..=0x5f).collect();
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        assert_eq!(
            hex(kmac256::<64>(&key, &(0..=0xc7).collect::<Vec<u8>>()).as_slice()),
            "75358cf39e41494e949707927cee0af20a3ff553904c86b08f21cc414bcfd691589d27cf5e15369cbbff8b9a4c2eb17800855d0235ff635da82533ec6b759b69"
        );
        assert_eq!(
            hex(kmac256::<24>(&[7; 32], b"").as_slice()),
            "af81447cea658dbdf925477e4e92b3e4f9fdbcd19d098ebb"
        );
        assert_eq!(
            hex(kmac256::<24>(&[7; 200], b"message").as_slice()),
            "3b188a9ad0012f86a64a709733e89b4957bd608157fa8eed"
        );
    }
}
