//! Calls with everything that most tests do not care about.

use super::world::name;
use nitride_protocol::admin::Import;
use nitride_protocol::application::{
    Agree, Child, Decapsulate, Decrypt, Derive, Encapsulate, Encrypt, Generate, Mac, Sign, Unwrap,
    Verify, Wrap,
};
use nitride_protocol::{KeyType, MaterialFormat, SignScheme};

pub(crate) fn generate(key: &str, key_type: KeyType) -> Generate<'_> {
    Generate {
        key: name(key),
        key_type,
        operations: None,
        wrappable_by: Vec::new(),
    }
}

pub(crate) fn import<'a>(key: &'a str, key_type: KeyType, material: &'a [u8]) -> Import<'a> {
    Import {
        key: name(key),
        key_type,
        operations: None,
        material,
        format: MaterialFormat::Raw,
        wrapping_key: None,
        wrappable_by: Vec::new(),
    }
}

pub(crate) fn sign<'a>(key: &'a str, scheme: Option<SignScheme>, message: &'a [u8]) -> Sign<'a> {
    Sign {
        key: name(key),
        scheme,
        message,
        prehashed: false,
    }
}

pub(crate) fn verify<'a>(
    key: &'a str,
    scheme: Option<SignScheme>,
    message: &'a [u8],
    signature: &'a [u8],
) -> Verify<'a> {
    Verify {
        key: name(key),
        version: None,
        scheme,
        message,
        prehashed: false,
        signature,
    }
}

pub(crate) fn encrypt<'a>(key: &'a str, plaintext: &'a [u8], aad: &'a [u8]) -> Encrypt<'a> {
    Encrypt {
        key: name(key),
        scheme: None,
        plaintext,
        aad,
    }
}

pub(crate) fn decrypt<'a>(key: &'a str, ciphertext: &'a [u8], aad: &'a [u8]) -> Decrypt<'a> {
    Decrypt {
        key: name(key),
        version: None,
        scheme: None,
        ciphertext,
        aad,
        nonce: None,
    }
}

pub(crate) fn mac<'a>(key: &'a str, data: &'a [u8]) -> Mac<'a> {
    Mac {
        key: name(key),
        data,
    }
}

pub(crate) fn wrap<'a>(wrapping_key: &'a str, key: &'a str) -> Wrap<'a> {
    Wrap {
        wrapping_key: name(wrapping_key),
        key: name(key),
        version: None,
    }
}

pub(crate) fn unwrap<'a>(
    wrapping_key: &'a str,
    wrapped: &'a [u8],
    new_key: &'a str,
    key_type: KeyType,
) -> Unwrap<'a> {
    Unwrap {
        wrapping_key: name(wrapping_key),
        wrapped,
        new_key: name(new_key),
        key_type,
    }
}

fn child(new_key: &str, key_type: KeyType) -> Child<'_> {
    Child {
        name: name(new_key),
        key_type,
        operations: None,
        info: b"",
    }
}

pub(crate) fn derive<'a>(key: &'a str, new_key: &'a str, key_type: KeyType) -> Derive<'a> {
    Derive {
        key: name(key),
        version: None,
        child: child(new_key, key_type),
        salt: b"",
    }
}

pub(crate) fn agree<'a>(
    key: &'a str,
    peer_public: &'a [u8],
    new_key: &'a str,
    key_type: KeyType,
) -> Agree<'a> {
    Agree {
        key: name(key),
        version: None,
        peer_public,
        child: child(new_key, key_type),
        salt: b"",
    }
}

pub(crate) fn encapsulate<'a>(
    key: &'a str,
    new_key: &'a str,
    key_type: KeyType,
) -> Encapsulate<'a> {
    Encapsulate {
        key: name(key),
        version: None,
        child: child(new_key, key_type),
    }
}

pub(crate) fn decapsulate<'a>(
    key: &'a str,
    ciphertext: &'a [u8],
    new_key: &'a str,
    key_type: KeyType,
) -> Decapsulate<'a> {
    Decapsulate {
        key: name(key),
        version: None,
        ciphertext,
        child: child(new_key, key_type),
    }
}
