use std::fmt;

/// What an abstract client address asks for: `<hex>/unit/<unit>/<credential>` (systemd.exec(5)).
///
/// Whoever binds the address chooses it: it selects and proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    /// The unit that is being started.
    pub(crate) unit: &'a str,
    /// The credential's name.
    pub(crate) name: &'a str,
}

impl<'a> Asked<'a> {
    /// `None` for any other address.
    pub(crate) fn of(address: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(address).ok()?;
        let mut parts = text.split('/');
        let (salt, client) = (parts.next()?, parts.next()?);
        let (unit, name) = (parts.next()?, parts.next()?);
        let hex = !salt.is_empty() && salt.bytes().all(|byte| byte.is_ascii_hexdigit());
        let printed = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic());
        let whole = parts.next().is_none() && printed(unit) && printed(name);
        (hex && client == "unit" && whole).then_some(Self { unit, name })
    }
}

/// As the audit calls it.
impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "credential {} of {}", self.name, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_the_service_manager_names_unit_and_credential() {
        let asked = Asked::of(b"6f3a9995c93f47e4/unit/web@one.service/db-password").unwrap();
        assert_eq!(asked.unit, "web@one.service");
        assert_eq!(asked.name, "db-password");
        assert_eq!(
            asked.to_string(),
            "credential db-password of web@one.service"
        );
        // It is printed without leading zeros.
        assert!(Asked::of(b"f/unit/a.service/b").is_some());
    }

    #[test]
    fn other_addresses_ask_for_nothing() {
        for address in [
            &b""[..],
            b"db.service",
            b"unit/db.service/password",
            b"xyz/unit/db.service/password",
            b"/unit/db.service/password",
            b"00/unit/db.service/",
            b"00/unit//password",
            b"00/unit/db.service",
            b"00/unit/db.service/a/b",
            b"00/units/db.service/password",
            b"00/cryptsetup/db.service/password",
            b"00/unit/db.service/pass\nword",
            b"00/unit/db.service/pass word",
            b"00/unit/db.service/\xff",
            b"00/unit/db.service/password\0",
        ] {
            assert_eq!(Asked::of(address), None, "{address:?}");
        }
    }

    #[test]
    fn what_is_read_is_what_was_written_and_nothing_more() {
        let whole = b"6f3a/unit/db.service/password";
        for at in 0..whole.len() {
            for byte in 0..=u8::MAX {
                let mut address = whole.to_vec();
                address[at] = byte;
                for address in [&address[..], &address[..at], &address[at..]] {
                    if let Some(Asked { unit, name }) = Asked::of(address) {
                        let salt = address.split(|byte| *byte == b'/').next().unwrap();
                        let parts = [salt, b"unit", unit.as_bytes(), name.as_bytes()];
                        assert_eq!(parts.join(&b'/'), address);
                    }
                }
            }
        }
    }
}
