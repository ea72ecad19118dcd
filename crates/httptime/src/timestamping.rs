use crate::names::by_name;

/// The source of the timestamps of requests and responses.
///
/// The kernel timestamps a packet when it leaves for the network device or arrives from it. A
/// process reads the clock only when it runs. Kernel timestamps exist on Linux (`SO_TIMESTAMPING`).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Timestamping {
    /// The kernel's where they exist, otherwise the process's, for each request.
    #[default]
    Auto,
    /// Only the kernel's. A response without both timestamps is not used.
    Kernel,
    /// Only the process's. Kernel timestamps are not requested.
    User,
}

impl Timestamping {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Auto, Self::Kernel, Self::User];

    /// The name, which [`FromStr`](std::str::FromStr) accepts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kernel => "kernel",
            Self::User => "user",
        }
    }

    /// Whether a driver requests kernel timestamps.
    #[must_use]
    pub const fn should_ask_kernel(self) -> bool {
        !matches!(self, Self::User)
    }
}

by_name!(Timestamping, "timestamps");
