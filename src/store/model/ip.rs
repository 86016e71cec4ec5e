//! The IP address that a client's text says. Pure. A text is nobody's word but the client's: it is read, never trusted.

use std::net::{IpAddr, Ipv4Addr};

use crate::store::model::profile;

/// The address of a text, in its canonical form: an IPv4 address that is mapped into IPv6 is IPv4.
///
/// It may have a port, brackets, a zone and quotes, and may be an element of RFC 7239 (`for=…`). Of several, as proxies
/// list them in `X-Forwarded-For`, the first public one is it, else the first one. Networks, names and `0.0.0.0` are
/// none.
pub(in crate::store) fn parse(text: &str) -> Option<IpAddr> {
    // Nearly every text is an address and nothing else.
    if let Some(ip) = text.parse().ok().map(|ip: IpAddr| ip.to_canonical())
        && is_public(&ip)
        && !ip.is_unspecified()
    {
        return Some(ip);
    }
    // The texts of JSON stand in quotes.
    let is_json = ["{", "[\"", "['"].iter().any(|start| text.trim_start().starts_with(start));
    let elements = || text.split(move |character| is_between(character, is_json));
    let addresses = || elements().flat_map(addresses);
    addresses().find(is_public).or_else(|| addresses().next())
}

fn is_between(character: char, is_json: bool) -> bool {
    matches!(character, ',' | '|') || (is_json && matches!(character, '"' | '\''))
}

/// The addresses of one element of a list. An element of RFC 7239 has one; else spaces and semicolons divide, too.
fn addresses(element: &str) -> impl Iterator<Item = IpAddr> {
    let forwarded = element.split(';').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    });
    let nodes = forwarded.unwrap_or(element);
    nodes.split(|character: char| character == ';' || character.is_whitespace()).filter_map(address)
}

/// The address of a node: `203.0.113.9:5000`, also as Java (`/203…`), a URL or PostgreSQL (`203…/32`) write it.
fn address(node: &str) -> Option<IpAddr> {
    let node = profile::text(node)?.trim_matches(['"', '\'', '/']);
    let node = node.split_once("://").map_or(node, |(_scheme, node)| node);
    let (node, prefix) = node.split_once('/').map_or((node, None), |(node, prefix)| (node, Some(prefix)));
    let host = match node.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once(']')?;
            (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(host)?
        }
        None => match node.rsplit_once(':') {
            // What is an address as it is has no port.
            Some((host, port)) if is_port(port) && node.parse::<IpAddr>().is_err() => host,
            _ => node,
        },
    };
    let host = host.split_once('%').map_or(host, |(host, _zone)| host);
    let ip = host.parse::<IpAddr>().ok()?;
    let whole = if ip.is_ipv4() { "32" } else { "128" };
    let ip = prefix.is_none_or(|prefix| prefix == whole).then(|| ip.to_canonical())?;
    (!ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST)).then_some(ip)
}

fn is_port(text: &str) -> bool {
    text.is_empty() || (text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

/// Whether an address can be a client's own on the Internet. Those of documentation count as such.
fn is_public(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, third, _] = ip.octets();
            let is_shared = first == 100 && second & 0xC0 == 64;
            let is_reserved = first == 0 || first >= 240 || (first, second, third) == (192, 0, 0);
            let is_of_benchmarks = first == 198 && second & 0xFE == 18;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast())
                && !(is_shared || is_reserved || is_of_benchmarks)
        }
        IpAddr::V6(ip) => {
            let first = ip.segments().first().copied().unwrap_or_default();
            let is_local = first & 0xFE00 == 0xFC00 || first & 0xFF80 == 0xFE80;
            !(ip.is_loopback() || ip.is_multicast() || is_local)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(parse(text).map(|ip| ip.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn an_address_is_canonical() {
        check("::ffff:203.0.113.9", Some("203.0.113.9"));
        check("::FFFF:cb00:7109", Some("203.0.113.9"));
        check("0:0:0:0:0:ffff:198.51.100.4", Some("198.51.100.4"));
        check("[::ffff:192.0.2.7]:443", Some("192.0.2.7"));
        check("2001:DB8:0:0:0:0:0:1", Some("2001:db8::1"));
        check(" 192.0.2.1\t", Some("192.0.2.1"));
        // Compatible, translated and NAT64: addresses of their own.
        check("64:ff9b::203.0.113.9", Some("64:ff9b::cb00:7109"));
        check("::ffff:0:203.0.113.9", Some("::ffff:0:cb00:7109"));
    }

    #[test]
    fn a_port_brackets_a_zone_and_quotes_are_no_part_of_an_address() {
        check("203.0.113.9:46532", Some("203.0.113.9"));
        check("[2001:db8::1]:443", Some("2001:db8::1"));
        check("[2001:db8::2]", Some("2001:db8::2"));
        check("\"[2001:db8::3]:8080\"", Some("2001:db8::3"));
        check("fe80::1%eth0", Some("fe80::1"));
        check("[fe80::2%25en0]:80", Some("fe80::2"));
        check("'198.51.100.77'", Some("198.51.100.77"));
        check("for=192.0.2.60;proto=http;by=203.0.113.43", Some("192.0.2.60"));
        check("proto=https; For=\"[2001:db8:cafe::17]:4711\"", Some("2001:db8:cafe::17"));
        check("2001:db8::1:443", Some("2001:db8::1:443"));
        check("::ffff:203.0.113.9:46532", Some("203.0.113.9"));
        check("2001:db8:0:0:0:0:0:1:443", Some("2001:db8::1"));
        check("203.0.113.9/32", Some("203.0.113.9"));
        check("2001:db8::1/128", Some("2001:db8::1"));
        check("\u{feff}203.0.113.9\u{200b}", Some("203.0.113.9"));
        check("203.0.113.9:", Some("203.0.113.9"));
        check("/203.0.113.9:5000", Some("203.0.113.9"));
        check("tcp://203.0.113.9:443", Some("203.0.113.9"));
    }

    #[test]
    fn lists_in_other_forms() {
        check("[\"10.0.0.1\",\"203.0.113.9\"]", Some("203.0.113.9"));
        check("{\"ip\":\"203.0.113.9\"}", Some("203.0.113.9"));
        check("203.0.113.9 198.51.100.1", Some("203.0.113.9"));
        check("203.0.113.9|10.0.0.1", Some("203.0.113.9"));
        check("10.0.0.1;203.0.113.9", Some("203.0.113.9"));
    }

    #[test]
    fn of_a_list_the_first_public_address_is_the_clients() {
        check("203.0.113.195, 70.41.3.18, 150.172.238.178", Some("203.0.113.195"));
        check("10.0.0.7, 203.0.113.9", Some("203.0.113.9"));
        check("unknown, 192.168.1.4, 198.51.100.2:1234", Some("198.51.100.2"));
        check("_hidden, -, 100.64.3.2, fd00::1, 127.0.0.1, [2001:db8::9]:1", Some("2001:db8::9"));
        check("for=10.1.2.3, for=\"[2001:db8::5]\"", Some("2001:db8::5"));
        check("10.0.0.7, 192.168.0.1", Some("10.0.0.7"));
        check("::ffff:10.0.0.7,203.0.113.80", Some("203.0.113.80"));
        check("169.254.1.1, 0.0.0.0, 224.0.0.1, ::1, 172.16.9.9", Some("169.254.1.1"));
        check("192.168.178.20", Some("192.168.178.20"));
        check("fe80::1", Some("fe80::1"));
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            "-",
            "unknown",
            "_hidden",
            "localhost:80",
            "192.0.2.1/24",
            "256.0.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
            "203.0.113.9:+443",
            "203.0.113.9:99999",
            "203.0.113.09",
            "0.0.0.0",
            "::",
            "[2001:db8::1",
            "[203.0.113.9]x",
            "for=unknown",
            "%eth0",
            "1.2.3",
            "3405803785",
            "2001:db8::/32",
            ",",
            ";",
            "nonsense",
        ] {
            check(text, None);
        }
    }
}
