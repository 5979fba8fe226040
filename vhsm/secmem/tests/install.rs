//! Setting up: once, in full, or not at all with a reason. Each case is a process of its own.

#![expect(
    unsafe_code,
    clippy::unwrap_used,
    reason = "limits and identities of a process are changed by libc; a test fails by panicking"
)]

use nitride_secmem::crypto::{
    AeadAlgorithm, AeadKey, CryptoError, EcP256, Ed25519, HmacSha256, aes256_key_unwrap,
    fill_random, sha256,
};
use nitride_secmem::{
    ArenaFull, ArenaSizes, Backing, BackingChoice, InstallError, MIN_HEAP_LEN, MIN_RECORDS_LEN,
    Record, SecretBuf, arena_ranges, install, usage,
};
use std::process::Command;

const MIB: usize = 1 << 20;

const BOTH: ArenaSizes = ArenaSizes {
    records_len: 3 * MIB,
    records_max_len: 3 * MIB,
    heap_len: 3 * MIB,
};

/// Runs `test` again in a child, where `body` runs instead.
fn in_own_process(test: &str, body: impl FnOnce()) {
    const MARK: &str = "NITRIDE_SECMEM_CHILD";
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Becomes a user without privileges who may lock `len` bytes.
fn become_ordinary(len: usize) {
    let limit = libc::rlimit {
        rlim_cur: len.try_into().unwrap(),
        rlim_max: len.try_into().unwrap(),
    };
    // SAFETY: reads the struct that we pass by pointer; the rest takes integers.
    unsafe {
        assert_eq!(libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit), 0);
        if libc::geteuid() == 0 {
            assert_eq!(libc::setresgid(65_534, 65_534, 65_534), 0);
            assert_eq!(libc::setresuid(65_534, 65_534, 65_534), 0);
        }
    }
}

fn prove_it_works() {
    let key = EcP256::generate().unwrap();
    key.sign(b"message").unwrap();
    let record = Record::new(b"secret").unwrap();
    assert_eq!(record.expose(), b"secret");
}

#[test]
fn three_and_three_mib_fit_an_ordinary_user() {
    in_own_process("three_and_three_mib_fit_an_ordinary_user", || {
        become_ordinary(8 * MIB);
        let installed = install(BOTH, BackingChoice::Best, Vec::new()).unwrap();
        println!("backing: {}", installed.backing().as_str());
        let usage = usage();
        assert_eq!(usage.records_size, 3 * MIB);
        assert_eq!(usage.heap_size, 3 * MIB);
        assert_eq!(usage.records_used, 0);
        assert_eq!(arena_ranges().len(), 2);
        prove_it_works();
    });
}

#[test]
fn locked_memory_serves_where_memfd_secret_is_not_wanted() {
    in_own_process(
        "locked_memory_serves_where_memfd_secret_is_not_wanted",
        || {
            become_ordinary(8 * MIB);
            let installed = install(BOTH, BackingChoice::LockedOnly, Vec::new()).unwrap();
            assert_eq!(installed.backing(), Backing::Locked);
            assert_eq!(installed.backing().as_str(), "locked");
            prove_it_works();
        },
    );
}

#[test]
fn a_limit_too_low_is_refused_with_its_remedy() {
    in_own_process("a_limit_too_low_is_refused_with_its_remedy", || {
        become_ordinary(4 * MIB);
        for choice in [BackingChoice::Best, BackingChoice::LockedOnly] {
            let error = install(BOTH, choice, Vec::new()).unwrap_err();
            assert!(matches!(error, InstallError::NotLockable { .. }));
            let text = error.to_string();
            for part in [
                "records arena",
                "os error",
                "RLIMIT_MEMLOCK is 4194304 bytes",
                "at least 6291456 bytes",
                "LimitMEMLOCK=",
                "CAP_IPC_LOCK",
            ] {
                assert!(text.contains(part), "{part:?} in {text:?}");
            }
        }
        // Nothing was half installed: what fits may still be.
        assert_eq!(arena_ranges(), []);
        let smaller = ArenaSizes {
            records_len: MIB,
            records_max_len: MIB,
            heap_len: 2 * MIB,
        };
        install(smaller, BackingChoice::Best, Vec::new()).unwrap();
        prove_it_works();
    });
}

#[test]
fn a_second_call_is_refused() {
    in_own_process("a_second_call_is_refused", || {
        install(BOTH, BackingChoice::Best, Vec::new()).unwrap();
        let ranges = arena_ranges();
        assert!(matches!(
            install(BOTH, BackingChoice::Best, Vec::new()),
            Err(InstallError::AlreadyInstalled)
        ));
        assert_eq!(arena_ranges(), ranges);
        prove_it_works();
    });
}

#[test]
fn sizes_that_cannot_work_are_refused() {
    in_own_process("sizes_that_cannot_work_are_refused", || {
        for (records_len, heap_len, arena) in [
            (0, MIB, "records"),
            (MIN_RECORDS_LEN - 4096, MIB, "records"),
            (MIN_RECORDS_LEN + 1, MIB, "records"),
            (MIB, 0, "heap"),
            (MIB, MIN_HEAP_LEN - 4096, "heap"),
            (MIB, MIB + 1, "heap"),
        ] {
            let sizes = ArenaSizes {
                records_len,
                records_max_len: records_len,
                heap_len,
            };
            let error = install(sizes, BackingChoice::Best, Vec::new()).unwrap_err();
            assert!(matches!(error, InstallError::BadSize { .. }));
            assert!(error.to_string().starts_with(arena), "{error}");
        }
    });
}

#[test]
fn the_smallest_arenas_work() {
    in_own_process("the_smallest_arenas_work", || {
        let sizes = ArenaSizes {
            records_len: MIN_RECORDS_LEN,
            records_max_len: MIN_RECORDS_LEN,
            heap_len: MIN_HEAP_LEN,
        };
        install(sizes, BackingChoice::Best, Vec::new()).unwrap();
        println!("{:?}", usage());
        prove_it_works();
    });
}

#[test]
fn without_arenas_there_are_no_secrets() {
    in_own_process("without_arenas_there_are_no_secrets", || {
        assert_eq!(SecretBuf::with_len(1).unwrap_err(), ArenaFull);
        assert_eq!(Record::new(b"secret").unwrap_err(), ArenaFull);
        let refusal = CryptoError::NotInstalled;
        assert_eq!(EcP256::generate().unwrap_err(), refusal);
        assert_eq!(EcP256::from_scalar(&[1; 32]).unwrap_err(), refusal);
        assert_eq!(HmacSha256::new(&[1; 32]).unwrap_err(), refusal);
        let key = AeadKey::new(AeadAlgorithm::Aes256Gcm, &[1; 32]);
        assert_eq!(key.unwrap_err(), refusal);
        assert!(Ed25519::generate().is_err());
        assert!(aes256_key_unwrap(&[1; 32], &[1; 40]).is_err());
        // What needs no arena works; the library was not made to allocate by it.
        let mut bytes = [0; 32];
        fill_random(&mut bytes);
        assert_ne!(bytes, [0; 32]);
        assert_ne!(sha256(&[b"public"]), [0; 32]);
        assert_eq!(usage().heap_size, 0);
        install(BOTH, BackingChoice::Best, Vec::new()).unwrap();
        prove_it_works();
    });
}
