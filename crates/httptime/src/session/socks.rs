//! The hop through a SOCKS5 proxy (RFC 1928, RFC 1929), as a layer: bytes in, bytes out.
//!
//! ```text
//! client: version 5, methods       proxy: version 5, method
//! client: user name, password      proxy: status              (method 2 only)
//! client: CONNECT, destination     proxy: reply, bound address
//! ```
//!
//! After the reply the connection leads to the server, and bytes are not changed any more.

use std::fmt;
use std::net::IpAddr;

use super::layer::Layer;
use crate::error::Error;
use crate::url::Url;

/// The negotiation with a SOCKS5 proxy.
pub(super) struct Socks {
    step: Step,
    /// The beginning of a message of the proxy.
    received: Vec<u8>,
    /// The message with user name and password.
    login: Option<Vec<u8>>,
    /// The message with the destination.
    request: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Method,
    Login,
    Reply,
    Open,
}

impl Socks {
    /// To `server` through `proxy`. The proxy resolves the name of the server.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] for a user name or a password that the protocol cannot carry.
    pub(super) fn new(proxy: &Url, server: &Url) -> Result<Self, Error> {
        let login = proxy.credentials().map(login).transpose();
        let login = login.map_err(|reason| Error::InvalidUrl { url: proxy.to_string(), reason })?;
        let request = request(server.host(), server.port());
        Ok(Self { step: Step::Method, received: Vec::new(), login, request })
    }

    /// Handles one message of the proxy. Returns how many bytes it has; `None` if it is not
    /// complete.
    fn message(&mut self, wire: &mut Vec<u8>) -> Result<Option<usize>, Error> {
        let fault = |reason| Err(Error::Socks { reason });
        // What follows is the server's.
        if self.is_open() {
            return Ok(None);
        }
        let version = if self.step == Step::Login { LOGIN_VERSION } else { VERSION };
        match self.received.first() {
            None => return Ok(None),
            Some(first) if *first != version => return fault(NOT_SOCKS),
            Some(_) => {}
        }
        let Some(second) = self.received.get(1).copied() else { return Ok(None) };
        match self.step {
            Step::Method => {
                match (second, &self.login) {
                    (NO_LOGIN, _) => self.send_request(wire),
                    (LOGIN, Some(login)) => {
                        wire.extend_from_slice(login);
                        self.step = Step::Login;
                    }
                    (LOGIN | NO_METHOD, None) => return fault(LOGIN_WANTED),
                    (NO_METHOD, Some(_)) => return fault(OTHER_METHOD),
                    _ => return fault(NOT_SOCKS),
                }
                Ok(Some(2))
            }
            Step::Login if second == SUCCESS => {
                self.send_request(wire);
                Ok(Some(2))
            }
            Step::Login => fault(LOGIN_REJECTED),
            Step::Reply if second == SUCCESS => {
                let size = reply_size(&self.received)?;
                let is_complete = size.is_some_and(|size| self.received.len() >= size);
                if is_complete {
                    self.step = Step::Open;
                }
                Ok(size.filter(|_| is_complete))
            }
            Step::Reply => fault(reply_text(second)),
            Step::Open => Ok(None),
        }
    }

    fn send_request(&mut self, wire: &mut Vec<u8>) {
        wire.extend_from_slice(&self.request);
        self.step = Step::Reply;
    }
}

impl Layer for Socks {
    fn start(&mut self, wire: &mut Vec<u8>) -> Result<(), Error> {
        match self.login {
            Some(_) => wire.extend_from_slice(&[VERSION, 2, NO_LOGIN, LOGIN]),
            None => wire.extend_from_slice(&[VERSION, 1, NO_LOGIN]),
        }
        Ok(())
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        plaintext: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if self.step == Step::Open {
            plaintext.extend_from_slice(bytes);
            return Ok(());
        }
        self.received.extend_from_slice(bytes);
        while let Some(size) = self.message(wire)? {
            self.received.drain(..size);
        }
        if self.step == Step::Open {
            plaintext.append(&mut self.received);
        }
        Ok(())
    }

    fn send(&mut self, plaintext: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        wire.extend_from_slice(plaintext);
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.step == Step::Open
    }

    fn has_ended(&self) -> bool {
        false
    }

    fn cut_off(&self) -> Option<Error> {
        (!self.is_open()).then_some(Error::Socks { reason: CLOSED })
    }
}

impl fmt::Debug for Socks {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socks").field("step", &self.step).finish_non_exhaustive()
    }
}

/// The message of RFC 1929.
fn login(credentials: &str) -> Result<Vec<u8>, &'static str> {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let mut message = vec![LOGIN_VERSION];
    for part in [user, password] {
        let length = u8::try_from(part.len()).map_err(|_| TOO_LONG)?;
        message.push(length);
        message.extend_from_slice(part.as_bytes());
    }
    Ok(message)
}

/// CONNECT with the destination (RFC 1928, section 4).
fn request(host: &str, port: u16) -> Vec<u8> {
    let mut message = vec![VERSION, CONNECT, 0];
    // The zone of an address is one of this machine's interfaces.
    match host.split('%').next().unwrap_or(host).parse() {
        Ok(IpAddr::V4(address)) => {
            message.push(IPV4);
            message.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            message.push(IPV6);
            message.extend_from_slice(&address.octets());
        }
        Err(_) => {
            // A URL's host has at most 253 characters.
            let name = &host.as_bytes()[..host.len().min(255)];
            message.push(NAME);
            message.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            message.extend_from_slice(name);
        }
    }
    message.extend_from_slice(&port.to_be_bytes());
    message
}

/// The size of a reply, by the type of the address in it; `None` if that was not received yet.
fn reply_size(received: &[u8]) -> Result<Option<usize>, Error> {
    let address = match (received.get(3), received.get(4)) {
        (Some(&IPV4), _) => 4,
        (Some(&IPV6), _) => 16,
        (Some(&NAME), Some(length)) => 1 + usize::from(*length),
        (Some(&NAME) | None, _) => return Ok(None),
        _ => return Err(Error::Socks { reason: NOT_SOCKS }),
    };
    Ok(Some(4 + address + 2))
}

/// The meaning of a reply (RFC 1928, section 6), and what to do.
const fn reply_text(code: u8) -> &'static str {
    match code {
        2 => "does not allow this server or port (reply 2); ask its operator",
        3 => "cannot reach the server's network (reply 3); check the server's URL",
        4 => "cannot reach the server (reply 4); check its name in the URL",
        5 => "got no connection: the server refuses it (reply 5); check the port of the URL",
        6 => "got no answer from the server (reply 6); check the server's URL",
        7 => "does not support CONNECT (reply 7); use another proxy",
        8 => "does not support this kind of address (reply 8); use a name in the URL",
        _ => "failed (reply 1 or unknown); see its log, and check the server's URL",
    }
}

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const SUCCESS: u8 = 0;
// Methods.
const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;
const NO_METHOD: u8 = 0xff;
// Types of addresses.
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

const NOT_SOCKS: &str =
    "does not speak SOCKS5; check its port, or use http:// if it is an HTTP proxy";
const LOGIN_WANTED: &str = "wants a user name and password; give them in its URL: \
                            socks5h://user:password@host:port";
const LOGIN_REJECTED: &str = "rejects the user name and password; correct them in its URL";
const OTHER_METHOD: &str =
    "accepts neither a user name and password nor none; only these are supported";
const CLOSED: &str = "closed the connection; check its port and whether it allows this machine";
const TOO_LONG: &str = "a user name or password for SOCKS5 has more than 255 bytes";

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn socks(proxy: &str, server: &str) -> Socks {
        Socks::new(&url(proxy), &url(server)).expect("a layer")
    }

    /// Sends the proxy's bytes in pieces of this size. Returns what the client sent, and the
    /// plaintext.
    fn talk(socks: &mut Socks, answers: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let (mut wire, mut plaintext) = (Vec::new(), Vec::new());
        socks.start(&mut wire)?;
        for bytes in answers.chunks(piece) {
            socks.receive(bytes, &mut plaintext, &mut wire)?;
        }
        Ok((wire, plaintext))
    }

    fn reason(answers: &[u8], proxy: &str) -> &'static str {
        match talk(&mut socks(proxy, "http://a.example/"), answers, 1) {
            Err(Error::Socks { reason }) => reason,
            other => panic!("{other:?}"),
        }
    }

    const GRANTED: &[u8] = &[5, 0, 0, 1, 127, 0, 0, 1, 0x1f, 0x90];

    #[test]
    fn a_name_is_resolved_by_the_proxy_and_a_login_comes_before_it() -> Result<(), Error> {
        let answers = [&[5, 2, 1, 0], GRANTED, b"HTTP"].concat();
        for piece in 1..=answers.len() {
            let mut socks = socks("socks5h://user:p%3Ass@p:1080", "http://a.example/");
            let (wire, plaintext) = talk(&mut socks, &answers, piece)?;
            let expected = [
                &[5, 2, 0, 2][..],
                b"\x01\x04user\x04p:ss",
                b"\x05\x01\x00\x03\x09a.example\x00\x50",
            ];
            assert_eq!(wire, expected.concat(), "pieces of {piece}");
            assert_eq!(plaintext, b"HTTP", "pieces of {piece}");
            assert!(socks.is_open());
        }
        Ok(())
    }

    #[test]
    fn an_address_is_sent_as_an_address() -> Result<(), Error> {
        for (server, destination) in [
            ("http://192.0.2.1:8080/", &[5, 1, 0, 1, 192, 0, 2, 1, 0x1f, 0x90][..]),
            (
                "https://[::1]/",
                &[5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 187],
            ),
            (
                "http://[::1%25eth0]/",
                &[5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80],
            ),
        ] {
            let mut socks = socks("socks5://p", server);
            let (wire, _) = talk(&mut socks, &[&[5, 0], GRANTED].concat(), 100)?;
            assert_eq!(wire, [&[5, 1, 0], destination].concat(), "{server}");
        }
        Ok(())
    }

    #[test]
    fn every_form_of_the_bound_address_ends_at_its_own_length() -> Result<(), Error> {
        let forms: [&[u8]; 3] = [&[1, 0, 0, 0, 0], &[3, 2, b'a', b'b'], &[4; 17]];
        for form in forms {
            let answers = [&[5, 0, 5, 0, 0], form, &[0, 80]].concat();
            let mut socks = socks("socks5://p", "http://a.example/");
            let (_, plaintext) = talk(&mut socks, &answers[..answers.len() - 1], 1)?;
            assert!(!socks.is_open() && plaintext.is_empty(), "{form:?}");
            assert!(socks.cut_off().is_some());
            let (mut plaintext, mut wire) = (Vec::new(), Vec::new());
            socks.receive(&[80, b'x'], &mut plaintext, &mut wire)?;
            assert!(socks.is_open() && socks.cut_off().is_none(), "{form:?}");
            assert_eq!((plaintext, wire), (vec![b'x'], Vec::new()));
        }
        Ok(())
    }

    #[test]
    fn each_refusal_names_its_reason() {
        let (plain, login) = ("socks5://p", "socks5://user:secret@p");
        assert_eq!(reason(b"HTTP/1.1 400", plain), NOT_SOCKS);
        assert_eq!(reason(&[5, 0xff], plain), LOGIN_WANTED);
        assert_eq!(reason(&[5, 2], plain), LOGIN_WANTED);
        assert_eq!(reason(&[5, 0xff], login), OTHER_METHOD);
        assert_eq!(reason(&[5, 1], login), NOT_SOCKS, "GSSAPI was not offered");
        assert_eq!(reason(&[5, 2, 1, 1], login), LOGIN_REJECTED);
        assert_eq!(reason(&[5, 2, 5, 0], login), NOT_SOCKS);
        assert_eq!(reason(&[5, 0, 4, 0], plain), NOT_SOCKS);
        assert_eq!(reason(&[5, 0, 5, 0, 0, 9], plain), NOT_SOCKS);
        for code in 1..=9 {
            assert_eq!(reason(&[5, 0, 5, code], plain), reply_text(code));
        }
    }

    #[test]
    fn no_password_is_shown_and_a_long_one_is_refused() {
        let shown = format!("{:?}", socks("socks5://user:hunter2@p", "http://a.example/"));
        assert!(!shown.contains("hunter2"), "{shown}");
        let long = format!("socks5://user:{}@p", "x".repeat(256));
        let error = Socks::new(&url(&long), &url("http://a.example/")).expect_err("too long");
        assert_eq!(error.kind(), "invalid_url");
    }
}
