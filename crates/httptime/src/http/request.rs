//! Requests, as bytes.

use std::fmt;

use crate::error::Error;
use crate::method::Method;
use crate::url::Url;

/// The default value of `User-Agent`.
pub const USER_AGENT: &str = concat!("httptime/", env!("CARGO_PKG_VERSION"));

/// A request: built once for each target, sent any number of times.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// `HEAD /path`, for the server itself, also through a tunnel.
    ///
    /// `authority` is the host, plus the port if it is not the scheme's default, as in the URL: an
    /// IPv6 address in brackets and without its zone, no user name. `path` begins with a slash and
    /// includes the query, if there is one.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] if one of them contains a character that is not allowed in a request
    /// line: a space, a control character, a character outside ASCII.
    pub fn head(authority: &str, path: &str) -> Result<Self, Error> {
        RequestSpec::new(authority, path).request()
    }

    /// `HEAD http://authority/path`, for an HTTP proxy that forwards it.
    ///
    /// `proxy_authorization` is the complete value of the field: `Basic ` and the encoded
    /// credentials.
    ///
    /// # Errors
    /// As [`head`](Self::head), and [`Error::InvalidUrl`] for credentials with a control character.
    pub fn head_via_proxy(
        authority: &str,
        path: &str,
        proxy_authorization: Option<&str>,
    ) -> Result<Self, Error> {
        let spec = RequestSpec {
            is_absolute: true,
            proxy_authorization,
            ..RequestSpec::new(authority, path)
        };
        spec.request()
    }

    /// `CONNECT host:port`, for an HTTP proxy that opens a tunnel.
    ///
    /// # Errors
    /// As [`head_via_proxy`](Self::head_via_proxy), and [`Error::InvalidUrl`] if `authority` has no
    /// port.
    pub fn connect(authority: &str, proxy_authorization: Option<&str>) -> Result<Self, Error> {
        RequestSpec { proxy_authorization, ..RequestSpec::new(authority, "/") }.connect()
    }

    /// The bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The contents of a request.
#[derive(Clone, Copy)]
pub(crate) struct RequestSpec<'a> {
    pub(crate) method: Method,
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    /// The value of `User-Agent`; empty for none.
    pub(crate) user_agent: &'a str,
    /// Whether it has the absolute form, for an HTTP proxy that forwards it.
    pub(crate) is_absolute: bool,
    pub(crate) proxy_authorization: Option<&'a str>,
}

impl<'a> RequestSpec<'a> {
    pub(crate) const fn new(authority: &'a str, path: &'a str) -> Self {
        Self {
            method: Method::Head,
            authority,
            path,
            user_agent: USER_AGENT,
            is_absolute: false,
            proxy_authorization: None,
        }
    }

    /// The request for a date.
    pub(crate) fn request(&self) -> Result<Request, Error> {
        self.validate()?;
        check_path(self.authority, self.path)?;
        let verb = match self.method {
            Method::Auto | Method::Head => "HEAD ",
            Method::Get => "GET ",
            Method::Options => "OPTIONS ",
        };
        // A proxy turns an absolute form without a path into `*` (RFC 9112, section 3.2.4).
        let path = match (self.method, self.is_absolute) {
            (Method::Options, true) => "",
            (Method::Options, false) => "*",
            _ => self.path,
        };
        let (scheme, authority) =
            if self.is_absolute { ("http://", self.authority) } else { ("", "") };
        let line = [verb, scheme, authority, path];
        Ok(self.write(&line, DATE_REQUEST_FIELDS))
    }

    /// The request for a tunnel to the authority, which must have a port.
    pub(crate) fn connect(&self) -> Result<Request, Error> {
        self.validate()?;
        let port = self.authority.rsplit_once(':').map_or("", |(_, port)| port);
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid_url(self.authority, "a tunnel needs a port"));
        }
        Ok(self.write(&["CONNECT ", self.authority], ""))
    }

    fn validate(&self) -> Result<(), Error> {
        check_authority(self.authority)?;
        check_user_agent(self.user_agent)?;
        check_credentials(self.authority, self.proxy_authorization)
    }

    /// The request that begins with this line up to the version.
    fn write(&self, line: &[&str], fields: &str) -> Request {
        let mut text = line.concat();
        for part in [" HTTP/1.1\r\nHost: ", self.authority, "\r\n"] {
            text.push_str(part);
        }
        if !self.user_agent.is_empty() {
            for part in ["User-Agent: ", self.user_agent, "\r\n"] {
                text.push_str(part);
            }
        }
        text.push_str(fields);
        if let Some(credentials) = self.proxy_authorization {
            for part in ["Proxy-Authorization: ", credentials, "\r\n"] {
                text.push_str(part);
            }
        }
        text.push_str("\r\n");
        Request { bytes: text.into_bytes() }
    }
}

impl fmt::Debug for Request {
    /// Only the request line: the fields may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        f.debug_tuple("Request").field(&String::from_utf8_lossy(line)).finish()
    }
}

fn check_authority(authority: &str) -> Result<(), Error> {
    let reason = if authority.contains('@') {
        "a user name does not belong in the request"
    } else if authority.is_empty() || authority.starts_with(':') {
        "it has no host"
    } else if !is_visible_ascii(authority) {
        NOT_VISIBLE_ASCII
    } else if authority.contains(['/', '?', '#', '\\']) {
        "the host contains a delimiter"
    } else if !authority.starts_with('[') && authority.matches(':').count() > 1 {
        "an IPv6 address needs brackets"
    } else {
        return Ok(());
    };
    Err(invalid_url(authority, reason))
}

fn check_path(authority: &str, path: &str) -> Result<(), Error> {
    let reason = if !path.starts_with('/') {
        "the path does not begin with a slash"
    } else if !is_visible_ascii(path) {
        NOT_VISIBLE_ASCII
    } else if path.contains('#') {
        "a fragment does not belong in the request"
    } else {
        return Ok(());
    };
    Err(invalid_url(&[authority, path].concat(), reason))
}

fn check_credentials(authority: &str, credentials: Option<&str>) -> Result<(), Error> {
    match credentials {
        Some(value) if value.is_empty() || !value.bytes().all(|b| matches!(b, b' '..=b'~')) => {
            Err(invalid_url(authority, "the proxy credentials are not printable ASCII"))
        }
        _ => Ok(()),
    }
}

fn check_user_agent(user_agent: &str) -> Result<(), Error> {
    let reason = if user_agent.len() > MAX_USER_AGENT_BYTES {
        format!("user_agent has {} bytes; allowed: up to {MAX_USER_AGENT_BYTES}", user_agent.len())
    } else if !user_agent.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        "user_agent has a character that is not printable ASCII; remove it".into()
    } else if user_agent.trim_ascii() != user_agent {
        "user_agent begins or ends with a space; remove it".into()
    } else {
        return Ok(());
    };
    Err(Error::InvalidConfig { reason })
}

/// Whether the text can be part of a request line without ending the line or a part of it.
fn is_visible_ascii(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn invalid_url(url: &str, reason: &'static str) -> Error {
    // The text before an `@` may be a password.
    Error::InvalidUrl { url: Url::redacted(url).into_owned(), reason }
}

/// The longest `User-Agent`, in bytes: browsers send some 120.
const MAX_USER_AGENT_BYTES: usize = 256;
const NOT_VISIBLE_ASCII: &str = "it contains a space, a control character or one outside ASCII";
/// `no-cache` makes caches on the path ask the server, whose clock is measured. HTTP/1.0 servers
/// keep a connection open only on request.
const DATE_REQUEST_FIELDS: &str =
    "Accept: */*\r\nCache-Control: no-cache\r\nConnection: keep-alive\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHORIZATION: &str = "Basic dXNlcjpwYXNz";

    #[test]
    fn a_request_to_the_server_is_in_origin_form() {
        let request = Request::head("[2001:db8::1]:8080", "/a?b=%20c").expect("a good target");
        let expected = format!(
            "HEAD /a?b=%20c HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\nUser-Agent: {USER_AGENT}\r\n\
             Accept: */*\r\nCache-Control: no-cache\r\nConnection: keep-alive\r\n\r\n"
        );
        assert_eq!(text(&request), expected);
    }

    #[test]
    fn a_request_through_a_proxy_is_in_absolute_form() {
        let request = Request::head_via_proxy("a.example:8080", "/x", Some(AUTHORIZATION));
        let expected = format!(
            "HEAD http://a.example:8080/x HTTP/1.1\r\nHost: a.example:8080\r\n\
             User-Agent: {USER_AGENT}\r\nAccept: */*\r\nCache-Control: no-cache\r\n\
             Connection: keep-alive\r\nProxy-Authorization: {AUTHORIZATION}\r\n\r\n"
        );
        assert_eq!(text(&request.expect("a good target")), expected);
    }

    #[test]
    fn a_request_for_a_tunnel_names_host_and_port() {
        let request = Request::connect("[::1]:443", Some(AUTHORIZATION));
        let expected = format!(
            "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nUser-Agent: {USER_AGENT}\r\n\
             Proxy-Authorization: {AUTHORIZATION}\r\n\r\n"
        );
        assert_eq!(text(&request.expect("a good target")), expected);
        let open = Request::connect("a.example:443", None).expect("a good target");
        assert!(!text(&open).contains("Proxy-"));
    }

    #[test]
    fn a_tunnel_without_a_port_is_refused() {
        for authority in ["a.example", "a.example:", "a.example:http", "[::1]"] {
            assert_refused(Request::connect(authority, None), authority);
        }
    }

    #[test]
    fn nothing_can_be_injected_through_the_authority() {
        let controls = ('\0'..' ').chain(['\x7f', ' ', '\u{85}', '\u{2028}', 'é']);
        let others = ['/', '?', '#', '\\', '@'];
        for c in controls.chain(others) {
            let authority = format!("a{c}b.example:80");
            assert_refused(Request::head(&authority, "/"), &authority);
            assert_refused(Request::head_via_proxy(&authority, "/", None), &authority);
            assert_refused(Request::connect(&authority, None), &authority);
        }
        for authority in ["", ":80", "::1", "fe80::1:80"] {
            assert_refused(Request::head(authority, "/"), authority);
        }
    }

    #[test]
    fn nothing_can_be_injected_through_the_path() {
        for c in ('\0'..' ').chain(['\x7f', ' ', '\u{85}', 'é', '#']) {
            let path = format!("/a{c}b");
            assert_refused(Request::head("a.example", &path), &path);
            assert_refused(Request::head_via_proxy("a.example", &path, None), &path);
        }
        for path in ["", "a", "*", "?a"] {
            assert_refused(Request::head("a.example", path), path);
        }
    }

    #[test]
    fn nothing_can_be_injected_through_the_credentials() {
        for c in ('\0'..' ').chain(['\x7f', '\u{85}', 'é']) {
            let credentials = format!("Basic a{c}b");
            let via_proxy = Request::head_via_proxy("a.example", "/", Some(&credentials));
            assert_refused(via_proxy, &credentials);
            assert_refused(Request::connect("a.example:443", Some(&credentials)), &credentials);
        }
        assert_refused(Request::connect("a.example:443", Some("")), "empty");
    }

    #[test]
    fn each_method_has_its_form_to_the_server_and_to_a_proxy() {
        let line = |method, is_absolute| {
            let spec =
                RequestSpec { method, is_absolute, ..RequestSpec::new("a.example:8080", "/x?y") };
            let request = spec.request().expect("a good target");
            text(&request).lines().next().unwrap_or_default().to_owned()
        };
        for (method, to_server, to_proxy) in [
            (Method::Auto, "HEAD /x?y", "HEAD http://a.example:8080/x?y"),
            (Method::Head, "HEAD /x?y", "HEAD http://a.example:8080/x?y"),
            (Method::Get, "GET /x?y", "GET http://a.example:8080/x?y"),
            (Method::Options, "OPTIONS *", "OPTIONS http://a.example:8080"),
        ] {
            assert_eq!(line(method, false), format!("{to_server} HTTP/1.1"));
            assert_eq!(line(method, true), format!("{to_proxy} HTTP/1.1"));
        }
    }

    #[test]
    fn a_user_agent_is_sent_as_given_and_an_empty_one_not_at_all() {
        let with = |user_agent: &str| {
            let spec = RequestSpec { user_agent, ..RequestSpec::new("a.example:80", "/") };
            let requests = [spec.request(), spec.connect()];
            requests.map(|request| text(&request.expect("in range")).to_owned())
        };
        for request in with("curl/8.5.0 (x; y)") {
            assert!(request.contains("\r\nUser-Agent: curl/8.5.0 (x; y)\r\n"), "{request}");
        }
        for request in with("") {
            assert!(!request.contains("User-Agent"), "{request}");
        }
    }

    #[test]
    fn nothing_can_be_injected_through_the_user_agent() {
        let refused = |user_agent: &str| {
            let spec = RequestSpec { user_agent, ..RequestSpec::new("a.example:80", "/") };
            for request in [spec.request(), spec.connect()] {
                let error = request.expect_err(user_agent);
                assert_eq!(error.kind(), "invalid_config", "{user_agent:?}");
            }
        };
        for c in ('\0'..' ').chain(['\x7f', '\u{85}', 'é']) {
            refused(&format!("a{c}b"));
        }
        for user_agent in [" ", " a", "a ", &"a".repeat(MAX_USER_AGENT_BYTES + 1)] {
            refused(user_agent);
        }
        let longest = "a".repeat(MAX_USER_AGENT_BYTES);
        assert!(
            RequestSpec { user_agent: &longest, ..RequestSpec::new("a", "/") }.request().is_ok()
        );
    }

    #[test]
    fn no_password_shows_in_an_error_or_in_debug_output() {
        let error = Request::head("user:secret@a.example", "/").expect_err("a user name");
        assert!(!format!("{error} {error:?}").contains("secret"));
        let error = Request::head("user:12", "/secret@a.example#").expect_err("a fragment");
        assert!(!format!("{error} {error:?}").contains("secret"));
        let request = Request::connect("a.example:443", Some("Basic secret"));
        let shown = format!("{request:?}");
        assert!(!shown.contains("secret") && shown.contains("CONNECT a.example:443"), "{shown}");
    }

    fn assert_refused(request: Result<Request, Error>, input: &str) {
        assert_eq!(request.expect_err(input).kind(), "invalid_url", "{input:?}");
    }

    fn text(request: &Request) -> &str {
        std::str::from_utf8(request.as_bytes()).expect("ASCII")
    }
}
