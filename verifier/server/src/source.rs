//! Where a connection comes from, as far as limits are counted by it.

use std::net::IpAddr;

/// An IPv4 address, or the half of an IPv6 address that one customer commonly has whole. Limits
/// are counted by it, since one machine there has more addresses than any table has rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    V4(u32),
    V6(u64),
}

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6(
                address
                    .octets()
                    .iter()
                    .take(8)
                    .fold(0, |bits, byte| bits << 8 | u64::from(*byte)),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn one_ipv6_network_is_one_source() {
        let network = |network, host| {
            Network::of(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host).into())
        };
        assert_eq!(network(1, 1), network(1, 9));
        assert_ne!(network(1, 1), network(2, 1));
    }

    #[test]
    fn a_mapped_ipv4_address_is_that_address() {
        let address = Ipv4Addr::new(10, 0, 0, 1);
        let mapped = address.to_ipv6_mapped();
        assert_eq!(Network::of(mapped.into()), Network::of(address.into()));
        assert_ne!(
            Network::of(address.into()),
            Network::of(Ipv4Addr::new(10, 0, 0, 2).into())
        );
    }
}
