//! Whether a table has every block of a mapping be what a root hash says (Linux
//! Documentation/admin-guide/device-mapper/verity.rst).

use crate::device_mapper::Target;
use thiserror::Error;

/// Digits of the shortest root hash that is one: SHA-256's.
const MIN_HASH_LEN: usize = 64;
/// What a table may say beside: what becomes of a machine that meets a wrong block, blocks that are
/// known to be zero, how they are computed.
const HARMLESS: [&str; 6] = [
    "restart_on_corruption",
    "panic_on_corruption",
    "restart_on_error",
    "panic_on_error",
    "ignore_zero_blocks",
    "try_verify_in_tasklet",
];
/// And with a value: whose signature the root hash had to bear, and where blocks are repaired from, which
/// are verified as all are.
const WITH_VALUE: [&str; 5] = [
    "root_hash_sig_key_desc",
    "use_fec_from_device",
    "fec_blocks",
    "fec_start",
    "fec_roots",
];

/// Why a table protects nothing.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum VerityFault {
    #[error("it is not dm-verity alone")]
    Other,
    #[error("its table is not of the form that is known")]
    Form,
    #[error("its table says {word:?}, by which a wrong block is read, or which is not known")]
    Option { word: String },
    #[error("its root hash is {found}, which `root-hash` does not name")]
    RootHash { found: String },
}

/// That the table is dm-verity's over all of the mapping, by one of the root hashes where any is `wanted`.
pub(super) fn check(table: &[Target], wanted: &[String]) -> Result<(), VerityFault> {
    let [target] = table else {
        return Err(VerityFault::Other);
    };
    if target.kind != "verity" || target.start != 0 {
        return Err(VerityFault::Other);
    }
    // Version, data, hashes, their block sizes, blocks, where hashes begin, algorithm, root hash, salt.
    let mut words = target.parameters.split(' ').filter(|word| !word.is_empty());
    let found = words.nth(8).ok_or(VerityFault::Form)?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if found.len() < MIN_HASH_LEN || !found.bytes().all(is_digit) {
        return Err(VerityFault::Form);
    }
    words.next().ok_or(VerityFault::Form)?;
    check_options(words)?;
    match wanted.is_empty() || wanted.iter().any(|hash| hash == found) {
        true => Ok(()),
        false => Err(VerityFault::RootHash {
            found: found.to_owned(),
        }),
    }
}

/// `ignore_corruption` has wrong blocks read, and `check_at_most_once` those that come after a right one.
fn check_options(words: impl Iterator<Item = impl AsRef<str>>) -> Result<(), VerityFault> {
    let words: Vec<_> = words.collect();
    let mut words = words.iter().map(AsRef::as_ref);
    let Some(count) = words.next() else {
        return Ok(());
    };
    if count.parse() != Ok(words.len()) {
        return Err(VerityFault::Form);
    }
    while let Some(word) = words.next() {
        let has_value = WITH_VALUE.contains(&word);
        if !has_value && !HARMLESS.contains(&word) {
            return Err(VerityFault::Option {
                word: word.to_owned(),
            });
        }
        if has_value && words.next().is_none() {
            return Err(VerityFault::Form);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "6b5a6f8a1c0d2e3f4a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9fa0b1";

    fn table(options: &str) -> Vec<Target> {
        vec![Target {
            start: 0,
            kind: "verity".to_owned(),
            parameters: format!("1 8:2 8:3 4096 4096 179200 1 sha256 {HASH} 0a1b{options}"),
        }]
    }

    #[test]
    fn a_table_of_dm_verity_alone_is_verity() {
        for options in [
            "",
            " 1 ignore_zero_blocks",
            " 2 panic_on_corruption try_verify_in_tasklet",
            " 9 use_fec_from_device 8:4 fec_blocks 9 fec_start 1 fec_roots 2 restart_on_corruption",
            " 2 root_hash_sig_key_desc owner",
        ] {
            assert_eq!(check(&table(options), &[]), Ok(()), "{options}");
        }
        let mut two = table("");
        two.extend(table(""));
        let mut other = table("");
        other[0].kind = "linear".to_owned();
        let mut later = table("");
        later[0].start = 8;
        for table in [vec![], two, other, later] {
            assert_eq!(check(&table, &[]), Err(VerityFault::Other));
        }
    }

    #[test]
    fn a_table_by_which_wrong_blocks_are_read_protects_nothing() {
        for (options, word) in [
            (" 1 ignore_corruption", "ignore_corruption"),
            (" 1 check_at_most_once", "check_at_most_once"),
            (" 2 ignore_zero_blocks of_tomorrow", "of_tomorrow"),
        ] {
            let word = word.to_owned();
            let refused = check(&table(options), &[]);
            assert_eq!(refused, Err(VerityFault::Option { word }));
        }
        for options in [
            " 2 ignore_zero_blocks",
            " x",
            " 1 fec_roots",
            " 0 fec_roots 2",
        ] {
            let refused = check(&table(options), &[]);
            assert_eq!(refused, Err(VerityFault::Form), "{options}");
        }
    }

    #[test]
    fn another_root_hash_than_is_named_is_none() {
        let (own, other) = (HASH.to_owned(), HASH.replace('6', "7"));
        assert_eq!(check(&table(""), &[other.clone(), own]), Ok(()));
        let found = HASH.to_owned();
        let refused = check(&table(""), &[other]);
        assert_eq!(refused, Err(VerityFault::RootHash { found }));
    }

    #[test]
    fn a_root_hash_that_is_short_or_none_is_none() {
        for (from, to) in [(HASH, &HASH[..40]), (HASH, "-"), (" 0a1b", ""), (HASH, "G")] {
            let mut table = table("");
            table[0].parameters = table[0].parameters.replace(from, to);
            assert_eq!(check(&table, &[]), Err(VerityFault::Form), "{to}");
        }
    }
}
