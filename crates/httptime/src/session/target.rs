use std::net::{IpAddr, SocketAddr};

use crate::error::Error;
use crate::http::Request;
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
    /// What to ask the proxy for first, if it is to open a tunnel.
    connect: Option<Request>,
    request: Request,
}

impl Target {
    /// A server that is reached directly.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] when the URL has credentials, or cannot stand in a request.
    pub fn new(url: Url) -> Result<Self, Error> {
        check(&url)?;
        let request = Request::head(&url.authority(), url.path())?;
        Ok(Self { url, proxy: None, connect: None, request })
    }

    /// A server that is reached through an HTTP proxy. With `tunnel`, the proxy is asked for a tunnel (`CONNECT`), and no
    /// cache on it can answer; without, it forwards requests in absolute form.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::InvalidUrl`] when the proxy's credentials cannot stand in a field.
    pub fn via_proxy(url: Url, proxy: Url, tunnel: bool) -> Result<Self, Error> {
        check(&url)?;
        let (authority, path) = (url.authority(), url.path());
        let basic = proxy.authorization();
        let basic = basic.as_deref();
        let (connect, request) = if tunnel {
            let connect = Request::connect(&url.authority_with_port(), basic)?;
            (Some(connect), Request::head(&authority, path)?)
        } else {
            (None, Request::head_via_proxy(&authority, path, basic)?)
        };
        Ok(Self { proxy: Some(proxy), connect, request, url })
    }

    /// A server that is reached through `proxy`, if there is one: [`new`](Self::new) or [`via_proxy`](Self::via_proxy).
    ///
    /// # Errors
    /// As those.
    pub fn of(url: Url, proxy: Option<Url>, tunnel: bool) -> Result<Self, Error> {
        match proxy {
            Some(proxy) => Self::via_proxy(url, proxy, tunnel),
            None => Self::new(url),
        }
    }

    /// The server.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
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

    pub(super) fn request(&self) -> &[u8] {
        self.request.as_bytes()
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

    /// Why a response is the proxy's own and not the server's.
    pub(super) fn refusal(&self, status: u16) -> Option<Error> {
        match status {
            407 if self.is_forwarded() => Some(Error::ProxyCredentials),
            502..=504 if self.is_forwarded() => Some(Error::ProxyRefused { status }),
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
