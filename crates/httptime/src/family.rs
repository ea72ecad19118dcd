use crate::names::by_name;

/// Which addresses of a name to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(
    clippy::exhaustive_enums,
    reason = "there is no third family, and whoever filters addresses must match all"
)]
pub enum Family {
    /// Whatever the resolver gives, in its order.
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

    /// The name, as [`FromStr`](std::str::FromStr) takes it.
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
