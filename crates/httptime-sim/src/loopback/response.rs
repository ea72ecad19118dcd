//! Formats heads of responses.

/// An HTTP response. Its fields are written in their order.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Response {
    /// The version [default: `HTTP/1.1`].
    pub version: &'static str,
    /// The status code.
    pub status: u16,
    /// Names and values of the fields.
    pub fields: Vec<(String, String)>,
}

impl Response {
    /// A response with this status. If the status allows a body, it has the fields that announce a
    /// body of this length.
    #[must_use]
    pub fn new(status: u16, body: &[u8]) -> Self {
        let mut response = Self { version: "HTTP/1.1", status, fields: Vec::with_capacity(8) };
        if has_body(status) {
            response.push("Content-Type", "text/plain");
            response.push("Content-Length", &body.len().to_string());
        }
        response
    }

    /// Appends a field.
    pub fn push(&mut self, name: &str, value: &str) {
        self.fields.push((name.to_owned(), value.to_owned()));
    }

    /// The head as bytes, including the blank line.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(512);
        let reason = reason(self.status);
        head.extend_from_slice(format!("{} {} {reason}\r\n", self.version, self.status).as_bytes());
        for (name, value) in &self.fields {
            for part in [name.as_str(), ": ", value, "\r\n"] {
                head.extend_from_slice(part.as_bytes());
            }
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// Whether a response with this status can have a body (RFC 9110, sections 15.3.5 and 15.4.5).
#[must_use]
pub fn has_body(status: u16) -> bool {
    status != 204 && status != 304
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
