//! Errors of the command line without passwords: clap quotes invalid arguments.

use clap::Error;
use clap::error::{ContextKind, ContextValue};
use httptime::Url;

/// The error with every quoted argument redacted.
pub(crate) fn redacted(mut error: Error) -> Error {
    let quoting: Vec<(ContextKind, ContextValue)> = error
        .context()
        .filter_map(|(kind, value)| Some((kind, without_password(value)?)))
        .collect();
    for (kind, value) in quoting {
        error.insert(kind, value);
    }
    error
}

/// The replacement for a value that quotes text with an `@`.
fn without_password(value: &ContextValue) -> Option<ContextValue> {
    let redacted = |text: &String| Url::redacted(text).into_owned();
    match value {
        ContextValue::String(text) if text.contains('@') => {
            Some(ContextValue::String(redacted(text)))
        }
        ContextValue::Strings(texts) if texts.iter().any(|text| text.contains('@')) => {
            Some(ContextValue::Strings(texts.iter().map(redacted).collect()))
        }
        // No value of this program begins with a dash.
        ContextValue::StyledStrs(texts)
            if texts.iter().any(|text| text.to_string().starts_with("to pass ")) =>
        {
            Some(ContextValue::None)
        }
        // Advice that repeats the argument.
        ContextValue::StyledStr(text) if text.to_string().contains('@') => Some(ContextValue::None),
        ContextValue::StyledStrs(texts) if texts.iter().any(|t| t.to_string().contains('@')) => {
            Some(ContextValue::None)
        }
        _ => None,
    }
}
