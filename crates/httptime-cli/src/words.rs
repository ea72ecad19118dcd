//! The parts of a message.

/// What happened, without the advice that follows.
pub(crate) fn without_remedy(message: &str) -> &str {
    message.split_once("; ").map_or(message, |(what, _)| what)
}
