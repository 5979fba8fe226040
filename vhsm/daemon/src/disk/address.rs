/// The volume that an abstract client address asks for: `<hex>/cryptsetup[-…]/<volume>`
/// (crypttab(5), "AF_UNIX key files"). `None` for any other address.
///
/// Whoever binds the address chooses it: it selects and proves nothing.
pub(crate) fn volume(address: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(address).ok()?;
    let mut parts = text.split('/');
    let (salt, client, volume) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = !salt.is_empty() && salt.bytes().all(|byte| byte.is_ascii_hexdigit());
    let cryptsetup = client == "cryptsetup" || client.starts_with("cryptsetup-");
    let whole = parts.next().is_none() && !volume.is_empty();
    (hex && cryptsetup && whole).then_some(volume)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_systemd_cryptsetup_names_the_volume() {
        assert_eq!(volume(b"8f1c20d3a5e64b77/cryptsetup/root"), Some("root"));
        assert_eq!(
            volume(b"8f1c20d3a5e64b77/cryptsetup-tpm2/data.1"),
            Some("data.1")
        );
        assert_eq!(
            volume(b"8f1c20d3a5e64b77/cryptsetup-fido2-salt/root"),
            Some("root")
        );
    }

    #[test]
    fn other_addresses_name_nothing() {
        for address in [
            &b""[..],
            b"root",
            b"cryptsetup/root",
            b"xyz/cryptsetup/root",
            b"/cryptsetup/root",
            b"00/cryptsetup/",
            b"00/cryptsetup/a/b",
            b"00/cryptsetupx/root",
            b"00/other/root",
            b"00/cryptsetup/\xff",
        ] {
            assert_eq!(volume(address), None, "{address:?}");
        }
    }
}
