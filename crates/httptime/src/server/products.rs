use std::time::Duration;

use super::marks::FieldOrder;

/// Server software and the limit of its lag.
#[derive(Debug)]
pub(super) struct Product {
    /// The name in the `Server` field. With a `/`: the beginning of name and version.
    pub(super) name: &'static str,
    /// The limit for the first response of a connection.
    pub(super) first: Duration,
    /// The limit for later responses.
    pub(super) reused: Duration,
    pub(super) date_proof: DateProof,
}

/// The proof that a product made the `Date` beside its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateProof {
    /// No proof is needed: it passes on no `Date`.
    NeverForwards,
    /// At least this order of `Server` and `Date`.
    ByOrder(FieldOrder),
    /// Apache: `Content-Type` after `Connection`, or a request that it answers by itself.
    ByTypeOrRequest,
    /// A request that it answers by itself.
    ByRequest,
    /// No proof is known.
    Unproven,
}

impl Product {
    /// The first product in the value of a `Server` field.
    pub(super) fn of(server: &str) -> Option<&'static Self> {
        let mut words = server.split([' ', '(']);
        let mut word = words.next()?;
        if word.split('/').next().is_some_and(|name| name.eq_ignore_ascii_case("Python")) {
            // The language comes first, then the library: `Python/3.11 aiohttp/3.8.4`.
            word = words.next()?;
        }
        let name = word.split('/').next().unwrap_or_default();
        PRODUCTS.iter().find(|product| {
            let known = product.name;
            match known.contains('/') {
                true => word.get(..known.len()).is_some_and(|it| it.eq_ignore_ascii_case(known)),
                false => name.eq_ignore_ascii_case(known),
            }
        })
    }

    const fn new(name: &'static str, micros: u64, date_proof: DateProof) -> Self {
        let lag = Duration::from_micros(micros);
        Self { name, first: lag, reused: lag, date_proof }
    }
}

const NEVER_FORWARDS: DateProof = DateProof::NeverForwards;

const PRODUCTS: &[Product] = &[
    // Front servers.
    Product::new("nginx", 1_000, DateProof::ByOrder(FieldOrder::ServerThenDate)),
    Product::new("Caddy", 1_000, DateProof::ByOrder(FieldOrder::ServerFirst)),
    Product::new("Apache", 1_000, DateProof::ByTypeOrRequest),
    Product {
        name: "lighttpd",
        // Handled before the loop updates its clock: the phase of the tick, and up to a second of
        // idle time.
        first: Duration::from_millis(2_020),
        reused: Duration::from_millis(1_020),
        date_proof: DateProof::ByRequest,
    },
    Product::new("h2o/2.2", 2_000, NEVER_FORWARDS),
    // Version 2.3 and later pass on the origin's.
    Product::new("h2o", 2_000, DateProof::Unproven),
    Product::new("envoy", 510_000, DateProof::Unproven),
    // Reverse proxies that use these copy the origin's. Jetty makes one only if it is configured
    // to.
    Product::new("Jetty", 2_000, DateProof::Unproven),
    Product::new("Kestrel", 1_020_000, DateProof::Unproven),
    // Stamped for each response, or once per iteration of the event loop.
    Product::new("BaseHTTP", 1_000, NEVER_FORWARDS),
    Product::new("SimpleHTTP", 1_000, NEVER_FORWARDS),
    // Updated when it is a second old.
    Product::new("gunicorn/asgi", 1_020_000, NEVER_FORWARDS),
    Product::new("gunicorn", 1_000, NEVER_FORWARDS),
    Product::new("waitress", 1_000, NEVER_FORWARDS),
    Product::new("TornadoServer", 1_000, NEVER_FORWARDS),
    Product::new("Cheroot", 1_000, NEVER_FORWARDS),
    Product::new("CherryPy", 1_000, NEVER_FORWARDS),
    Product::new("aiohttp", 1_000, NEVER_FORWARDS),
    Product::new("granian", 1_000, NEVER_FORWARDS),
    Product::new("hypercorn-h11", 1_000, NEVER_FORWARDS),
    Product::new("rclone", 1_000, NEVER_FORWARDS),
    Product::new("WEBrick", 1_000, NEVER_FORWARDS),
    Product::new("WSGIServer", 1_000, NEVER_FORWARDS),
    // Coarse `time()`: up to two kernel ticks at 100 a second.
    Product::new("busybox", 25_000, NEVER_FORWARDS),
    Product::new("mini_httpd", 25_000, NEVER_FORWARDS),
    Product::new("micro_httpd", 25_000, NEVER_FORWARDS),
    Product::new("webfs", 25_000, NEVER_FORWARDS),
    Product::new("Icecast", 25_000, NEVER_FORWARDS),
    Product::new("Transmission", 25_000, NEVER_FORWARDS),
    Product::new("TwistedWeb", 25_000, NEVER_FORWARDS),
    // Updated by a timer.
    Product::new("fasthttp", 1_020_000, NEVER_FORWARDS),
    Product::new("uWebSockets_20", 1_020_000, NEVER_FORWARDS),
    // Ten sleeps of 0.1 s, which take longer when it is busy.
    Product::new("uvicorn", 2_020_000, NEVER_FORWARDS),
];
