use nitride_protocol::KeyType;

use super::needles::Needles;
use super::snapshot::Region;
use super::{aes256_round_keys, ghash_key, hmac_sha256_states, sha512};

/// A key whose bytes the test knows, to be searched for in every form.
#[derive(Clone, Debug)]
pub struct Form<'a> {
    /// For the report.
    pub label: &'a str,
    /// What it is.
    pub key_type: KeyType,
    /// Its bytes, as `import` takes them.
    pub material: &'a [u8],
}

impl Form<'_> {
    /// The bytes themselves alone.
    #[must_use]
    pub fn raw(&self) -> Needles {
        let mut needles = Needles::default();
        needles.add(self.label, self.material);
        needles
    }

    /// Adds the bytes, and what the type's cipher makes of them.
    pub fn add_to(&self, needles: &mut Needles) {
        let Self {
            label, material, ..
        } = self;
        needles.add(label, material);
        match self.key_type {
            KeyType::HmacSha256 => {
                let (inner, outer) = hmac_sha256_states(material);
                needles.add_words(&format!("{label}: inner state"), &inner);
                needles.add_words(&format!("{label}: outer state"), &outer);
            }
            KeyType::Aes256Gcm | KeyType::Aes256GcmSiv => {
                let Ok(key) = <&[u8; 32]>::try_from(*material) else {
                    return;
                };
                for (round, round_key) in aes256_round_keys(key).iter().enumerate().skip(2) {
                    needles.add(&format!("{label}: round key {round}"), round_key);
                }
                needles.add(&format!("{label}: hash key"), &ghash_key(key));
            }
            KeyType::Ed25519 => {
                let expanded = sha512(material);
                let mut scalar = [0; 32];
                scalar.copy_from_slice(&expanded[..32]);
                needles.add(&format!("{label}: unclamped scalar"), &scalar);
                scalar[0] &= 248;
                scalar[31] = (scalar[31] & 127) | 64;
                needles.add(&format!("{label}: scalar"), &scalar);
                needles.add(&format!("{label}: prefix"), &expanded[32..]);
            }
            _ => {}
        }
    }
}

/// Every 32 bytes that could be a random key, at whatever address, since a record's secret follows
/// its public part: for finding one that the vault has made, by trying each.
pub fn candidates(regions: &[Region]) -> impl Iterator<Item = &[u8; 32]> {
    regions.iter().flat_map(|region| {
        let windows = region.bytes.windows(32);
        windows
            .filter_map(|window| window.first_chunk::<32>())
            .filter(|bytes| looks_random(bytes))
    })
}

/// 32 random bytes have 30 different values on average, and fewer than 20 in no lifetime.
fn looks_random(bytes: &[u8; 32]) -> bool {
    let mut seen = [false; 256];
    bytes
        .iter()
        .filter(|byte| !std::mem::replace(&mut seen[usize::from(**byte)], true))
        .count()
        >= 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_among_the_candidates_and_text_and_pointers_are_not() {
        let mut bytes = vec![0; 256];
        let key: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 37 % 251).unwrap());
        bytes[64..96].copy_from_slice(&key);
        bytes[128..136].copy_from_slice(&0x7f12_3456_7890_u64.to_ne_bytes());
        let region = Region {
            start: 0,
            name: String::new(),
            bytes,
        };
        let found: Vec<_> = candidates(std::slice::from_ref(&region)).collect();
        assert!(found.contains(&&key));
        // Those that overlap the key by twenty bytes and more, and none of the rest.
        assert!(found.len() <= 26, "{}", found.len());
    }

    #[test]
    fn a_form_of_a_cipher_is_found_without_the_key_itself() {
        let key: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 7 + 3).unwrap());
        let form = Form {
            label: "key",
            key_type: KeyType::Aes256Gcm,
            material: &key,
        };
        let mut needles = Needles::default();
        form.add_to(&mut needles);
        let round_key = aes256_round_keys(&key)[9];
        let found = needles.find(&[&[0; 5][..], &round_key, &[0; 5]].concat());
        assert_eq!(found, [(5, "key: round key 9[0..]".to_owned())]);
    }
}
