//! What a scan is pointed at: one address, parsed once.

use core::fmt;

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

    fn bracketed(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
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
