//! The seam between the bytes of a connection and HTTP: where TLS goes.

use std::fmt;

use crate::error::Error;

/// What lies between the bytes of a connection and HTTP.
///
/// A layer turns bytes from the wire into plaintext and plaintext into bytes for the wire. It owns no socket, so every
/// driver gets it. [`Plain`] passes bytes on unchanged. Output is appended to the buffers that the session hands in;
/// the session empties them.
pub trait Layer: fmt::Debug + Send + Sync {
    /// The connection is open: appends what has to be sent before any plaintext (the first flight of a handshake).
    ///
    /// # Errors
    /// Closes the connection.
    fn start(&mut self, wire: &mut Vec<u8>) -> Result<(), Error>;

    /// Takes in bytes that came from the wire. Appends the plaintext in them to `plaintext`, and what has to be sent in
    /// return (a handshake flight, an alert) to `wire`.
    ///
    /// # Errors
    /// Closes the connection at once: what stands in `wire` (an alert) is not sent any more.
    fn receive(
        &mut self,
        bytes: &[u8],
        plaintext: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<(), Error>;

    /// Turns plaintext into bytes for the wire.
    ///
    /// # Errors
    /// Closes the connection.
    fn send(&mut self, plaintext: &[u8], wire: &mut Vec<u8>) -> Result<(), Error>;

    /// Whether plaintext can be sent: the handshake is over.
    fn is_open(&self) -> bool;

    /// Whether the bytes so far end inside a record. Such a part is not yet an answer that nobody asked for.
    fn has_partial_record(&self) -> bool;
}

/// The layer of plain HTTP: bytes pass unchanged.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "it has nothing to hide and will never hold anything"
)]
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
