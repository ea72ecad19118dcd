//! The interface between the bytes of a connection and HTTP, for TLS.

use std::fmt;

use crate::error::Error;

/// A protocol between the bytes of a connection and HTTP.
///
/// A layer turns received bytes into plaintext and plaintext into bytes to send. It owns no socket,
/// so every driver supports it. [`Plain`] does not change the bytes. A layer appends its output to
/// the buffers of the session, which empties them. [`Security`](super::Security) makes the layers.
pub trait Layer: fmt::Debug + Send + Sync {
    /// The connection is open: appends the bytes that must be sent before any plaintext (the first
    /// flight of a handshake).
    ///
    /// # Errors
    /// Closes the connection.
    fn start(&mut self, wire: &mut Vec<u8>) -> Result<(), Error>;

    /// Processes received bytes. Appends their plaintext to `plaintext`, and the bytes to send in
    /// return (a handshake flight, an alert) to `wire`.
    ///
    /// # Errors
    /// Closes the connection at once: the bytes in `wire` (an alert) are not sent.
    fn receive(
        &mut self,
        bytes: &[u8],
        plaintext: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<(), Error>;

    /// Turns plaintext into bytes to send.
    ///
    /// # Errors
    /// Closes the connection.
    fn send(&mut self, plaintext: &[u8], wire: &mut Vec<u8>) -> Result<(), Error>;

    /// Whether plaintext can be sent: the handshake is complete.
    fn is_open(&self) -> bool;

    /// Whether the other end has announced that it sends nothing more (`close_notify`).
    fn has_ended(&self) -> bool;

    /// The error, if the other end may not close the connection now: within the handshake, or
    /// within a record.
    fn cut_off(&self) -> Option<Error>;
}

/// The layer of plain HTTP: bytes are not changed.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has no state and never will")]
pub struct Plain;

impl Layer for Plain {
    fn start(&mut self, _: &mut Vec<u8>) -> Result<(), Error> {
        Ok(())
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        plaintext: &mut Vec<u8>,
        _: &mut Vec<u8>,
    ) -> Result<(), Error> {
        plaintext.extend_from_slice(bytes);
        Ok(())
    }

    fn send(&mut self, plaintext: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        wire.extend_from_slice(plaintext);
        Ok(())
    }

    fn is_open(&self) -> bool {
        true
    }

    fn has_ended(&self) -> bool {
        false
    }

    fn cut_off(&self) -> Option<Error> {
        None
    }
}

/// A layer inside another one: TLS with a server in the tunnel of a proxy.
#[derive(Debug)]
pub(super) struct Nested {
    outer: Box<dyn Layer>,
    inner: Box<dyn Layer>,
    /// What the outer layer has received: bytes for the inner one.
    received: Vec<u8>,
    /// What the inner layer sends: plaintext of the outer one.
    to_send: Vec<u8>,
}

impl Nested {
    pub(super) fn new(outer: Box<dyn Layer>, inner: Box<dyn Layer>) -> Self {
        Self { outer, inner, received: Vec::new(), to_send: Vec::new() }
    }

    fn send_inner(&mut self, wire: &mut Vec<u8>) -> Result<(), Error> {
        if self.to_send.is_empty() {
            return Ok(());
        }
        let sent = self.outer.send(&self.to_send, wire);
        self.to_send.clear();
        sent
    }
}

impl Layer for Nested {
    fn start(&mut self, wire: &mut Vec<u8>) -> Result<(), Error> {
        self.inner.start(&mut self.to_send)?;
        self.send_inner(wire)
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        plaintext: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.received.clear();
        self.outer.receive(bytes, &mut self.received, wire)?;
        if self.received.is_empty() {
            return Ok(());
        }
        self.inner.receive(&self.received, plaintext, &mut self.to_send)?;
        self.send_inner(wire)
    }

    fn send(&mut self, plaintext: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        self.inner.send(plaintext, &mut self.to_send)?;
        self.send_inner(wire)
    }

    fn is_open(&self) -> bool {
        self.inner.is_open()
    }

    fn has_ended(&self) -> bool {
        self.outer.has_ended() || self.inner.has_ended()
    }

    fn cut_off(&self) -> Option<Error> {
        self.outer.cut_off().or_else(|| self.inner.cut_off())
    }
}
