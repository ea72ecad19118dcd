use crate::names::by_name;

/// The address family to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(
    clippy::exhaustive_enums,
    reason = "there is no third family, and code that filters addresses must match all"
)]
pub enum Family {
    /// Every address of the resolver, in its order.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Any, Self::V4, Self::V6];

    /// The name, which [`FromStr`](std::str::FromStr) accepts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

by_name!(Family, "family");
