//! Whose request it is, behind proxies, and how an address is written.
//!
//! Each proxy appends the address it was called from, so a list is read from its right end, and only as
//! far as the addresses are those of proxies that we trust:
//!
//! ```text
//! X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.2      socket 10.0.0.1      trusted 10.0.0.0/8
//!                  anybody's claim  ▲ client    ◀── trusted ◀────── trusted
//! ```
//!
//! Invariant: with no trusted proxy, no header has any effect.

use angarium_base::Result;
use http::{HeaderMap, HeaderName, header::FORWARDED};
use ipnet::IpNet;
use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4},
};

angarium_base::codes! {
    /// An entry of the trusted proxies is not an address, a network (`10.0.0.0/8`), `loopback` or `private`.
    TRUSTED_PROXY = "trusted_proxy": Invalid;
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

const LOOPBACK: &[&str] = &["127.0.0.0/8", "::1/128"];
/// RFC 1918 and RFC 4193. Carriers' shared space (RFC 6598) is not ours to trust.
const PRIVATE: &[&str] = &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/// The networks whose word on the client's address is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads addresses, networks (`10.0.0.0/8`, `fd00::/8`) and the words `loopback` and `private`.
    ///
    /// # Errors
    /// `trusted_proxy`, naming the entry that is none of these.
    pub fn parse(entries: &[String]) -> Result<TrustedProxies> {
        let mut networks = Vec::new();
        for entry in entries {
            match entry.trim() {
                "loopback" => networks.extend(LOOPBACK.iter().filter_map(|text| network(text))),
                "private" => networks.extend(PRIVATE.iter().filter_map(|text| network(text))),
                text => networks.push(network(text).ok_or_else(|| {
                    TRUSTED_PROXY
                        .err(format!("`{entry}` is not an address, a network, `loopback` or `private`"))
                })?),
            }
        }
        Ok(TrustedProxies(networks))
    }

    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(text: &str) -> Option<IpNet> {
    match text.parse() {
        Ok(network) => Some(network),
        Err(_) => text.parse().ok().map(|address: IpAddr| IpNet::from(address.to_canonical())),
    }
}

/// The client's address: the socket's, or, when that is a trusted proxy's, the right-most address of
/// `Forwarded` (RFC 7239), or else of `X-Forwarded-For`, that is not. The walk ends early at an entry that
/// is no address. An IPv4 address mapped into IPv6 is returned as IPv4.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.trusts(peer) {
        return peer;
    }
    let hops = match headers.contains_key(FORWARDED) {
        true => forwarded(headers),
        false => x_forwarded_for(headers),
    };
    let mut client = peer;
    for hop in hops.into_iter().rev() {
        let Some(address) = hop else { break };
        client = address;
        if !trusted.trusts(client) {
            break;
        }
    }
    client
}

/// The addresses of all `X-Forwarded-For` lines in order; `None` for what is not one.
fn x_forwarded_for(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let mut hops = Vec::new();
    for line in headers.get_all(X_FORWARDED_FOR) {
        match line.to_str() {
            Ok(line) => hops.extend(line.split(',').map(node)),
            Err(_) => hops.push(None),
        }
    }
    hops
}

/// The `for=` addresses of all `Forwarded` lines in order; `None` for what is hidden or not one.
fn forwarded(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let mut hops = Vec::new();
    for line in headers.get_all(FORWARDED) {
        match line.to_str().ok().and_then(|line| split_quoted(line, b',')) {
            Some(elements) => hops.extend(elements.into_iter().map(for_address)),
            // An open quote could hide where one element ends: nothing to the left of here can be read.
            None => hops.push(None),
        }
    }
    hops
}

/// Splits at separators outside of quoted strings; `None` when a quote stays open.
fn split_quoted(line: &str, separator: u8) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => {
                parts.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&line[start..]);
    (!quoted).then_some(parts)
}

/// The address of `for=…` in one element. A quoted `host` may hold anything, also `;for=…`.
fn for_address(element: &str) -> Option<IpAddr> {
    let value = split_quoted(element, b';')?.into_iter().find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    })?;
    match value.strip_prefix('"') {
        Some(quoted) => node(quoted.strip_suffix('"')?),
        None => node(value),
    }
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`; a port may be hidden
/// (`:_x`). `None` for `unknown`, `_hidden` and whatever else is not an address.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address: IpAddr = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        if !port.is_empty() && !is_port(port.strip_prefix(':')?) {
            return None;
        }
        IpAddr::V6(address.parse().ok()?)
    } else if let Ok(address) = text.parse() {
        address
    } else if let Ok(socket) = text.parse::<SocketAddrV4>() {
        IpAddr::V4(*socket.ip())
    } else {
        let (address, port) = text.split_once(':')?;
        if !is_port(port) {
            return None;
        }
        IpAddr::V4(address.parse().ok()?)
    };
    Some(address.to_canonical())
}

fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(hidden) => !hidden.is_empty(),
        None => text.parse::<u16>().is_ok(),
    }
}

/// The address with its host part set to zero: /24 of IPv4, /48 of IPv6.
pub fn truncate(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !0xff)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (!0 << 80))),
    }
}

/// `ffff` and 8 digits for IPv4 (`ffffac110001` is 172.17.0.1), 32 digits for IPv6.
pub fn hex(address: IpAddr) -> String {
    let mut out = String::with_capacity(32);
    // Writing into a String cannot fail.
    let _ = match address.to_canonical() {
        IpAddr::V4(v4) => write!(out, "ffff{:08x}", v4.to_bits()),
        IpAddr::V6(v6) => write!(out, "{:032x}", v6.to_bits()),
    };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn trust(entries: &[&str]) -> TrustedProxies {
        TrustedProxies::parse(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn client(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        client_address(ip(peer), &headers, &trust(&["10.0.0.0/8", "fd00::/8"])).to_string()
    }

    const XFF: &str = "x-forwarded-for";
    const FWD: &str = "forwarded";

    #[test]
    fn a_stranger_cannot_choose_its_address() {
        assert_eq!(client("203.0.113.9", &[(XFF, "1.2.3.4"), (FWD, "for=1.2.3.4")]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &[(XFF, "6.6.6.6, 203.0.113.9, 10.0.0.2")]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &[(FWD, "for=6.6.6.6, for=203.0.113.9")]), "203.0.113.9");
        let host = [(FWD, r#"host="a;for=6.6.6.6;b";for=203.0.113.9"#)];
        assert_eq!(client("10.0.0.1", &host), "203.0.113.9");
        let quote = [(FWD, r#"for=6.6.6.6;by=", for="[2001:db8::9]:80""#)];
        assert_eq!(client("10.0.0.1", &quote), "10.0.0.1");
    }

    #[test]
    fn the_right_most_address_that_is_not_a_proxys_is_the_clients() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[], "10.0.0.1"),
            (&[(XFF, "203.0.113.9:4711")], "203.0.113.9"),
            (&[(XFF, "6.6.6.6"), (XFF, "203.0.113.9"), (XFF, "10.0.0.3,10.0.0.2")], "203.0.113.9"),
            (&[(XFF, "2001:db8::1")], "2001:db8::1"),
            (&[(XFF, "::ffff:203.0.113.9")], "203.0.113.9"),
            (&[(XFF, "[2001:db8::1]:443, fd00::1")], "2001:db8::1"),
            (&[(XFF, "10.0.0.7, 10.0.0.8")], "10.0.0.7"),
            (&[(FWD, "for=203.0.113.9;proto=http;by=10.0.0.1")], "203.0.113.9"),
            (&[(FWD, r#"proto=https; For="[2001:db8:cafe::17]:4711""#)], "2001:db8:cafe::17"),
            (&[(FWD, r#"for="203.0.113.9:_hidden""#), (FWD, "for=10.0.0.2")], "203.0.113.9"),
            (&[(FWD, "for=203.0.113.9"), (XFF, "6.6.6.6")], "203.0.113.9"),
        ];
        for (lines, expected) in cases {
            assert_eq!(client("10.0.0.1", lines), *expected, "{lines:?}");
            assert_eq!(client("::ffff:10.0.0.1", lines), *expected, "{lines:?}");
        }
    }

    #[test]
    fn what_is_not_an_address_ends_the_walk_at_the_last_good_one() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[(XFF, "203.0.113.9, nonsense")], "10.0.0.1"),
            (&[(XFF, "203.0.113.9, nonsense, 10.0.0.5")], "10.0.0.5"),
            (&[(XFF, "203.0.113.9,")], "10.0.0.1"),
            (&[(XFF, "203.0.113.9:99999")], "10.0.0.1"),
            (&[(XFF, "[2001:db8::1]443")], "10.0.0.1"),
            (&[(FWD, "for=203.0.113.9, for=unknown, for=10.0.0.5")], "10.0.0.5"),
            (&[(FWD, "for=203.0.113.9, for=_secret")], "10.0.0.1"),
            (&[(FWD, "for=203.0.113.9, proto=http")], "10.0.0.1"),
            (&[(FWD, r#"for="203.0.113.9"#)], "10.0.0.1"),
            (&[(FWD, ""), (XFF, "203.0.113.9")], "10.0.0.1"),
        ];
        for (lines, expected) in cases {
            assert_eq!(client("10.0.0.1", lines), *expected, "{lines:?}");
        }
    }

    #[test]
    fn proxies_are_named_by_address_network_or_word() {
        let trusted = trust(&["192.0.2.1", "2001:db8::/32", "loopback", " private "]);
        for inside in ["192.0.2.1", "2001:db8:1::1", "127.0.0.9", "::1", "172.31.0.1", "fd12::1"] {
            assert!(trusted.trusts(ip(inside)), "{inside}");
        }
        for outside in ["192.0.2.2", "2001:db9::1", "172.32.0.1", "100.64.0.1"] {
            assert!(!trusted.trusts(ip(outside)), "{outside}");
        }
        let error = TrustedProxies::parse(&["10.0.0.0/33".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "trusted_proxy: `10.0.0.0/33` is not an address, a network, `loopback` or `private`"
        );
    }

    #[test]
    fn addresses_are_written_and_cut_as_promised() {
        assert_eq!(hex(ip("172.17.0.1")), "ffffac110001");
        assert_eq!(hex(ip("::ffff:172.17.0.1")), "ffffac110001");
        assert_eq!(hex(ip("2001:db8::1")), "20010db8000000000000000000000001");
        assert_eq!(truncate(ip("203.0.113.9")), ip("203.0.113.0"));
        assert_eq!(truncate(ip("2001:db8:1:2:3::4")), ip("2001:db8:1::"));
    }
}
