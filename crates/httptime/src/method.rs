use crate::names::by_name;

/// The method of the requests.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// [`Head`](Self::Head) first. If the first response to it refuses the method (status 405 or
    /// 501, with or without a `Date`) or has no `Date`, or if the server closes the connection
    /// without a response, [`Get`](Self::Get) from then on.
    #[default]
    Auto,
    /// `HEAD`: the response has no body.
    Head,
    /// `GET`. At most 64 KiB of a body are read: after a longer one, or one of unknown length, the
    /// connection is closed.
    Get,
    /// `OPTIONS *` (RFC 9110, section 9.3.7), which refers to the server and not to a resource.
    /// Most front servers answer it by themselves; `HAProxy` passes it on. The path of the URL is
    /// not sent.
    Options,
}

impl Method {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Auto, Self::Head, Self::Get, Self::Options];

    /// The name, which [`FromStr`](std::str::FromStr) accepts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Head => "head",
            Self::Get => "get",
            Self::Options => "options",
        }
    }

    /// The method of the first request: `HEAD` for [`Auto`](Self::Auto).
    pub(crate) const fn initial(self) -> Self {
        match self {
            Self::Auto => Self::Head,
            other => other,
        }
    }

    /// Whether a final response to it can have a body.
    pub(crate) const fn has_body(self) -> bool {
        matches!(self, Self::Get | Self::Options)
    }
}

by_name!(Method, "method");
