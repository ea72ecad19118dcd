//! The interface between the bytes of a connection and HTTP, for TLS.

use std::fmt;

use crate::error::Error;

/// A protocol between the bytes of a connection and HTTP.
///
/// A layer turns received bytes into plaintext and plaintext into bytes to send. It owns no socket,
/// so every driver supports it. [`Plain`] does not change the bytes. A layer appends its output to
/// the buffers of the session, which empties them.
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

    /// Whether the received bytes end within a record. An incomplete record is not yet an
    /// unsolicited response.
    fn has_partial_record(&self) -> bool;
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

    fn has_partial_record(&self) -> bool {
        false
    }
}
