use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::error::Error;

/// The scheme of a [`Url`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// A SOCKS5 proxy (RFC 1928).
    Socks5,
    /// The same. Other programs resolve the name of the server locally for `socks5`, and leave
    /// that to the proxy for `socks5h`; here the proxy always resolves it.
    Socks5h,
}

impl Scheme {
    /// The port of a URL without one: 80, 443, or 1080 for SOCKS5.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks5 | Self::Socks5h => 1080,
        }
    }

    /// `http`, `https`, `socks5` or `socks5h`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An `http://` or `https://` URL of a server or a proxy, or a `socks5://` or `socks5h://` URL of a
/// proxy.
///
/// Narrower than RFC 3986 except in one case: an IPv6 literal may have a zone
/// (`http://[fe80::1%25eth0]/`, RFC 6874; also the plain `%eth0` of curl), which general URL
/// parsers refuse.
///
/// # Passwords
/// No message, `Display` or `Debug` shows anything before the last `@` of the text. A `/`, `?` or
/// `#` in a user name or a password must be percent-encoded (`%2F`, `%3F`, `%23`). Otherwise the
/// password would end there, and the rest of it would be a path. Therefore an `@` in a path or
/// query must be written `%40`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    scheme: Scheme,
    host: String,
    literal: bool,
    port: u16,
    path: String,
    credentials: Option<String>,
}

impl Url {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] with the reason. Its message is [`redacted`](Self::redacted).
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::split_parts(text)
            .map_err(|reason| Error::InvalidUrl { url: Self::redacted(text).into_owned(), reason })
    }

    /// A text that may be a URL, without the part before its last `@`, which may be a password.
    ///
    /// ```
    /// assert_eq!(httptime::Url::redacted("http://user:pass/word@proxy:3128"), "***@proxy:3128");
    /// assert_eq!(httptime::Url::redacted("http://proxy:3128"), "http://proxy:3128");
    /// ```
    #[must_use]
    pub fn redacted(text: &str) -> Cow<'_, str> {
        match text.rsplit_once('@') {
            Some((_, shown)) => Cow::Owned(format!("***@{shown}")),
            None => Cow::Borrowed(text),
        }
    }

    fn split_parts(text: &str) -> Result<Self, &'static str> {
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err("it contains a space or a control character; write a space as %20");
        }
        if !text.is_ascii() {
            return Err(
                "it has a character outside ASCII; write the host in its xn-- form, the path \
                 percent-encoded",
            );
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("socks5") => (Scheme::Socks5, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("socks5h") => {
                (Scheme::Socks5h, rest)
            }
            Some(_) => {
                return Err(
                    "only http:// and https:// are supported, for a proxy also socks5h://; write \
                     http://host",
                );
            }
            None if has_prefix(text, "http:") => {
                return Err("two slashes are missing after http:; write http://host");
            }
            None if has_prefix(text, "https:") => {
                return Err("two slashes are missing after https:; write https://host");
            }
            None => return Err("it does not begin with http:// or https://"),
        };
        if rest.find(['/', '?', '#']).is_some_and(|end| rest[end..].contains('@')) {
            return Err(LATE_AT_SIGN);
        }
        let rest = rest.split('#').next().unwrap_or("");
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let path = if tail.starts_with('/') { tail.to_owned() } else { format!("/{tail}") };
        let (credentials, host_port) = match authority.rsplit_once('@') {
            Some((userinfo, host_port)) => (Some(percent_decode(userinfo)?), host_port),
            None => (None, authority),
        };
        let (host, literal, port) = split_host_port(host_port)?;
        let port = port.unwrap_or(scheme.default_port());
        Ok(Self { scheme, host, literal, port, path, credentials })
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether the scheme is [`Https`](Scheme::Https).
    #[must_use]
    pub const fn is_https(&self) -> bool {
        matches!(self.scheme, Scheme::Https)
    }

    /// Whether the scheme is [`Socks5`](Scheme::Socks5) or [`Socks5h`](Scheme::Socks5h).
    #[must_use]
    pub const fn is_socks(&self) -> bool {
        matches!(self.scheme, Scheme::Socks5 | Scheme::Socks5h)
    }

    /// The name or address to resolve: without brackets, with an IPv6 zone as `%eth0`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port [default: 80 for `http`, 443 for `https`, 1080 for SOCKS5].
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path and query [default: `/`].
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `user:password`, percent-decoded.
    #[must_use]
    pub fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    /// The credentials in the format of `Proxy-Authorization`: `Basic` and base64 (RFC 7617).
    #[must_use]
    pub fn authorization(&self) -> Option<String> {
        self.credentials.as_ref().map(|user| format!("Basic {}", BASE64.encode(user)))
    }

    /// Host and port in the format of a `Host` field: IPv6 in brackets without its zone, no port
    /// if it is the scheme's default.
    #[must_use]
    pub fn authority(&self) -> String {
        let name = self.host_in_brackets();
        if self.has_default_port() { name } else { format!("{name}:{}", self.port) }
    }

    const fn has_default_port(&self) -> bool {
        self.port == self.scheme.default_port()
    }

    /// Host and port in the format of `CONNECT`: always with a port.
    #[must_use]
    pub fn authority_with_port(&self) -> String {
        format!("{}:{}", self.host_in_brackets(), self.port)
    }

    fn host_in_brackets(&self) -> String {
        let name = self.host.split('%').next().unwrap_or("");
        if self.literal { format!("[{name}]") } else { name.to_owned() }
    }
}

impl fmt::Display for Url {
    /// The URL without its credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if self.literal {
            write!(f, "[{}]", self.host.replacen('%', "%25", 1))?;
        } else {
            f.write_str(&self.host)?;
        }
        if !self.has_default_port() {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

impl FromStr for Url {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

fn has_prefix(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The host, whether it is an IPv6 address, and the port.
fn split_host_port(text: &str) -> Result<(String, bool, Option<u16>), &'static str> {
    let (host, literal, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest
            .split_once(']')
            .ok_or("the bracket of its IPv6 address is not closed: http://[::1]/")?;
        let (address, zone) = match inside.split_once('%') {
            Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
            None => (inside, None),
        };
        address
            .parse::<Ipv6Addr>()
            .map_err(|_| "there is no IPv6 address in its brackets: http://[::1]/")?;
        if zone.is_some_and(|zone| zone.is_empty() || !zone.bytes().all(is_name_byte)) {
            return Err(
                "the zone of its IPv6 address is not a name or a number: http://[fe80::1%25eth0]/",
            );
        }
        let host = zone.map_or(address.to_owned(), |zone| format!("{address}%{zone}"));
        let port = match after {
            "" => None,
            _ => Some(
                after
                    .strip_prefix(':')
                    .ok_or("only a colon and a port may follow its bracket: http://[::1]:8080/")?,
            ),
        };
        (host, true, port)
    } else {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        if host.contains(':') {
            return Err("an IPv6 address must be in brackets: http://[::1]/");
        }
        (host.to_ascii_lowercase(), false, port)
    };
    if host.is_empty() {
        return Err("it has no host; write http://host");
    }
    if !literal {
        if host.len() > 253 {
            return Err("its host name is longer than 253 characters");
        }
        if host.parse::<IpAddr>().is_err() && !host.bytes().all(is_name_byte) {
            return Err(
                "its host is neither a name nor an address: only letters, digits, -, . and _ are \
                 allowed; give several URLs separately",
            );
        }
    }
    let port = match port {
        None | Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            let port = digits.parse().ok().filter(|port| *port != 0);
            Some(port.ok_or("its port is not in 1 to 65535")?)
        }
        Some(_) => return Err("its port is not a number"),
    };
    Ok((host, literal, port))
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn percent_decode(text: &str) -> Result<String, &'static str> {
    const BAD_ESCAPE: &str =
        "a % in its user name or password is not followed by two hex digits; write % as %25";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = char::from(rest.next()?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        let (high, low) = (digit().ok_or(BAD_ESCAPE)?, digit().ok_or(BAD_ESCAPE)?);
        bytes.push(high << 4 | low);
    }
    String::from_utf8(bytes).map_err(|_| "its user name or password is not UTF-8")
}

/// Nothing shows whether the text before the `@` is the rest of a password or of a path.
const LATE_AT_SIGN: &str = "an @ follows a /, ? or #; percent-encode these in a user name or password \
     (/ is %2F, ? is %3F, # is %23), and write @ in a path as %40";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Url {
        Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_url_is_taken_apart() {
        for (text, host, port, path, authority, shown) in [
            ("http://a.example", "a.example", 80, "/", "a.example", "http://a.example/"),
            ("HTTP://A.Example:80/x", "a.example", 80, "/x", "a.example", "http://a.example/x"),
            ("http://a:8080?q=1#f", "a", 8080, "/?q=1", "a:8080", "http://a:8080/?q=1"),
            ("http://192.0.2.1:81/", "192.0.2.1", 81, "/", "192.0.2.1:81", "http://192.0.2.1:81/"),
            ("https://a.example", "a.example", 443, "/", "a.example", "https://a.example/"),
            ("HTTPS://a:443/x", "a", 443, "/x", "a", "https://a/x"),
            ("https://a:80/", "a", 80, "/", "a:80", "https://a:80/"),
            ("http://a:443/", "a", 443, "/", "a:443", "http://a:443/"),
            ("https://[::1]/", "::1", 443, "/", "[::1]", "https://[::1]/"),
            ("http://[::1]:81/", "::1", 81, "/", "[::1]:81", "http://[::1]:81/"),
            (
                "http://[fe80::1%25eth0]",
                "fe80::1%eth0",
                80,
                "/",
                "[fe80::1]",
                "http://[fe80::1%25eth0]/",
            ),
            (
                "http://[fe80::1%2]:1/",
                "fe80::1%2",
                1,
                "/",
                "[fe80::1]:1",
                "http://[fe80::1%252]:1/",
            ),
        ] {
            let url = parse(text);
            assert_eq!((url.host(), url.port(), url.path()), (host, port, path), "{text}");
            assert_eq!(
                (url.authority(), url.to_string()),
                (authority.into(), shown.into()),
                "{text}"
            );
            assert_eq!(parse(&url.to_string()), url, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_reason() {
        for (text, part) in [
            ("", "does not begin"),
            ("example.org", "does not begin"),
            ("https:/a", "slashes are missing after https:"),
            ("http:/a", "two slashes"),
            ("ftp://a/", "only http"),
            ("http://", "no host"),
            ("http://:80/", "no host"),
            ("http://a:0/", "in 1 to 65535"),
            ("http://a:65536/", "1 to 65535"),
            ("http://a:+1/", "not a number"),
            ("http://::1/", "in brackets"),
            ("http://[::1", "not closed"),
            ("http://[::1]x/", "follow its bracket"),
            ("http://[fe80::1%25]/", "zone"),
            ("http://[example]/", "no IPv6"),
            ("http://a b/", "a space"),
            ("http://a/\r\nX: y", "a space"),
            ("http://ä/", "ASCII"),
            ("http://a,b/", "neither"),
            ("http://u%zz@a/", "hex digits"),
        ] {
            let error = Url::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let url = parse("http://user:p%40ss%3A@proxy:3128/");
        assert_eq!(url.credentials(), Some("user:p@ss:"));
        assert!(!format!("{url} {url:?}").contains("ss"));
        let error = Url::parse("ftp://user:secret@proxy/").expect_err("scheme");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    /// Texts with `hunter2` in every place before the last `@`.
    const SECRETS: &[&str] = &[
        "http://user:hunter2/x@host:1",
        "http://user:x/hunter2@host:1",
        "http://user:hunter2?x@host:1",
        "http://user:hunter2#x@host:1",
        "http://user:12/hunter2@host:1",
        "http://user:12?hunter2@host:1",
        "http://user:12#hunter2@host:1",
        "http://hunter2/x@host",
        "http://hunter2@a/x@host",
        "http://user:hunter2@x@host:0",
        "http://user:hunter2\\x@host:0",
        "http://user:hunter2 x@host",
        "http://user:hunter2\nx@host",
        "http://user:hunter2ä@host",
        "http://user:hunter2%zz@host",
        "http://user:hunter2%ff@host",
        "http://[hunter2]/@host",
        "https://user:hunter2/x@host",
        "socks5://user:hunter2/x@host",
        "hunter2://user@host",
        "user:hunter2://x@host",
        "user:hunter2/x@host",
        "http://user:hunter2@",
        "hunter2@",
    ];

    #[test]
    fn nothing_before_the_last_at_sign_is_shown() {
        for text in SECRETS {
            let shown = match Url::parse(text) {
                Ok(url) => format!("{url} {url:?} {}", url.authority_with_port()),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!shown.contains("hunter2"), "{text}: {shown}");
        }
        let shown = format!("{:?}", Url::parse("http://user:hunter2@host/").expect("a URL"));
        assert_eq!(shown, "Url(http://host/)");
    }

    #[test]
    fn a_delimiter_in_a_password_is_refused_with_what_to_write_instead() {
        for delimiter in ["/", "?", "#"] {
            let text = format!("http://user:12{delimiter}34@host:1/");
            let error = Url::parse(&text).expect_err(&text).to_string();
            assert!(error.starts_with("cannot use URL \"***@host:1/\": "), "{error}");
            for part in ["percent-encode", "/ is %2F", "? is %3F", "# is %23", "@ in a path as %40"]
            {
                assert!(error.contains(part), "{error}");
            }
        }
        let encoded = parse("http://user:1%2F2%3F3%234@host:1/%40user");
        assert_eq!(encoded.credentials(), Some("user:1/2?3#4"));
        assert_eq!(encoded.path(), "/%40user");
    }
}
