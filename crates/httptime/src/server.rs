//! What is known of server software: how late its `Date` may be.
//!
//! The figures are the largest lag measured around at least forty second boundaries on Linux at 250 ticks a second,
//! or read in the source, rounded up with room to spare; `docs/servers.md` has the table. A product token is a hint
//! and no proof, so a measurement says which lag it assumed and from what ([`LagSource`]).

use std::time::Duration;

/// The lag of software nobody has measured: the second it takes for any clock that ticks once a second to be
/// refreshed, and 20 ms for the refreshing.
pub const UNKNOWN_LAG: Duration = Duration::from_millis(1020);

/// Where the assumption about a server's lag comes from.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LagSource {
    /// The caller stated it.
    Stated,
    /// The `Server` field began with this product token.
    Product(&'static str),
    /// The software is unknown or does not name itself: [`UNKNOWN_LAG`].
    Unknown,
    /// The response passed a cache (`Age: 0`), which may have kept it for up to a second: [`UNKNOWN_LAG`].
    SharedCache,
}

impl std::fmt::Display for LagSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stated => f.write_str("stated"),
            Self::Product(product) => write!(f, "product {product}"),
            Self::Unknown => f.write_str("unknown software"),
            Self::SharedCache => f.write_str("shared cache"),
        }
    }
}

/// How late a server's `Date` may flip after its own clock's second began, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lag {
    allowance: Duration,
    source: LagSource,
}

impl Lag {
    /// A lag of at most `allowance`, by the word of the caller.
    #[must_use]
    pub const fn stated(allowance: Duration) -> Self {
        Self { allowance, source: LagSource::Stated }
    }

    /// The lag of the software that `server`, the value of a `Server` field, names first.
    #[must_use]
    pub fn of_server(server: Option<&str>) -> Self {
        let token = server.and_then(|value| value.split(['/', ' ', '(']).next()).unwrap_or("");
        PRODUCTS.iter().find(|(product, _)| product.eq_ignore_ascii_case(token)).map_or(
            Self { allowance: UNKNOWN_LAG, source: LagSource::Unknown },
            |(product, micros)| Self {
                allowance: Duration::from_micros(*micros),
                source: LagSource::Product(product),
            },
        )
    }

    /// The lag of a response that passed a shared cache.
    #[must_use]
    pub const fn shared_cache() -> Self {
        Self { allowance: UNKNOWN_LAG, source: LagSource::SharedCache }
    }

    /// The most that is allowed for.
    #[must_use]
    pub const fn allowance(self) -> Duration {
        self.allowance
    }

    /// Who says so.
    #[must_use]
    pub const fn source(self) -> LagSource {
        self.source
    }

    /// The larger of two allowances, with its source.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other.allowance > self.allowance { other } else { self }
    }
}

/// Product token and lag in microseconds.
const PRODUCTS: &[(&str, u64)] = &[
    // Stamped for each response or each turn of the event loop.
    ("nginx", 1_000),
    ("Apache", 1_000),
    ("Caddy", 1_000),
    ("BaseHTTP", 1_000),
    ("SimpleHTTP", 1_000),
    ("gunicorn", UNKNOWN_LAG_MICROS), // its asgi worker refreshes once a second, the token does not tell
    ("waitress", 1_000),
    ("TornadoServer", 1_000),
    ("Cheroot", 1_000),
    ("Jetty", 2_000),
    ("h2o", 2_000),
    // Coarse `time()`: up to two kernel ticks at 100 a second.
    ("busybox", 25_000),
    ("mini_httpd", 25_000),
    ("micro_httpd", 25_000),
    ("webfs", 25_000),
    // Refreshed by a timer.
    ("envoy", 510_000),
    ("lighttpd", UNKNOWN_LAG_MICROS),
    ("uvicorn", UNKNOWN_LAG_MICROS),
    ("fasthttp", UNKNOWN_LAG_MICROS),
    ("Kestrel", UNKNOWN_LAG_MICROS),
];

const UNKNOWN_LAG_MICROS: u64 = 1_020_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_product_token_decides() {
        for (server, micros) in [
            ("nginx/1.22.1", 1_000),
            ("NGINX", 1_000),
            ("Apache/2.4.62 (Debian)", 1_000),
            ("SimpleHTTP/0.6 Python/3.11.2", 1_000),
            ("lighttpd/1.4.69", 1_020_000),
            ("envoy", 510_000),
        ] {
            let lag = Lag::of_server(Some(server));
            assert_eq!(lag.allowance(), Duration::from_micros(micros), "{server}");
            assert!(matches!(lag.source(), LagSource::Product(_)), "{server}");
        }
    }

    #[test]
    fn unknown_software_gets_the_whole_second_and_is_said_to_be_unknown() {
        for server in [None, Some(""), Some("cloudflare"), Some("nginxish/1.0"), Some("(nginx)")] {
            let lag = Lag::of_server(server);
            assert_eq!(lag.allowance(), UNKNOWN_LAG);
            assert_eq!(lag.source(), LagSource::Unknown);
        }
    }
}
