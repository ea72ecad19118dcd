use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::security::{PeerSecurity, Security};
use super::socks::Socks;
use crate::error::Error;
use crate::http::{Request, RequestSpec, ResponseHead, USER_AGENT};
use crate::method::Method;
use crate::suspicion::Suspicion;
use crate::tls::Peer;
use crate::url::Url;

/// A server, and the route to it: direct or through an HTTP proxy. Contains the requests to both,
/// which are built once.
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
    route: Route,
    /// The first request to the proxy, if it must open a tunnel.
    connect: Option<Request>,
    request: Request,
    /// The request to send if `HEAD` fails, for [`Method::Auto`].
    fallback: Option<Request>,
}

/// What a target is built from.
#[derive(Debug, Clone)]
struct Route {
    url: Url,
    proxy: Option<Url>,
    tunnel: bool,
    method: Method,
    user_agent: Box<str>,
    security: Option<Arc<dyn Security>>,
}

impl Target {
    /// A server that is reached directly.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] if the URL has credentials or cannot be part of a request.
    pub fn new(url: Url) -> Result<Self, Error> {
        Self::with_optional_proxy(url, None, false)
    }

    /// A server that is reached through an HTTP or SOCKS5 proxy. With `tunnel` an HTTP proxy must
    /// open a tunnel (`CONNECT`), so that its cache cannot answer. Without, it forwards requests in
    /// absolute form. An `https` server always has a tunnel, and SOCKS5 is one.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::InvalidUrl`] if the proxy's credentials cannot be part
    /// of a field.
    pub fn via_proxy(url: Url, proxy: Url, tunnel: bool) -> Result<Self, Error> {
        Self::with_optional_proxy(url, Some(proxy), tunnel)
    }

    /// A server that is reached through `proxy`, if there is one: [`new`](Self::new) or
    /// [`via_proxy`](Self::via_proxy).
    ///
    /// # Errors
    /// The errors of these functions.
    pub fn with_optional_proxy(url: Url, proxy: Option<Url>, tunnel: bool) -> Result<Self, Error> {
        let (method, user_agent) = (Method::Auto, USER_AGENT.into());
        Self::build(Route { url, proxy, tunnel, method, user_agent, security: None })
    }

    /// Sets the `User-Agent`, also for the proxy; empty: no such field [default:
    /// `httptime/VERSION`].
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for more than 256 characters, for characters that are not printable
    /// ASCII, and for a space at either end.
    pub fn with_user_agent(self, user_agent: &str) -> Result<Self, Error> {
        Self::build(Route { user_agent: user_agent.into(), ..self.route })
    }

    /// Sets the method [default: `auto`].
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_method(self, method: Method) -> Result<Self, Error> {
        Self::build(Route { method, ..self.route })
    }

    /// Sets who provides TLS [default: nobody]. Without it, a session with an `https` server or
    /// proxy fails with [`Error::NoHttps`].
    #[must_use]
    pub fn with_security(mut self, security: Arc<dyn Security>) -> Self {
        self.route.security = Some(security);
        self
    }

    /// The local clock judges the dates of certificates: [`Security::by_local_clock`].
    pub(crate) fn judge_by_local_clock(&mut self) {
        let security = self.route.security.as_ref();
        self.route.security = security.map(|security| security.by_local_clock());
    }

    fn build(route: Route) -> Result<Self, Error> {
        let Route { url, proxy, tunnel, method, user_agent, .. } = &route;
        check(url)?;
        // A proxy cannot forward requests to a server that only the client can verify.
        let tunnel = *tunnel || url.is_https();
        let socks = proxy.as_ref().filter(|proxy| proxy.is_socks());
        // Its credentials are checked now, and not by each connection.
        socks.map(|proxy| Socks::new(proxy, url)).transpose()?;
        let proxy = proxy.as_ref().filter(|_| socks.is_none());
        let basic = proxy.and_then(Url::authorization);
        let is_absolute = proxy.is_some() && !tunnel;
        let (authority, authority_with_port) = (url.authority(), url.authority_with_port());
        let plain = RequestSpec { user_agent, ..RequestSpec::new(&authority, url.path()) };
        let to_proxy = RequestSpec { proxy_authorization: basic.as_deref(), ..plain };
        let connect = (proxy.is_some() && tunnel)
            .then(|| RequestSpec { authority: &authority_with_port, ..to_proxy }.connect())
            .transpose()?;
        let request = if is_absolute { RequestSpec { is_absolute, ..to_proxy } } else { plain };
        let of = |method| RequestSpec { method, ..request }.request();
        let fallback = (*method == Method::Auto).then(|| of(Method::Get)).transpose()?;
        let request = of(*method)?;
        Ok(Self { route, connect, request, fallback })
    }

    /// The server.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.route.url
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.route.method
    }

    /// Whether a front server answers the request by itself: [`Method::Options`]. A front server
    /// that passes it on nevertheless, such as `HAProxy`, also passes on the `Server` field of the
    /// origin.
    #[must_use]
    pub const fn is_answered_by_front(&self) -> bool {
        matches!(self.route.method, Method::Options)
    }

    /// The host and port to connect to: the proxy's if there is one.
    #[must_use]
    pub fn hop(&self) -> &Url {
        self.route.proxy.as_ref().unwrap_or(&self.route.url)
    }

    /// The proxy, if there is one.
    pub(super) const fn proxy(&self) -> Option<&Url> {
        self.route.proxy.as_ref()
    }

    /// The negotiation with the proxy, if it is a SOCKS5 proxy.
    pub(super) fn socks(&self) -> Result<Option<Socks>, Error> {
        let proxy = self.route.proxy.as_ref().filter(|proxy| proxy.is_socks());
        proxy.map(|proxy| Socks::new(proxy, &self.route.url)).transpose()
    }

    /// Whether the hop is the proxy or the server.
    pub(super) const fn hop_peer(&self) -> Peer {
        if self.route.proxy.is_some() { Peer::Proxy } else { Peer::Server }
    }

    /// The security of the connections of a session to this peer. `None` if there is no such peer,
    /// and for plain HTTP.
    pub(super) fn security_of(&self, peer: Peer) -> Result<Option<Box<dyn PeerSecurity>>, Error> {
        let url = match peer {
            Peer::Server => Some(&self.route.url),
            Peer::Proxy => self.route.proxy.as_ref(),
        };
        let Some(url) = url.filter(|url| url.is_https()) else { return Ok(None) };
        match &self.route.security {
            Some(security) => security.peer(peer, url.host()).map(Some),
            None => Err(Error::NoHttps { url: url.to_string() }),
        }
    }

    /// Whether a session can start: [`Error::NoHttps`], or an error of
    /// [`Security::peer`](super::Security::peer).
    pub(crate) fn check_security(&self) -> Result<(), Error> {
        self.security_of(Peer::Server)?;
        self.security_of(Peer::Proxy)?;
        Ok(())
    }

    /// The address, if the hop is given as an address.
    pub(crate) fn literal_address(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.hop().host().parse().ok()?;
        Some(SocketAddr::new(ip, self.hop().port()))
    }

    pub(super) fn connect(&self) -> Option<&[u8]> {
        self.connect.as_ref().map(Request::as_bytes)
    }

    /// The request of this method, which is [`method`](Self::method) or its fallback.
    pub(super) fn request(&self, method: Method) -> &[u8] {
        let fallback = self.fallback.as_ref().filter(|_| method == Method::Get);
        fallback.unwrap_or(&self.request).as_bytes()
    }

    /// Whether the path ends with a file name extension.
    pub(super) fn has_extension(&self) -> bool {
        let path = self.route.url.path().split('?').next().unwrap_or_default();
        path.rsplit('/')
            .next()
            .is_some_and(|name| [".", "%2e", "%2E"].iter().any(|dot| name.contains(dot)))
    }

    /// Whether a proxy forwards the requests.
    pub(super) const fn is_forwarded(&self) -> bool {
        match &self.route.proxy {
            Some(proxy) => !proxy.is_socks() && self.connect.is_none(),
            None => false,
        }
    }

    /// Why a response with this status and `Content-Type` may not be the server's.
    pub(super) fn suspicion(&self, status: u16, content_type: Option<&str>) -> Option<Suspicion> {
        Suspicion::of(&self.route.url, status, content_type, self.is_forwarded())
    }

    /// Refuses a response to a request of this method that is not the server's, or may not be: it
    /// is the proxy's own, or its status is not the expected one.
    pub(super) fn check_answer(
        &self,
        method: Method,
        head: &ResponseHead<'_>,
        expected: Option<u16>,
    ) -> Result<(), Error> {
        let status = head.status();
        match (self.proxy_refusal(method, head), expected) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(expected)) if status != expected => {
                Err(Error::UnexpectedStatus { status, expected })
            }
            _ => Ok(()),
        }
    }

    fn proxy_refusal(&self, method: Method, head: &ResponseHead<'_>) -> Option<Error> {
        let is_forwarded = self.is_forwarded();
        let status = head.status();
        match status {
            407 if is_forwarded => Some(credentials_refused(head)),
            502..=504 if is_forwarded => Some(Error::ProxyRefused { status }),
            // Every server implements `GET`. A proxy that does not implement `OPTIONS` reports this
            // with its own clock.
            501 if is_forwarded && method.has_body() => Some(Error::ProxyRefused { status }),
            400 | 405 if is_forwarded && method == Method::Options => {
                Some(Error::ProxyRefused { status })
            }
            _ => None,
        }
    }
}

/// The error for a status 407.
pub(super) fn credentials_refused(head: &ResponseHead<'_>) -> Error {
    match head.unsupported_challenge() {
        Some(scheme) => Error::ProxyScheme { scheme },
        None => Error::ProxyCredentials,
    }
}

fn check(url: &Url) -> Result<(), Error> {
    if url.is_socks() {
        return Err(Error::InvalidUrl {
            url: url.to_string(),
            reason: "only a proxy can be reached by SOCKS5; write http://host or https://host",
        });
    }
    if url.credentials().is_some() {
        return Err(Error::InvalidUrl {
            url: url.to_string(),
            reason: "only a proxy's URL may have a user name and password, no server's",
        });
    }
    Ok(())
}
