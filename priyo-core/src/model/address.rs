//! Where a client is.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The network that a client's requests come from, as far as it counts as one: an IPv4 address, or an IPv6 /64,
/// which is what one subscriber has.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// What this address counts as.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl ClientAddress {
    /// The network in words: `192.0.2.1`, or `2001:db8::/64`. For where it is meant to be read, as the audit log.
    #[must_use]
    pub fn to_text(self) -> String {
        match self.0 {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("{v6}/64"),
        }
    }
}

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self::of(address)
    }
}

impl fmt::Debug for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No address: debug output ends up in logs.
        f.write_str("ClientAddress")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subscriber_is_one_address() {
        let address = |text: &str| ClientAddress::of(text.parse().unwrap());
        assert!(address("2001:db8::1") == address("2001:db8::ffff:2"));
        assert!(address("2001:db8::1") != address("2001:db8:0:1::1"));
        assert!(address("::ffff:192.0.2.1") == address("192.0.2.1"));
        assert!(address("192.0.2.1") != address("192.0.2.2"));
        assert_eq!(address("::ffff:192.0.2.1").to_text(), "192.0.2.1");
        assert_eq!(address("2001:db8::1").to_text(), "2001:db8::/64");
    }
}
