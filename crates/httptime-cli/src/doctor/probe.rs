//! One request and the head of its response, with all fields: a measurement keeps only those that
//! it needs.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use httptime::http::Request;
use httptime::{IoError, Url};
use serde::Serialize;

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) date: Option<String>,
    pub(crate) server: Option<String>,
    pub(crate) via: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) content_type: Option<String>,
    /// The schemes that a proxy asks for.
    pub(crate) challenges: Vec<String>,
    /// The name that a proxy gives itself: `Proxy-Agent`, and squid's own fields.
    pub(crate) agent: Option<String>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "failure")]
pub(crate) enum Failure {
    NoAddress { reason: String },
    NoConnection { reason: String },
    Silent,
    Closed,
    NotHttp,
}

/// Sends a request to the host and port of `hop` over plain TCP.
pub(crate) fn ask(hop: &Url, request: &Request) -> Result<Answer, Failure> {
    let until = Instant::now() + LIMIT;
    let addresses = (hop.host(), hop.port()).to_socket_addrs();
    let addresses = addresses.map_err(|error| Failure::NoAddress { reason: text(&error) })?;
    let mut failure = Failure::NoAddress { reason: "it has no address".into() };
    for address in addresses {
        let left = until.saturating_duration_since(Instant::now()).min(CONNECT_LIMIT);
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return exchange(stream, request, until),
            Err(error) => failure = Failure::NoConnection { reason: text(&error) },
        }
    }
    Err(failure)
}

fn exchange(mut stream: TcpStream, request: &Request, until: Instant) -> Result<Answer, Failure> {
    let no_connection = |error: std::io::Error| Failure::NoConnection { reason: text(&error) };
    stream.set_write_timeout(Some(CONNECT_LIMIT)).map_err(no_connection)?;
    stream.write_all(request.as_bytes()).map_err(no_connection)?;
    let mut received = Vec::new();
    let mut piece = [0; 2048];
    while received.len() < MAX_BYTES {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::Silent);
        }
        stream.set_read_timeout(Some(left)).map_err(no_connection)?;
        match stream.read(&mut piece) {
            Ok(0) => return Err(Failure::Closed),
            Ok(size) => received.extend_from_slice(&piece[..size]),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(Failure::Silent);
            }
            Err(error) => return Err(no_connection(error)),
        }
        if let Some(answer) = parse(&received)? {
            return Ok(answer);
        }
    }
    Err(Failure::NotHttp)
}

/// The head of a final response; `None` if it is not complete.
fn parse(received: &[u8]) -> Result<Option<Answer>, Failure> {
    let mut rest = received;
    loop {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let Ok(parsed) = response.parse(rest) else { return Err(Failure::NotHttp) };
        let httparse::Status::Complete(size) = parsed else { return Ok(None) };
        match response.code {
            Some(100..=199) => rest = &rest[size..],
            Some(status) => return Ok(Some(Answer::new(status, response.headers))),
            None => return Err(Failure::NotHttp),
        }
    }
}

impl Answer {
    fn new(status: u16, fields: &[httparse::Header<'_>]) -> Self {
        let all = |name: &str| -> Vec<String> {
            let named = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            named.map(|field| shown(field.value)).collect()
        };
        let first = |name: &str| all(name).into_iter().next();
        let schemes = all("Proxy-Authenticate");
        let schemes = schemes.iter().filter_map(|value| value.split(' ').next());
        Self {
            status,
            date: first("Date"),
            server: first("Server"),
            via: first("Via"),
            location: first("Location"),
            content_type: first("Content-Type"),
            challenges: schemes.map(str::to_owned).collect(),
            agent: first("Proxy-Agent").or_else(|| first("X-Squid-Error").map(|_| "squid".into())),
        }
    }

    /// Everything in which a program can name itself.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        [&self.agent, &self.via, &self.server].into_iter().flatten().map(String::as_str)
    }
}

/// The printable beginning of a value that anyone on the path can choose.
fn shown(value: &[u8]) -> String {
    let printable = value.iter().take(MAX_SHOWN).take_while(|byte| matches!(byte, b' '..=b'~'));
    printable.map(|byte| char::from(*byte)).collect()
}

fn text(error: &std::io::Error) -> String {
    let text = IoError::from(error).to_string().to_lowercase();
    text.replace("failed to lookup address information: ", "")
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoAddress { reason } => write!(f, "the name has no address: {reason}"),
            Self::NoConnection { reason } => f.write_str(reason),
            Self::Silent => write!(f, "no answer within {} s", LIMIT.as_secs()),
            Self::Closed => f.write_str("it closed the connection without an answer"),
            Self::NotHttp => f.write_str("the answer is not HTTP/1"),
        }
    }
}

/// For one request with its connection.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(4);
const MAX_BYTES: usize = 64 * 1024;
const MAX_FIELDS: usize = 100;
const MAX_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_head_is_read_with_its_fields() {
        let head = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 407 No\r\nvia: 1.1 p (squid/5.7)\r\n\
                     Proxy-Authenticate: Negotiate\r\nproxy-authenticate: Basic realm=\"a\"\r\n\
                     Server: \x9b31mred\r\n\r\n";
        let answer = parse(head).expect("HTTP").expect("complete");
        assert_eq!((answer.status, answer.via.as_deref()), (407, Some("1.1 p (squid/5.7)")));
        assert_eq!(answer.challenges, ["Negotiate", "Basic"]);
        assert_eq!(answer.server.as_deref(), Some(""), "nothing that a terminal acts on");
        assert_eq!(parse(&head[..60]), Ok(None));
        assert_eq!(parse(b"SSH-2.0-OpenSSH"), Err(Failure::NotHttp));
    }
}
