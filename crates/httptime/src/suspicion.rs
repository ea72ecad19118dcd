use std::fmt;

use crate::url::Url;

/// Why a response may not be the server's. Then the clock of someone else was measured.
///
/// ```
/// use httptime::{Suspicion, Url};
///
/// let url = Url::parse("http://a.example/generate_204")?;
/// assert_eq!(Suspicion::of(&url, 204, None, false), None);
/// let portal = Suspicion::of(&url, 200, Some("text/html; charset=utf-8"), false);
/// assert_eq!(portal, Some(Suspicion::Portal { status: 200, is_html: true }));
/// # Ok::<(), httptime::Error>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suspicion {
    /// A path that only gives 204, by which systems detect a captive portal, gives another status;
    /// or the status is 511, with which a portal asks for a login (RFC 6585, section 6).
    Portal {
        /// The status code.
        status: u16,
        /// Whether the response declares a page of HTML.
        is_html: bool,
    },
    /// A proxy forwards the requests, and the status is one that proxies give by themselves: a
    /// redirect to a login page, a refusal, or a failure.
    Proxy {
        /// The status code.
        status: u16,
    },
}

impl Suspicion {
    /// Judges a response by the URL that was asked for, its status and `Content-Type`, and whether
    /// a proxy forwards the requests (without a tunnel).
    #[must_use]
    pub fn of(
        url: &Url,
        status: u16,
        content_type: Option<&str>,
        is_forwarded: bool,
    ) -> Option<Self> {
        let is_html = content_type.is_some_and(is_html);
        match status {
            511 => Some(Self::Portal { status, is_html }),
            204 => None,
            _ if is_generate_204(url) => Some(Self::Portal { status, is_html }),
            300..=399 | 403 | 500..=599 if is_forwarded => Some(Self::Proxy { status }),
            _ => None,
        }
    }

    /// The stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Portal { .. } => "captive_portal",
            Self::Proxy { .. } => "proxy",
        }
    }
}

impl fmt::Display for Suspicion {
    /// What was seen: `status 200 with a page of HTML instead of 204`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Portal { status: 511, .. } => f.write_str("status 511 (login required)"),
            Self::Portal { status, is_html } => {
                let page = if is_html { " with a page of HTML" } else { "" };
                write!(f, "status {status}{page} instead of 204")
            }
            Self::Proxy { status } => write!(f, "status {status}"),
        }
    }
}

/// Whether the path is one of those that only give 204.
fn is_generate_204(url: &Url) -> bool {
    let path = url.path().split('?').next().unwrap_or_default();
    path.ends_with("/generate_204") || path.ends_with("/gen_204")
}

/// Whether a media type is `text/html`, with or without parameters (RFC 9110, section 8.3.1).
fn is_html(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("text/html")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTML: Option<&str> = Some("Text/HTML; charset=utf-8");

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn a_status_that_proxies_give_is_suspicious_through_a_proxy_only() {
        let server = url("http://a.example/");
        for status in [301, 302, 403, 500, 503] {
            let proxy = Some(Suspicion::Proxy { status });
            assert_eq!(Suspicion::of(&server, status, HTML, true), proxy);
            assert_eq!(Suspicion::of(&server, status, HTML, false), None);
        }
        for status in [200, 204, 404, 405, 429] {
            assert_eq!(Suspicion::of(&server, status, HTML, true), None, "{status}");
        }
    }

    #[test]
    fn a_path_for_204_with_another_status_is_a_portal() {
        for path in ["generate_204", "gen_204?x=1"] {
            let server = url(&format!("http://a.example/{path}"));
            for (status, content_type, is_html) in [
                (200, HTML, true),
                (200, Some("text/plain"), false),
                (302, None, false),
                (511, HTML, true),
            ] {
                let portal = Some(Suspicion::Portal { status, is_html });
                assert_eq!(Suspicion::of(&server, status, content_type, true), portal);
                assert_eq!(Suspicion::of(&server, status, content_type, false), portal);
            }
            assert_eq!(Suspicion::of(&server, 204, HTML, false), None);
        }
        let other = url("http://a.example/generate_2040");
        assert_eq!(Suspicion::of(&other, 200, HTML, false), None);
        let login = Suspicion::of(&other, 511, HTML, false).expect("a portal");
        assert_eq!(login.kind(), "captive_portal");
    }

    #[test]
    fn what_was_seen_is_in_words() {
        let of = |status, is_html| Suspicion::Portal { status, is_html }.to_string();
        assert_eq!(of(200, true), "status 200 with a page of HTML instead of 204");
        assert_eq!(of(302, false), "status 302 instead of 204");
    }
}
