use nitride_secmem::{ArenaSizes, BackingChoice, SecretBuf, install};
use nitride_vault::policy::PolicySet;
use nitride_vault::seal::{Generation, Head, Platform, SealFault, SealingKey};
use nitride_vault::{Draw, Now, Vault, VaultLimits};
use std::sync::Once;

/// Not what the seeds were sealed under.
const PART: [u8; 32] = [8; 32];
const NOW: Now = Now {
    boot_ms: 1_000_000,
    wall_secs: 1_800_000_000,
};

/// Bytes that repeat in each run.
struct Counted(u64);

impl Draw for Counted {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = (self.0 >> 56) as u8;
        }
    }
}

/// The seal: a head as it is read, and the items of a file that is genuine, by whoever has its key.
pub fn seal(data: &[u8]) {
    static ARENAS: Once = Once::new();
    ARENAS.call_once(|| {
        let sizes = ArenaSizes {
            records_len: 1 << 20,
            records_max_len: 1 << 20,
            heap_len: 4 << 20,
        };
        install(sizes, BackingChoice::Best, Vec::new()).expect("the arenas can be made");
    });
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    match first % 2 {
        0 => head(rest),
        _ => items(rest),
    }
}

/// What is a head has one spelling. What follows it opens under no key that is known here.
fn head(data: &[u8]) {
    let Ok((head, len)) = Head::parse(data) else {
        return;
    };
    let (again, again_len) = Head::parse(&data[..len]).expect("a head ends where it ends");
    assert_eq!((&again, again_len), (&head, len));
    let mut draw = Counted(7);
    let vault = empty_vault();
    let Ok(key) = key(&vault, &head) else {
        return;
    };
    let refused = vault.unseal(&head, &[key], data, NOW, &mut draw);
    assert!(matches!(
        refused,
        Err(SealFault::NotGenuine | SealFault::Cut)
    ));
}

/// What is taken can be sealed and taken again.
fn items(data: &[u8]) {
    let mut draw = Counted(7);
    let vault = empty_vault();
    let head = new_head(&mut draw);
    let Ok(sealing) = key(&vault, &head) else {
        return;
    };
    let file = sealing.seal_anything(&head, data).expect("it fits");
    let Ok(keys) = vault.unseal(&head, &[sealing], &file, NOW, &mut draw) else {
        return;
    };
    // No rule speaks of them, so the next file has none.
    let head = new_head(&mut draw);
    let sealing = key(&vault, &head).expect("the arenas have room");
    let sealed = vault.seal(&head, &sealing, NOW).expect("it fits");
    assert_eq!(sealed.keys, 0);
    let again = vault.unseal(&head, &[sealing], &sealed.file, NOW, &mut draw);
    assert_eq!(again, Ok(0), "of {keys} keys");
}

fn empty_vault() -> Vault {
    let limits = VaultLimits {
        keys: 100,
        keys_per_uid: 100,
        expanded_len: 256 << 10,
    };
    let policy = PolicySet::default();
    let (vault, _) = Vault::new(policy, limits, Vec::new()).expect("an empty vault");
    vault
}

fn new_head(draw: &mut dyn Draw) -> Head {
    let params = vec![1, 2];
    Head::new(Platform::Sample, params, None, Generation::NONE, draw).expect("short params")
}

fn key(vault: &Vault, head: &Head) -> Result<SealingKey, SealFault> {
    let part = SecretBuf::copy_of(&PART).expect("the arenas have room");
    vault.sealing_key(head, &part)
}
