//! A server or a proxy as the user wrote it.

use std::fmt;

use httptime::Url;
use serde::Deserialize;

/// A URL or a host name as the user wrote it. `Debug` shows no password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct ServerArg(String);

impl ServerArg {
    /// A host name becomes an `http://` URL.
    pub(crate) fn url(&self) -> String {
        // "http:/host" is a scheme that is written wrong, and not a host called "http".
        let (start, rest) = self.0.split_once(':').unwrap_or((&self.0, ""));
        let is_broken = ["http", "https"].iter().any(|scheme| start.eq_ignore_ascii_case(scheme))
            && rest.starts_with(|next: char| !next.is_ascii_digit());
        let has_scheme = is_broken || self.0.contains("://");
        if has_scheme { self.0.clone() } else { format!("http://{}", self.0) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for ServerArg {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for ServerArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Url::redacted(&self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_password() {
        let shown = format!("{:?}", ServerArg::from("user:hunter2/x@host".to_owned()));
        assert_eq!(shown, "\"***@host\"");
    }
}
