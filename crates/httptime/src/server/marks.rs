/// Marks in a response head of the servers that it passed: the number and position of `Server`
/// fields, `Via`, and the marks of caches.
///
/// [`ResponseHead::marks`](crate::http::ResponseHead::marks) returns them; an
/// [`Exchange`](crate::Exchange) stores them. The default is that of a head about which nothing is
/// known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct HeadMarks {
    order: FieldOrder,
    /// The order in which Apache writes its own `Date`: `Date` and `Server` first, and
    /// `Content-Type` after `Connection`.
    has_late_content_type: bool,
    has_varnish: bool,
    servers: u8,
    vias: u8,
    hits: u8,
}

/// The order of `Server` and `Date`. A later variant proves everything that an earlier one proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) enum FieldOrder {
    /// One is missing, or there are several.
    #[default]
    Unknown,
    /// `Date` is first.
    DateFirst,
    /// `Server` is first.
    ServerFirst,
    /// `Server` is the first field of the head and `Date` the second, except for `Via`: tinyproxy
    /// writes its own before them.
    ServerThenDate,
}

impl HeadMarks {
    /// The marks as a number, for programs in other languages, which pass it to
    /// [`from_bits`](Self::from_bits). 0 is the default.
    #[must_use]
    pub fn bits(self) -> u32 {
        let late_content_type = if self.has_late_content_type { LATE_CONTENT_TYPE } else { 0 };
        let varnish = if self.has_varnish { VARNISH } else { 0 };
        let order = self.order as u8 | late_content_type | varnish;
        u32::from_be_bytes([order, self.servers, self.vias, self.hits])
    }

    /// The marks for a number from [`bits`](Self::bits). Any other number gives some marks.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        let [order, servers, vias, hits] = bits.to_be_bytes();
        let has_late_content_type = order & LATE_CONTENT_TYPE != 0;
        let has_varnish = order & VARNISH != 0;
        let order = match order & !(LATE_CONTENT_TYPE | VARNISH) {
            1 => FieldOrder::DateFirst,
            2 => FieldOrder::ServerFirst,
            3 => FieldOrder::ServerThenDate,
            _ => FieldOrder::Unknown,
        };
        Self { order, has_late_content_type, has_varnish, servers, vias, hits }
    }

    pub(crate) const fn order(self) -> FieldOrder {
        self.order
    }

    pub(crate) const fn has_several_servers(self) -> bool {
        self.servers > 1
    }

    pub(crate) const fn has_late_content_type(self) -> bool {
        self.has_late_content_type
    }

    /// Whether the response passed Varnish.
    pub(crate) const fn has_varnish(self) -> bool {
        self.has_varnish
    }

    /// The number of proxies in `Via`.
    pub(crate) const fn via_count(self) -> u8 {
        self.vias
    }

    /// The number of caches that reported a hit.
    pub(crate) const fn cache_hits(self) -> u8 {
        self.hits
    }
}

/// In addition to the order in [`HeadMarks::bits`].
const LATE_CONTENT_TYPE: u8 = 0x10;
const VARNISH: u8 = 0x20;

/// Computes [`HeadMarks`], field by field.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HeadMarksReader {
    marks: HeadMarks,
    server_at: usize,
    date_at: usize,
    dates: u8,
    /// The position of the last `Connection`, and that of the first `Content-Type`.
    connection_at: Option<usize>,
    content_type_at: Option<usize>,
    /// `Via` fields so far.
    vias: usize,
}

impl HeadMarksReader {
    /// Field number `at` is `Server`.
    pub(crate) fn server(&mut self, at: usize) {
        self.server_at = at - self.vias;
        self.marks.servers = self.marks.servers.saturating_add(1);
    }

    /// Field number `at` is `Date`.
    pub(crate) fn date(&mut self, at: usize) {
        self.date_at = at - self.vias;
        self.dates = self.dates.saturating_add(1);
    }

    /// Field number `at` is `Connection`.
    pub(crate) fn connection(&mut self, at: usize) {
        self.connection_at = Some(at);
    }

    /// Field number `at` is `Content-Type`.
    pub(crate) fn content_type(&mut self, at: usize) {
        self.content_type_at.get_or_insert(at);
    }

    /// `Via`: one member for each proxy.
    pub(crate) fn via(&mut self, value: &[u8]) {
        self.vias += 1;
        self.marks.vias = self.marks.vias.saturating_add(count(value, |_| true));
    }

    /// `X-Cache` and similar fields.
    pub(crate) fn cache(&mut self, value: &[u8]) {
        self.marks.hits = self.marks.hits.saturating_add(count(value, is_hit));
    }

    /// `X-Varnish`: the number of the request, and that of the request that stored the response.
    pub(crate) fn varnish(&mut self, value: &[u8]) {
        self.marks.has_varnish = true;
        let has_two = |member: &[u8]| words(member).count() > 1;
        self.marks.hits = self.marks.hits.saturating_add(count(value, has_two));
    }

    /// `Cache-Status`, RFC 9211.
    pub(crate) fn cache_status(&mut self, value: &[u8]) {
        self.marks.hits = self.marks.hits.saturating_add(count(value, is_status_hit));
    }

    /// The marks of the fields so far.
    pub(crate) fn marks(self) -> HeadMarks {
        let order = match (self.marks.servers, self.dates, self.server_at, self.date_at) {
            (1, 1, 0, 1) => FieldOrder::ServerThenDate,
            (1, 1, server, date) if server < date => FieldOrder::ServerFirst,
            (1, 1, ..) => FieldOrder::DateFirst,
            _ => FieldOrder::Unknown,
        };
        let are_first = order == FieldOrder::DateFirst && (self.date_at, self.server_at) == (0, 1);
        let has_late_content_type =
            are_first && self.connection_at.is_some() && self.content_type_at > self.connection_at;
        HeadMarks { order, has_late_content_type, ..self.marks }
    }
}

/// The number of members of a list that satisfy `is_such`.
fn count(list: &[u8], is_such: impl Fn(&[u8]) -> bool) -> u8 {
    let members = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let such = members.filter(|member| !member.is_empty() && is_such(member)).count();
    u8::try_from(such).unwrap_or(u8::MAX)
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// `HIT`, `TCP_MEM_HIT from cache.example`, `Hit from cloudfront`, `RefreshHit`, `hit-stale`, and
/// the words of nginx and Cloudflare for a stored response that had to be revalidated. The name of
/// the cache after `from` does not count.
fn is_hit(member: &[u8]) -> bool {
    let is_name = |word: &&[u8]| word.eq_ignore_ascii_case(b"from");
    words(member)
        .take_while(|word| !is_name(word))
        .flat_map(|word| word.split(|byte| !byte.is_ascii_alphanumeric()))
        .any(|part| is_hit_suffix(part) || HIT_WORDS.iter().any(|it| part.eq_ignore_ascii_case(it)))
}

fn is_hit_suffix(part: &[u8]) -> bool {
    part.len().checked_sub(3).is_some_and(|at| part[at..].eq_ignore_ascii_case(b"hit"))
}

/// Other words for a response from the cache.
const HIT_WORDS: &[&[u8]] = &[b"stale", b"updating", b"revalidated", b"cached"];

/// `ExampleCache; hit; ttl=30`. A response that several requests share (`collapsed`) is older than
/// the later ones of these.
fn is_status_hit(member: &[u8]) -> bool {
    let parameters = member.split(|byte| *byte == b';').skip(1).map(<[u8]>::trim_ascii);
    parameters.map(|parameter| parameter.split(|byte| *byte == b'=')).any(|mut parameter| {
        let name = parameter.next().unwrap_or_default().trim_ascii();
        let is_such = name.eq_ignore_ascii_case(b"hit") || name.eq_ignore_ascii_case(b"collapsed");
        is_such && parameter.next().map(<[u8]>::trim_ascii) != Some(b"?0")
    })
}
