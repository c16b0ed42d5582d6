//! What a scan is pointed at: one address, parsed once.
//!
//! The grammar is smaller than the URL standard's on purpose. What a person types into a list of targets is a URL, a
//! host, `host:port` or `host:from-to`; spellings that browsers resolve in surprising ways (`0x7f.1`, `2130706433`, user
//! names before an `@`) are refused with a sentence instead of being followed.

use core::fmt;
use core::ops::RangeInclusive;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The most ports one range may have: enough for every well-known port, few enough to be polite about.
pub const LARGEST_PORT_RANGE: u16 = 1024;

/// One target: a scheme, a host, a port and a path, under the name that reports show.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The scheme its web requests use.
    pub scheme: Scheme,
    /// A name, an IPv4 address or an IPv6 address (without brackets), in lower case.
    pub host: String,
    /// The port, the scheme's own where none was named.
    pub port: u16,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// Whether it was written as part of a port range (`host:8000-8010`), which only active probes scan.
    pub from_range: bool,
}

impl Target {
    /// The address for a request to the target's own path: `http://host:port/path`.
    pub fn url(&self) -> String {
        format!("{}{}", self.origin(), self.path)
    }

    /// The origin: `http://host:port`, without the port where it is the scheme's own.
    pub fn origin(&self) -> String {
        if self.port == self.scheme.port() {
            format!("{}://{}", self.scheme.name(), self.bracketed())
        } else {
            format!("{}://{}:{}", self.scheme.name(), self.bracketed(), self.port)
        }
    }

    /// What politeness counts by: `host:port`.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }

    /// Whether it is this very machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.ends_with(".localhost")
            || self
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }
}

/// What one entry of a list names: an address, or the same address on several ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    first: Target,
    ports: RangeInclusive<u16>,
}

impl Entry {
    /// Reads a URL, a host, `host:port` or `host:from-to`.
    ///
    /// Without a scheme it is `https`, except for other ports than 443 and 8443 and for bare IP addresses and
    /// `localhost`, which seldom have a certificate: those are `http`.
    ///
    /// # Errors
    /// One sentence that names the entry and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = |what: &str| Err(format!("Target `{}` {what}.", shortened(text)));
        if text.is_empty() {
            return Err("A target is empty.".to_owned());
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return wrong("contains white space or a control character");
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((name, rest)) if name.eq_ignore_ascii_case("http") => (Some(Scheme::Http), rest),
            Some((name, rest)) if name.eq_ignore_ascii_case("https") => (Some(Scheme::Https), rest),
            Some((name, _)) => {
                return wrong(&format!(
                    "has the scheme `{name}`; only `http` and `https` are scanned"
                ));
            }
            None => (None, text),
        };
        let (authority, path) = match rest.find(['/', '?', '#', '\\']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.is_empty() {
            return wrong("names no host");
        }
        if authority.contains('@') {
            return wrong("carries a user name or password, which is never sent");
        }
        let (host, port) = match split_port(authority) {
            Ok(parts) => parts,
            Err(what) => return wrong(what),
        };
        let host = match parse_host(host) {
            Ok(host) => host,
            Err(what) => return wrong(&what),
        };
        if scheme.is_none() && host.parse::<Ipv4Addr>().is_ok() && is_prefix_length(path) {
            return wrong(
                "is a block of addresses; name its hosts one by one, or a range of ports as `host:8000-8010`",
            );
        }
        let ports = match port.map(parse_ports).transpose() {
            Ok(ports) => ports,
            Err(what) => return wrong(&what),
        };
        let single = ports.as_ref().is_none_or(|ports| ports.start() == ports.end());
        let scheme = scheme.unwrap_or_else(|| match &ports {
            Some(ports) if *ports == (443..=443) || *ports == (8443..=8443) => Scheme::Https,
            Some(_) => Scheme::Http,
            None if host == "localhost" || is_address(&host) => Scheme::Http,
            None => Scheme::Https,
        });
        let ports = ports.unwrap_or_else(|| scheme.port()..=scheme.port());
        let first = Target {
            scheme,
            host,
            port: *ports.start(),
            path: canonical_path(path),
            from_range: !single,
        };
        Ok(Self { first, ports })
    }

    /// The targets it names, one for each port.
    pub fn targets(self) -> impl Iterator<Item = Target> {
        let Self { first, ports } = self;
        ports.map(move |port| Target {
            port,
            ..first.clone()
        })
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((host, after)) = rest.split_once(']') else {
            return Err("opens a bracket and does not close it");
        };
        return match after.strip_prefix(':') {
            _ if !host.contains(':') => Err("has brackets around something that is not an IPv6 address"),
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err("has something other than a port after its brackets"),
        };
    }
    match authority.matches(':').count() {
        0 => Ok((authority, None)),
        1 => Ok(authority
            .split_once(':')
            .map_or((authority, None), |(host, port)| (host, Some(port)))),
        _ => Ok((authority, None)),
    }
}

/// Host names after RFC 1123 and the URL standard's rule that a name which ends in a number is an IPv4 address.
fn parse_host(host: &str) -> Result<String, String> {
    if host.contains(':') {
        if host.contains('%') {
            return Err("has an IPv6 zone, which an address of the web cannot have".to_owned());
        }
        return match host.parse::<Ipv6Addr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err(format!("has `{host}` where an IPv6 address is expected")),
        };
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_lowercase();
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if host.is_empty() {
        return Err("names no host".to_owned());
    }
    if numeric {
        return match host.parse::<Ipv4Addr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err(format!(
                "has `{host}` where four numbers from 0 to 255 are expected"
            )),
        };
    }
    if host.len() > 253 || host.split('.').any(|label| label.len() > 63) {
        return Err("has a host name that is too long".to_owned());
    }
    if host.split('.').any(str::is_empty) {
        return Err("has an empty part in its host name".to_owned());
    }
    if let Some(odd) = host
        .chars()
        .find(|c| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.')))
    {
        return Err(format!("has `{odd}` in its host name"));
    }
    if let Some(odd) = host.chars().find(|c| resolves_to_ascii(*c)) {
        return Err(format!(
            "has `{odd}` in its host name, which browsers read as another character"
        ));
    }
    if host
        .split('.')
        .any(|label| label.starts_with('-') || label.ends_with('-'))
    {
        return Err("has a part that begins or ends with `-` in its host name".to_owned());
    }
    Ok(host)
}

/// Characters that the URL standard's host parser (UTS #46, compatibility mapping) turns into ASCII letters or digits:
/// `127.0.0.①` and `ｌocalhost` would lead elsewhere than they seem to.
fn resolves_to_ascii(c: char) -> bool {
    const BLOCKS: [(u32, u32); 22] = [
        (0xaa, 0xaa),
        (0xb2, 0xb3),
        (0xb9, 0xba),
        (0x132, 0x133),
        (0x17f, 0x17f),
        (0x1c4, 0x1cc),
        (0x1f1, 0x1f3),
        (0x2b0, 0x2b8),
        (0x2e0, 0x2e4),
        (0x1d2c, 0x1d6a),
        (0x1d78, 0x1dbf),
        (0x2070, 0x218b),
        (0x2460, 0x24ff),
        (0x2c7c, 0x2c7d),
        (0x3250, 0x33ff),
        (0xa7f2, 0xa7f4),
        (0xfb00, 0xfb06),
        (0xff00, 0xffef),
        (0x107a5, 0x107a5),
        (0x1d400, 0x1d7ff),
        (0x1f100, 0x1f1ff),
        (0x1fbf0, 0x1fbf9),
    ];
    BLOCKS
        .iter()
        .any(|(from, to)| (*from..=*to).contains(&u32::from(c)))
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let number = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err(format!("has `{text}` where a port from 1 to 65535 is expected")),
    };
    let Some((from, to)) = text.split_once('-') else {
        let port = number(text)?;
        return Ok(port..=port);
    };
    let (from, to) = (number(from)?, number(to)?);
    if from > to {
        return Err(format!(
            "has the port range `{text}`, which ends before it begins"
        ));
    }
    if to - from >= LARGEST_PORT_RANGE {
        let ports = u32::from(to - from) + 1;
        return Err(format!(
            "has a range of {ports} ports; at most {LARGEST_PORT_RANGE} are scanned at once"
        ));
    }
    Ok(from..=to)
}

fn is_prefix_length(path: &str) -> bool {
    path.strip_prefix('/')
        .is_some_and(|n| matches!(n.len(), 1 | 2) && n.bytes().all(|b| b.is_ascii_digit()))
}

fn is_address(host: &str) -> bool {
    host.contains(':') || host.parse::<Ipv4Addr>().is_ok()
}

/// Path and query as they go on the wire: without the fragment, with what the URL standard would encode encoded.
fn canonical_path(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default().replace('\\', "/");
    let mut canonical = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        canonical.push('/');
    }
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'`') {
            canonical.push(char::from(byte));
        } else {
            canonical.push_str(&format!("%{byte:02X}"));
        }
    }
    canonical
}

fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    let shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().count() > MOST {
        format!("{shown}…")
    } else {
        shown
    }
}

/// The canonical name: [`Target::url`].
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

/// The scheme of a target's web requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// The name, without the colon.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The scheme's own port.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn urls(text: &str) -> Vec<String> {
        Entry::parse(text)
            .unwrap()
            .targets()
            .map(|target| target.url())
            .collect()
    }

    #[test]
    fn what_people_type_becomes_an_address() {
        for (typed, url) in [
            ("example.com", "https://example.com/"),
            ("Example.COM.", "https://example.com/"),
            ("example.com:8080", "http://example.com:8080/"),
            ("example.com:443", "https://example.com/"),
            ("example.com/mcp?x=1", "https://example.com/mcp?x=1"),
            ("HTTP://example.com:80", "http://example.com/"),
            (
                "https://example.com:444/a b".replace(' ', "\u{e4}").as_str(),
                "https://example.com:444/a%C3%A4b",
            ),
            ("http://example.com/#part", "http://example.com/"),
            ("http://example.com?q", "http://example.com/?q"),
            ("localhost", "http://localhost/"),
            ("127.0.0.1", "http://127.0.0.1/"),
            ("127.0.0.1:3000/mcp", "http://127.0.0.1:3000/mcp"),
            ("::1", "http://[::1]/"),
            ("[::1]:8080", "http://[::1]:8080/"),
            ("https://[2001:DB8::0:1]/x", "https://[2001:db8::1]/x"),
            ("b\u{fc}cher.example", "https://b\u{fc}cher.example/"),
            ("\u{4e00}\u{663}.example", "https://\u{4e00}\u{663}.example/"),
        ] {
            assert_eq!(urls(typed), [url], "{typed}");
        }
    }

    #[test]
    fn a_port_range_is_one_target_for_each_port() {
        assert_eq!(
            urls("host:8000-8002"),
            ["http://host:8000/", "http://host:8001/", "http://host:8002/"]
        );
        let targets: Vec<_> = Entry::parse("https://[::1]:9-10/x").unwrap().targets().collect();
        assert_eq!(targets.len(), 2);
        assert!(
            targets
                .iter()
                .all(|t| t.from_range && t.path == "/x" && t.scheme == Scheme::Https)
        );
        assert!(Entry::parse("host:1-1024").is_ok());
        assert!(
            !Entry::parse("host:7-7")
                .unwrap()
                .targets()
                .next()
                .unwrap()
                .from_range
        );
    }

    #[test]
    fn what_cannot_be_scanned_gets_one_sentence_that_names_it() {
        for (typed, says) in [
            ("ftp://a/", "has the scheme `ftp`"),
            ("http://", "names no host"),
            ("http://user:pw@host/", "user name or password"),
            ("host:0", "has `0` where a port from 1 to 65535"),
            ("host:99999", "has `99999` where a port"),
            ("host:+80", "has `+80` where a port"),
            ("host:", "has `` where a port"),
            ("host:20-10", "ends before it begins"),
            ("host:1-1025", "a range of 1025 ports; at most 1024"),
            ("host:80-x", "has `x` where a port"),
            ("[::1", "does not close it"),
            ("[host]:80", "not an IPv6 address"),
            ("[::1]x", "something other than a port"),
            ("1:2:3", "where an IPv6 address is expected"),
            ("fe80::1%eth0", "IPv6 zone"),
            ("1.2.3", "four numbers from 0 to 255"),
            ("0x7f.1", "four numbers from 0 to 255"),
            ("2130706433", "four numbers from 0 to 255"),
            ("1.2.3.256", "four numbers from 0 to 255"),
            ("10.0.0.0/24", "block of addresses"),
            ("a..b", "empty part"),
            ("-a.example", "begins or ends with `-`"),
            ("ho!st", "has `!` in its host name"),
            ("127.0.0.\u{2460}", "browsers read as another character"),
            ("\u{ff11}27.0.0.a", "browsers read as another character"),
            ("\u{ff4c}ocalhost", "browsers read as another character"),
            ("\u{1d7d9}0.example", "browsers read as another character"),
            ("a b", "white space"),
        ] {
            let error = Entry::parse(typed).unwrap_err();
            assert!(error.contains(says), "{typed}: {error}");
            assert!(
                error.starts_with(&format!("Target `{typed}` ")) && error.ends_with('.'),
                "{error}"
            );
        }
        let long = Entry::parse(&format!("http://{}.example/", "a".repeat(64))).unwrap_err();
        assert!(long.contains("too long"), "{long}");
    }
}
