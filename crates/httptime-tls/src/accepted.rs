//! The certificates that one session has accepted from one peer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use httptime::TlsFault;
use rustls::pki_types::CertificateDer;

use crate::chain::Chain;

/// The different chains, in the order in which they were accepted.
#[derive(Debug, Default)]
pub(crate) struct Accepted(Mutex<Vec<Chain>>);

impl Accepted {
    /// Adds a chain. Several servers behind one name may have several, but not many.
    pub(crate) fn add(&self, certificates: &[CertificateDer<'_>]) -> Result<(), TlsFault> {
        let Some((leaf, intermediates)) = certificates.split_first() else { return Ok(()) };
        let chain = Chain::new(leaf, intermediates);
        let mut chains = self.chains();
        if chains.contains(&chain) {
            return Ok(());
        }
        if chains.len() == MAX_CHAINS {
            return Err(TlsFault::TooManyCertificates { limit: MAX_CHAINS });
        }
        chains.push(chain);
        Ok(())
    }

    pub(crate) fn chains(&self) -> MutexGuard<'_, Vec<Chain>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A limit for the memory that a peer can use: each chain has up to 64 KiB.
const MAX_CHAINS: usize = 16;
