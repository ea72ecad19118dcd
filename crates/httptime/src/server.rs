//! How late a server's `Date` can be, and the reason for this limit.
//!
//! A constant lag cannot be observed from outside, so its limit Λ is an assumption. It is derived
//! from the response:
//!
//! 1. **Which software made the `Date`?** It need not be the software in the `Server` field: a
//!    front server can pass on the `Date` of an origin under its own name. The limit of a product
//!    applies only if the product made the `Date`. This is known in these cases:
//!    - Software that never passes on other servers' responses (`gunicorn`, `uvicorn`, …).
//!    - nginx writes `Server` and then its own `Date` before all other fields, and a `Date` that it
//!      passes on after `Connection`.
//!    - Caddy (Go) sorts the fields of the response by name and writes its own `Date` after them,
//!      so that its `Server` comes first. A `Date` that it passes on is sorted before `Server`.
//!    - Apache sets the `Content-Type` of its own response after `Connection`, and that of an
//!      origin before it, except where it guesses the type from a file name extension
//!      ([`Exchange::without_file_extension`](crate::Exchange::without_file_extension)).
//!    - Apache and lighttpd answer some requests by themselves
//!      ([`Exchange::answered_by_front`](crate::Exchange::answered_by_front)).
//!
//!    Otherwise the limit is [`UNKNOWN_LAG`].
//! 2. **Is it the first response of its connection?** lighttpd handles that one before its loop
//!    updates the clock.
//! 3. **Which caches did it pass?** Each adds [`CACHE_LAG`]: `Age: 0` is in whole seconds, rounded
//!    down.
//!
//! Each limit is the largest lag that was measured on Linux or found in the source code, rounded
//! up. `docs/servers.md` has the table. A measurement reports the limit and its source
//! ([`LagSource`]).

use std::fmt;
use std::time::Duration;

mod marks;
mod products;

pub use self::marks::HeadMarks;

use self::marks::FieldOrder;
pub(crate) use self::marks::HeadMarksReader;
use self::products::{DateProof, Product};

/// The limit of the lag of unknown software, and of software that did not make the `Date`: the
/// largest lag of all measured servers, including busy ones and first responses of a connection.
pub const UNKNOWN_LAG: Duration = Duration::from_millis(2020);

/// The lag that each cache on the path can add: `Age: 0` is an age below one second, and 20 ms are
/// for the update of its clock.
pub const CACHE_LAG: Duration = Duration::from_millis(1020);

/// The limit of the lag of a [`stamp`](crate::stamp): a server with an event loop reads its clock
/// once in each turn of the loop, and may stamp a request that arrived during the turn with that
/// time.
pub const STAMP_LAG: Duration = Duration::from_millis(1);

/// A limit that is small enough for a check to wait for.
pub(crate) const SMALL_LAG: Duration = Duration::from_millis(50);

/// The source of the limit of a server's lag.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LagSource {
    /// The caller stated it.
    Stated,
    /// The server's clock was read from a [`stamp`](crate::stamp): [`STAMP_LAG`].
    Stamp,
    /// This product made the `Date`, and the limit is that of the product.
    Product(&'static str),
    /// The response has the name of this product. But the order of its fields shows that the
    /// product did not make the `Date`, or that a proxy has sorted the fields: [`UNKNOWN_LAG`].
    Forwarded(&'static str),
    /// The response has the name of this product, which can pass on the `Date` of another server.
    /// Nothing shows whether it did: [`UNKNOWN_LAG`].
    MayBeForwarded(&'static str),
    /// There are several `Server` fields: [`UNKNOWN_LAG`].
    SeveralServerFields,
    /// The software is unknown or has no `Server` field: [`UNKNOWN_LAG`].
    Unknown,
}

impl LagSource {
    /// Whether a request that the front server answers by itself (`OPTIONS *`) would return a
    /// `Date` that it made, and so a smaller limit.
    #[must_use]
    pub fn is_provable(self) -> bool {
        matches!(self, Self::MayBeForwarded(product)
        if Product::of(product).is_some_and(|product| {
            matches!(product.date_proof, DateProof::ByRequest | DateProof::ByTypeOrRequest)
        }))
    }
}

impl fmt::Display for LagSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stated => f.write_str("stated"),
            Self::Stamp => f.write_str("stamp"),
            Self::Product(product) => write!(f, "product {product}"),
            Self::Forwarded(product) => {
                write!(f, "{product} passed on a Date that it did not make")
            }
            Self::MayBeForwarded(product) => {
                write!(f, "{product} can pass on the Date of another server")
            }
            Self::SeveralServerFields => f.write_str("several Server fields"),
            Self::Unknown => f.write_str("unknown software"),
        }
    }
}

/// The limit of a server's lag, which is how late its `Date` flips after its clock's second begins,
/// and the source of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lag {
    allowance: Duration,
    source: LagSource,
    caches: u8,
}

impl Lag {
    /// A lag of at most `allowance`, stated by the caller.
    #[must_use]
    pub const fn stated(allowance: Duration) -> Self {
        Self { allowance, source: LagSource::Stated, caches: 0 }
    }

    /// The same lag, larger by this much.
    pub(crate) const fn increased(self, by: Duration) -> Self {
        Self { allowance: self.allowance.saturating_add(by), ..self }
    }

    /// The lag of a stamp.
    pub(crate) const fn of_stamp() -> Self {
        Self { allowance: STAMP_LAG, source: LagSource::Stamp, caches: 0 }
    }

    /// The lag of a `Date` from unknown software.
    #[must_use]
    pub const fn unknown() -> Self {
        Self::of_unknown_origin(LagSource::Unknown)
    }

    /// The lag of a `Date` that was made by the software in `server`, the value of a `Server`
    /// field, in the first response of a connection.
    ///
    /// ```
    /// use httptime::server::{Lag, LagSource};
    ///
    /// let lag = Lag::from_server_header("nginx/1.22.1");
    /// assert_eq!((lag.allowance().as_millis(), lag.source()), (1, LagSource::Product("nginx")));
    /// assert_eq!(Lag::from_server_header("cloudflare"), Lag::unknown());
    /// ```
    #[must_use]
    pub fn from_server_header(server: &str) -> Self {
        Product::of(server).map_or(Self::unknown(), |product| Self::from_product(product, false))
    }

    /// Adds caches on the path.
    #[must_use]
    pub const fn with_caches(self, caches: u8) -> Self {
        Self {
            allowance: self.allowance.saturating_add(CACHE_LAG.saturating_mul(caches as u32)),
            source: self.source,
            caches: self.caches.saturating_add(caches),
        }
    }

    /// The limit of the lag.
    #[must_use]
    pub const fn allowance(self) -> Duration {
        self.allowance
    }

    /// The largest difference between the lags of two responses. The limits of products are rounded
    /// up with a margin: more than three quarters of a small limit is not a lag.
    pub(crate) fn variation(self) -> Duration {
        let is_product = matches!(self.source, LagSource::Product(_)) && self.caches == 0;
        if is_product && self.allowance < SMALL_LAG {
            self.allowance * 3 / 4
        } else {
            self.allowance
        }
    }

    /// The source of the limit.
    #[must_use]
    pub const fn source(self) -> LagSource {
        self.source
    }

    /// The number of caches for which [`CACHE_LAG`] is included.
    #[must_use]
    pub const fn caches(self) -> u8 {
        self.caches
    }

    /// The larger of two limits, with its source.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other.allowance > self.allowance { other } else { self }
    }

    /// The lag of a response.
    pub(crate) fn from_response(response: &Response<'_>) -> Self {
        let Response { server, marks, .. } = *response;
        let lag = match (marks.has_several_servers(), server.and_then(Product::of)) {
            (true, _) => Self::of_unknown_origin(LagSource::SeveralServerFields),
            (false, None) => Self::unknown(),
            (false, Some(product)) => match check_date_origin(product, response) {
                Ok(()) => Self::from_product(product, response.is_reused && marks.via_count() == 0),
                Err(source) => Self::of_unknown_origin(source),
            },
        };
        lag.with_caches(response.caches())
    }

    const fn from_product(product: &'static Product, is_reused: bool) -> Self {
        let allowance = if is_reused { product.reused } else { product.first };
        Self { allowance, source: LagSource::Product(product.name), caches: 0 }
    }

    const fn of_unknown_origin(source: LagSource) -> Self {
        Self { allowance: UNKNOWN_LAG, source, caches: 0 }
    }
}

impl fmt::Display for Lag {
    /// The source, and the caches: `product uvicorn, 1 cache`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)?;
        match self.caches {
            0 => Ok(()),
            1 => f.write_str(", 1 cache"),
            caches => write!(f, ", {caches} caches"),
        }
    }
}

/// The properties of a response and of its request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Response<'a> {
    pub(crate) server: Option<&'a str>,
    pub(crate) marks: HeadMarks,
    pub(crate) age: Option<Duration>,
    /// Not the first response of its connection.
    pub(crate) is_reused: bool,
    /// Whether a front server answers such a request by itself.
    pub(crate) is_by_front: bool,
    /// Whether the path of the request has no file name extension.
    pub(crate) is_without_extension: bool,
}

impl Response<'_> {
    /// The default: nothing is known.
    pub(crate) const UNKNOWN: Self = Self {
        server: None,
        marks: HeadMarks::from_bits(0),
        age: None,
        is_reused: false,
        is_by_front: false,
        is_without_extension: false,
    };

    /// Whether the response comes from a cache and its age is unknown.
    pub(crate) fn is_stored(&self) -> bool {
        self.age.is_none() && self.marks.cache_hits() > 0 && !self.is_stamped_by_front()
    }

    /// Whether the order of the fields proves that the front server wrote the `Date` when it sent
    /// the response. Then the source of the rest of the response does not matter.
    fn is_stamped_by_front(&self) -> bool {
        let product = self.server.and_then(Product::of);
        !self.marks.has_several_servers()
            && product.is_some_and(|product| match product.date_proof {
                DateProof::ByOrder(order) => self.marks.order() >= order,
                _ => false,
            })
    }

    /// The number of caches in which the response may have spent up to a second.
    fn caches(&self) -> u8 {
        let is_cached = self.age.is_some() || self.is_stored();
        // Each proxy in the response may also be a cache.
        if is_cached { self.marks.cache_hits().max(self.marks.via_count()).max(1) } else { 0 }
    }
}

/// Whether `product` made the `Date`.
fn check_date_origin(product: &'static Product, response: &Response<'_>) -> Result<(), LagSource> {
    let order = response.marks.order();
    let is_direct = response.marks.via_count() == 0;
    match product.date_proof {
        DateProof::NeverForwards => Ok(()),
        DateProof::ByOrder(own) if order >= own => Ok(()),
        DateProof::ByOrder(_) if order == FieldOrder::Unknown => {
            Err(LagSource::MayBeForwarded(product.name))
        }
        DateProof::ByOrder(_) => Err(LagSource::Forwarded(product.name)),
        // A proxy on the path may have answered, or the server itself may have passed the request
        // on and reported that.
        DateProof::ByRequest | DateProof::ByTypeOrRequest if response.is_by_front && is_direct => {
            Ok(())
        }
        DateProof::ByTypeOrRequest
            if response.marks.has_late_content_type()
                && response.is_without_extension
                && is_direct =>
        {
            Ok(())
        }
        DateProof::ByRequest | DateProof::ByTypeOrRequest | DateProof::Unproven => {
            Err(LagSource::MayBeForwarded(product.name))
        }
    }
}

#[cfg(test)]
mod tests;
