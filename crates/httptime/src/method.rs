use crate::names::by_name;

/// Which request the server is sent.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// [`Head`](Self::Head). Where the first answer to it has no `Date`, or the server closes the connection without any,
    /// [`Get`](Self::Get) from then on.
    #[default]
    Auto,
    /// `HEAD`: the answer is a head alone.
    Head,
    /// `GET`. A body is not read beyond 64 KiB: the connection is closed after one that is longer or of unknown length.
    Get,
    /// `OPTIONS *` (RFC 9110, section 9.3.7), which is about the server and not about a resource: most servers that stand in front
    /// of others answer it by themselves; `HAProxy` passes it on. The path of the URL is not sent.
    Options,
}

impl Method {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Auto, Self::Head, Self::Get, Self::Options];

    /// The name, as [`FromStr`](std::str::FromStr) takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Head => "head",
            Self::Get => "get",
            Self::Options => "options",
        }
    }

    /// What is sent first: `HEAD` for [`Auto`](Self::Auto).
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
