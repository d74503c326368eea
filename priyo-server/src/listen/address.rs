//! Where a request comes from, also behind reverse proxies.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use priyo_core::model::ClientAddress;

/// The address of the client of a request, or `None` when it cannot be known.
///
/// Each of `trusted` proxies has added the address that it was asked from at the end of `X-Forwarded-For`, so the
/// client is so many places from the end, and what is further in front is anybody's word. Is the list shorter, the
/// request came past some of the proxies, and its first entry is still theirs.
pub(super) fn client(peer: SocketAddr, headers: &HeaderMap, trusted: u8) -> Option<ClientAddress> {
    if trusted == 0 {
        return Some(ClientAddress::of(peer.ip()));
    }
    let mut entries: Vec<&str> = Vec::new();
    for value in headers.get_all("x-forwarded-for") {
        entries.extend(value.to_str().ok()?.split(','));
    }
    let entry = entries.get(entries.len().saturating_sub(usize::from(trusted)))?;
    parse(entry.trim()).map(ClientAddress::of)
}

/// An address, alone or with a port: proxies write both.
fn parse(entry: &str) -> Option<IpAddr> {
    let bare = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    entry
        .parse()
        .ok()
        .or_else(bare)
        .or_else(|| entry.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a request through a proxy at 10.0.0.1 comes from, with these headers.
    fn from(forwarded: &[&str], trusted: u8) -> Option<ClientAddress> {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        client("10.0.0.1:5".parse().unwrap(), &headers, trusted)
    }

    fn address(text: &str) -> Option<ClientAddress> {
        Some(ClientAddress::of(text.parse().unwrap()))
    }

    #[test]
    fn without_a_trusted_proxy_the_header_is_only_a_word() {
        assert_eq!(from(&["192.0.2.1"], 0), address("10.0.0.1"));
        assert_eq!(from(&[], 0), address("10.0.0.1"));
    }

    #[test]
    fn what_the_trusted_proxies_added_counts_and_nothing_before_it() {
        assert_eq!(from(&["1.1.1.1, 192.0.2.1"], 1), address("192.0.2.1"));
        assert_eq!(from(&["1.1.1.1, 192.0.2.1, 10.0.0.2"], 2), address("192.0.2.1"));
        // Several lines are one list.
        assert_eq!(from(&["1.1.1.1", "192.0.2.1,10.0.0.2"], 2), address("192.0.2.1"));
        // Nonsense in front of it does no harm.
        assert_eq!(from(&["unknown, 192.0.2.1"], 1), address("192.0.2.1"));
        // It came past one of the two.
        assert_eq!(from(&["192.0.2.1"], 2), address("192.0.2.1"));
    }

    #[test]
    fn an_address_may_have_a_port_and_brackets() {
        for text in ["192.0.2.1:4711", " 192.0.2.1 "] {
            assert_eq!(from(&[text], 1), address("192.0.2.1"), "{text}");
        }
        for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711"] {
            assert_eq!(from(&[text], 1), address("2001:db8::2"), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_not_known() {
        for forwarded in [&[][..], &[""], &["unknown"], &["192.0.2.1, _hidden"], &["192.0.2.1,"]] {
            assert_eq!(from(forwarded, 1), None, "{forwarded:?}");
        }
    }
}
