//! How late a server's `Date` may be, and why that is assumed.
//!
//! A constant lag cannot be observed from outside, so the allowance Λ is an assumption. It is derived from the response:
//!
//! 1. **Who made the `Date`?** The software that names itself in `Server` need not be it: a front server can pass on the `Date`
//!    of an origin under its own name. The figure of a product counts only where the product made the `Date`:
//!    - software that only answers for itself (`gunicorn`, `uvicorn`, …) did;
//!    - nginx writes `Server` and then its own `Date` in front of all other fields, and a `Date` that it passes on behind `Connection`;
//!    - Caddy (Go) sorts the fields of the response by name and writes its own `Date` behind them, so that its `Server` comes first;
//!      a `Date` that it passes on is sorted in front of `Server`;
//!    - Apache sets the `Content-Type` of its own response after `Connection`, and that of an origin before, except where it guesses
//!      the type from a file name extension
//!      ([`Exchange::without_file_extension`](crate::Exchange::without_file_extension));
//!    - of Apache and lighttpd, a request that they answer by themselves shows it
//!      ([`Exchange::answered_by_front`](crate::Exchange::answered_by_front)).
//!
//!    Otherwise the allowance is [`UNKNOWN_LAG`].
//! 2. **Is it the first response of its connection?** lighttpd handles that one before its loop updates the clock.
//! 3. **Which caches did it pass?** Each adds [`CACHE_LAG`]: `Age: 0` counts whole seconds, rounded down.
//!
//! The figures are the largest lag measured on Linux, or read in the source, rounded up; `docs/servers.md` has the table. A
//! measurement names the allowance and its source ([`LagSource`]).

use std::fmt;
use std::time::Duration;

mod marks;
mod products;

pub use self::marks::HeadMarks;

pub(crate) use self::marks::HeadMarksReader;
use self::marks::Order;
use self::products::{Maker, Product};

/// The lag of software that is not known, or that did not make the `Date`: as late as any server measured, busy ones and first
/// responses of a connection included.
pub const UNKNOWN_LAG: Duration = Duration::from_millis(2020);

/// What each cache on the way can add: `Age: 0` is an age below one second, and 20 ms are for the update of its clock.
pub const CACHE_LAG: Duration = Duration::from_millis(1020);

/// A lag small enough for a check to wait for.
pub(crate) const SMALL_LAG: Duration = Duration::from_millis(50);

/// Where the assumption about a server's lag comes from.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LagSource {
    /// The caller stated it.
    Stated,
    /// This product made the `Date`: its figure.
    Product(&'static str),
    /// The response has the name of this product, but the order of its fields shows that the product did not make the `Date`, or
    /// that a proxy has sorted the fields: [`UNKNOWN_LAG`].
    Forwarded(&'static str),
    /// The response has the name of this product, which can pass on the `Date` of another server, and nothing shows whether it did:
    /// [`UNKNOWN_LAG`].
    MayBeForwarded(&'static str),
    /// Several `Server` fields: [`UNKNOWN_LAG`].
    SeveralServerFields,
    /// The software is unknown or does not name itself: [`UNKNOWN_LAG`].
    Unknown,
}

impl LagSource {
    /// Whether a request that the front server answers by itself (`OPTIONS *`) would give a `Date` that it made, and with it a smaller
    /// allowance.
    #[must_use]
    pub fn is_provable(self) -> bool {
        matches!(self, Self::MayBeForwarded(product)
        if Product::of(product).is_some_and(|product| {
            matches!(product.maker, Maker::ByRequest | Maker::ByTypeOrRequest)
        }))
    }
}

impl fmt::Display for LagSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stated => f.write_str("stated"),
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

/// How late a server's `Date` may flip after its own clock's second began, and why that is assumed.
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

    /// The lag of a `Date` whose maker is not known.
    #[must_use]
    pub const fn unknown() -> Self {
        Self::without_maker(LagSource::Unknown)
    }

    /// The lag of a `Date` that was made by the software that `server`, the value of a `Server` field, names; in the first
    /// response of a connection.
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
        Product::of(server).map_or(Self::unknown(), |product| Self::of_product(product, false))
    }

    /// The same with this many more caches on the way.
    #[must_use]
    pub const fn with_caches(self, caches: u8) -> Self {
        Self {
            allowance: self.allowance.saturating_add(CACHE_LAG.saturating_mul(caches as u32)),
            source: self.source,
            caches: self.caches.saturating_add(caches),
        }
    }

    /// The largest lag that is allowed for.
    #[must_use]
    pub const fn allowance(self) -> Duration {
        self.allowance
    }

    /// How far apart the lags of two responses can be. The figures of products are rounded up with room to spare: what takes more than
    /// three quarters of a small one is no lag.
    pub(crate) fn variation(self) -> Duration {
        let is_product = matches!(self.source, LagSource::Product(_)) && self.caches == 0;
        if is_product && self.allowance < SMALL_LAG {
            self.allowance * 3 / 4
        } else {
            self.allowance
        }
    }

    /// Why.
    #[must_use]
    pub const fn source(self) -> LagSource {
        self.source
    }

    /// For how many caches on the way [`CACHE_LAG`] is included.
    #[must_use]
    pub const fn caches(self) -> u8 {
        self.caches
    }

    /// The larger of two allowances, with its source.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other.allowance > self.allowance { other } else { self }
    }

    /// The lag of a response.
    pub(crate) fn of_response(response: &Response<'_>) -> Self {
        let Response { server, marks, .. } = *response;
        let lag = match (marks.has_several_servers(), server.and_then(Product::of)) {
            (true, _) => Self::without_maker(LagSource::SeveralServerFields),
            (false, None) => Self::unknown(),
            (false, Some(product)) => match maker(product, response) {
                Ok(()) => Self::of_product(product, response.is_kept && marks.vias() == 0),
                Err(source) => Self::without_maker(source),
            },
        };
        lag.with_caches(response.caches())
    }

    const fn of_product(product: &'static Product, is_kept: bool) -> Self {
        let allowance = if is_kept { product.kept } else { product.first };
        Self { allowance, source: LagSource::Product(product.name), caches: 0 }
    }

    const fn without_maker(source: LagSource) -> Self {
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

/// What is known of a response and of the request that it answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Response<'a> {
    pub(crate) server: Option<&'a str>,
    pub(crate) marks: HeadMarks,
    pub(crate) age: Option<Duration>,
    /// Not the first response of its connection.
    pub(crate) is_kept: bool,
    /// A front server answers such a request by itself.
    pub(crate) is_by_front: bool,
    /// The path of the request ends without a file name extension.
    pub(crate) is_without_extension: bool,
}

impl Response<'_> {
    /// One of which nothing is known.
    pub(crate) const UNKNOWN: Self = Self {
        server: None,
        marks: HeadMarks::from_bits(0),
        age: None,
        is_kept: false,
        is_by_front: false,
        is_without_extension: false,
    };

    /// Whether it comes out of a cache, and how old it is cannot be known.
    pub(crate) fn is_stored(&self) -> bool {
        self.age.is_none() && self.marks.hits() > 0 && !self.is_stamped_by_front()
    }

    /// Whether the order of the fields proves that the server in front wrote the `Date` when it sent the response. Then it does
    /// not matter where the rest of the response comes from.
    fn is_stamped_by_front(&self) -> bool {
        let product = self.server.and_then(Product::of);
        !self.marks.has_several_servers()
            && product.is_some_and(|product| {
                matches!(product.maker, Maker::ByOrder(order) if self.marks.order() >= order)
            })
    }

    /// Caches that the response may have spent up to a second in.
    fn caches(&self) -> u8 {
        let is_cached = self.age.is_some() || self.is_stored();
        // Each proxy that names itself may be a cache too.
        if is_cached { self.marks.hits().max(self.marks.vias()).max(1) } else { 0 }
    }
}

/// Whether `product` made the `Date`.
fn maker(product: &'static Product, response: &Response<'_>) -> Result<(), LagSource> {
    let order = response.marks.order();
    let is_direct = response.marks.vias() == 0;
    match product.maker {
        Maker::Itself => Ok(()),
        Maker::ByOrder(own) if order >= own => Ok(()),
        Maker::ByOrder(_) if order == Order::Unknown => {
            Err(LagSource::MayBeForwarded(product.name))
        }
        Maker::ByOrder(_) => Err(LagSource::Forwarded(product.name)),
        // A proxy on the way may have answered, or the server itself may have passed the request on and say so.
        Maker::ByRequest | Maker::ByTypeOrRequest if response.is_by_front && is_direct => Ok(()),
        Maker::ByTypeOrRequest
            if response.marks.is_typed_late() && response.is_without_extension && is_direct =>
        {
            Ok(())
        }
        Maker::ByRequest | Maker::ByTypeOrRequest | Maker::Unproven => {
            Err(LagSource::MayBeForwarded(product.name))
        }
    }
}

#[cfg(test)]
mod tests;
