use std::net::{IpAddr, SocketAddr};

use crate::error::Error;
use crate::http::{Request, USER_AGENT, Wording};
use crate::method::Method;
use crate::url::Url;

/// A server, and how to reach it: directly or through an HTTP proxy. What is said to either is built once, here.
///
/// ```
/// use httptime::Url;
/// use httptime::session::Target;
///
/// let proxy = Url::parse("http://user:password@192.0.2.128:3128/")?;
/// let target = Target::via_proxy(Url::parse("http://192.0.2.1/")?, proxy, true)?;
/// assert_eq!(target.hop().port(), 3128);
/// # Ok::<(), httptime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Target {
    url: Url,
    proxy: Option<Url>,
    tunnel: bool,
    method: Method,
    user_agent: Box<str>,
    /// What to ask the proxy for first, if it is to open a tunnel.
    connect: Option<Request>,
    request: Request,
    /// What to send instead where `HEAD` is of no use, if the method is [`Method::Auto`].
    fallback: Option<Request>,
}

impl Target {
    /// A server that is reached directly.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] when the URL has credentials, or cannot stand in a request.
    pub fn new(url: Url) -> Result<Self, Error> {
        Self::build(url, None, false, Method::Auto, USER_AGENT.into())
    }

    /// A server that is reached through an HTTP proxy. With `tunnel`, the proxy is asked for a tunnel (`CONNECT`), and no
    /// cache on it can answer; without, it forwards requests in absolute form.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::InvalidUrl`] when the proxy's credentials cannot stand in a field.
    pub fn via_proxy(url: Url, proxy: Url, tunnel: bool) -> Result<Self, Error> {
        Self::build(url, Some(proxy), tunnel, Method::Auto, USER_AGENT.into())
    }

    /// A server that is reached through `proxy`, if there is one: [`new`](Self::new) or [`via_proxy`](Self::via_proxy).
    ///
    /// # Errors
    /// As those.
    pub fn with_optional_proxy(url: Url, proxy: Option<Url>, tunnel: bool) -> Result<Self, Error> {
        match proxy {
            Some(proxy) => Self::via_proxy(url, proxy, tunnel),
            None => Self::new(url),
        }
    }

    /// The same with another `User-Agent`, to the proxy too; empty for none [default: `httptime/VERSION`].
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for more than 256 characters, for one that is not printable ASCII, and for a space at either end.
    pub fn with_user_agent(self, user_agent: &str) -> Result<Self, Error> {
        Self::build(self.url, self.proxy, self.tunnel, self.method, user_agent.into())
    }

    /// The same, asked by another method [default: `auto`].
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_method(self, method: Method) -> Result<Self, Error> {
        Self::build(self.url, self.proxy, self.tunnel, method, self.user_agent)
    }

    fn build(
        url: Url,
        proxy: Option<Url>,
        tunnel: bool,
        method: Method,
        user_agent: Box<str>,
    ) -> Result<Self, Error> {
        check(&url)?;
        let basic = proxy.as_ref().and_then(Url::authorization);
        let is_absolute = proxy.is_some() && !tunnel;
        let (authority, authority_with_port) = (url.authority(), url.authority_with_port());
        let plain = Wording { user_agent: &user_agent, ..Wording::new(&authority, url.path()) };
        let to_proxy = Wording { proxy_authorization: basic.as_deref(), ..plain };
        let connect = (proxy.is_some() && tunnel)
            .then(|| Wording { authority: &authority_with_port, ..to_proxy }.connect())
            .transpose()?;
        let request = if is_absolute { Wording { is_absolute, ..to_proxy } } else { plain };
        let of = |method| Wording { method, ..request }.request();
        let fallback = (method == Method::Auto).then(|| of(Method::Get)).transpose()?;
        let request = of(method)?;
        Ok(Self { url, proxy, tunnel, method, user_agent, connect, request, fallback })
    }

    /// The server.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// How it is asked.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Whether the request is one that a server in front of others answers by itself: [`Method::Options`]. One that passes it on all
    /// the same, as `HAProxy` does, passes on the `Server` of whoever answers.
    #[must_use]
    pub const fn is_answered_by_front(&self) -> bool {
        matches!(self.method, Method::Options)
    }

    /// Where connections go: to the proxy if there is one.
    #[must_use]
    pub fn hop(&self) -> &Url {
        self.proxy.as_ref().unwrap_or(&self.url)
    }

    /// The address, if the hop is named by one.
    pub(super) fn literal(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.hop().host().parse().ok()?;
        Some(SocketAddr::new(ip, self.hop().port()))
    }

    pub(super) fn connect(&self) -> Option<&[u8]> {
        self.connect.as_ref().map(Request::as_bytes)
    }

    /// The request of this method, which is [`method`](Self::method) or follows from it.
    pub(super) fn request(&self, method: Method) -> &[u8] {
        let fallback = self.fallback.as_ref().filter(|_| method == Method::Get);
        fallback.unwrap_or(&self.request).as_bytes()
    }

    /// Whether the path ends with a file name extension.
    pub(super) fn has_extension(&self) -> bool {
        let path = self.url.path().split('?').next().unwrap_or_default();
        path.rsplit('/')
            .next()
            .is_some_and(|name| [".", "%2e", "%2E"].iter().any(|dot| name.contains(dot)))
    }

    /// Whether a proxy forwards the requests.
    pub(super) const fn is_forwarded(&self) -> bool {
        self.proxy.is_some() && self.connect.is_none()
    }

    /// Why a response to a request of this method is the proxy's own and not the server's, or may be.
    pub(super) fn refusal(&self, method: Method, status: u16) -> Option<Error> {
        let is_forwarded = self.is_forwarded();
        match status {
            407 if is_forwarded => Some(Error::ProxyCredentials),
            502..=504 if is_forwarded => Some(Error::ProxyRefused { status }),
            // Every server knows `GET`; a proxy that does not know `OPTIONS` says so with its own clock.
            501 if is_forwarded && method.has_body() => Some(Error::ProxyRefused { status }),
            400 | 405 if is_forwarded && method == Method::Options => {
                Some(Error::ProxyRefused { status })
            }
            _ => None,
        }
    }
}

fn check(url: &Url) -> Result<(), Error> {
    if url.credentials().is_some() {
        return Err(Error::InvalidUrl {
            url: url.to_string(),
            reason: "a Date needs no credentials; only a proxy's URL may have them",
        });
    }
    Ok(())
}
