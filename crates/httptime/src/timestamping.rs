use crate::names::by_name;

/// Who says when a request left and a response came.
///
/// The kernel sees a packet when it leaves for the network device or comes from it, the process only once it gets to run. The
/// kernel tells on Linux (`SO_TIMESTAMPING`).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Timestamping {
    /// The kernel where it says so, else the process, request by request.
    #[default]
    Auto,
    /// The kernel; a response without both of its times is not used.
    Kernel,
    /// The process. The kernel is not asked.
    User,
}

impl Timestamping {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Auto, Self::Kernel, Self::User];

    /// The name, as [`FromStr`](std::str::FromStr) takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kernel => "kernel",
            Self::User => "user",
        }
    }

    /// Whether a driver asks the kernel when bytes leave and arrive.
    #[must_use]
    pub const fn should_ask_kernel(self) -> bool {
        !matches!(self, Self::User)
    }
}

by_name!(Timestamping, "timestamping");
