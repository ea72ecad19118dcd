//! The arithmetic of the lag meter (`--bin lag`): when to send requests, and what the responses
//! show about a server's lag.
//!
//! The local clock is assumed to be correct, so local time is the server's time. A response with
//! `Date` d to a request that left at `sent`, received at `received`, shows
//!
//! ```text
//! early  =  d − received        when positive: the Date came early
//! stale  =  sent − d − 1 s      lag ≥ stale: this Date was at least so late
//! ```
//!
//! Two successive responses with d − 1 and d show when the `Date` flipped to d:
//!
//! ```text
//! sent(d − 1) − d  <  lag  ≤  received(d) − d
//! ```
//!
//! A lag of 1.4 s and one of 0.4 s flip at the same phase of the second; d distinguishes them.

use std::fmt::Write as _;

const SECOND_NS: i64 = 1_000_000_000;
/// A window this wide contains a flip even when the flip comes a second late (lighttpd).
const WHOLE_NS: i64 = 2_100_000_000;
/// Half of the narrowest window: room for a lag that moves by some milliseconds from one window to
/// the next.
const MIN_MARGIN_NS: i64 = 5_000_000;
/// The factor by which a window grows after one without a flip.
const WIDEN_FACTOR: i64 = 4;

/// A response: the local wall clock before the request and after the response, since 1970, and the
/// `Date`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Read before the request was written.
    pub sent_ns: i64,
    /// Read after the last bytes of the response head.
    pub received_ns: i64,
    /// The `Date`, in seconds since 1970.
    pub date_s: i64,
}

impl Answer {
    /// A lower limit on how early the `Date` is. Zero or less: it is not provably early.
    #[must_use]
    pub const fn early_ns(&self) -> i64 {
        self.date_s * SECOND_NS - self.received_ns
    }

    /// A lower limit on how late the `Date` is. Zero or less: it is not provably late.
    #[must_use]
    pub const fn stale_ns(&self) -> i64 {
        self.sent_ns - (self.date_s + 1) * SECOND_NS
    }
}

/// The interval that one flip proves for the lag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flip {
    /// From the last response with the old `Date`: the lag is larger.
    pub low_ns: i64,
    /// From the first response with the new `Date`: the lag is not larger.
    pub high_ns: i64,
}

impl Flip {
    const fn middle_ns(self) -> i64 {
        self.low_ns + (self.high_ns - self.low_ns) / 2
    }

    const fn width_ns(self) -> i64 {
        self.high_ns - self.low_ns
    }
}

/// The flips between successive responses, in the order of the requests. A `Date` that goes back
/// and then advances again (several workers) counts when it first appears.
#[must_use]
pub fn flips(answers: &[Answer]) -> Vec<Flip> {
    let mut newest = i64::MIN;
    let mut flips = Vec::new();
    for pair in answers.windows(2) {
        let (old, new) = (pair[0], pair[1]);
        newest = newest.max(old.date_s);
        if new.date_s > newest && new.date_s == old.date_s + 1 {
            let boundary_ns = new.date_s * SECOND_NS;
            let (low_ns, high_ns) = (old.sent_ns - boundary_ns, new.received_ns - boundary_ns);
            flips.push(Flip { low_ns, high_ns });
        }
    }
    flips
}

/// The number of responses with an older `Date` than the response before.
#[must_use]
pub fn went_back(answers: &[Answer]) -> usize {
    answers.windows(2).filter(|pair| pair[1].date_s < pair[0].date_s).count()
}

/// The window in which the next flip is expected: narrower after each flip found, wider after each
/// one missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aim {
    middle_ns: i64,
    margin_ns: i64,
}

/// When to send requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Time of the first request, since 1970.
    pub start_ns: i64,
    /// Interval between requests.
    pub spacing_ns: i64,
}

impl Aim {
    /// A window that covers any phase of the second.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { middle_ns: SECOND_NS / 2, margin_ns: WHOLE_NS / 2 }
    }

    /// The first window that does not begin before `earliest_ns`.
    #[must_use]
    pub const fn window(&self, earliest_ns: i64, count: i64) -> Window {
        let phase_ns = (self.middle_ns - self.margin_ns).rem_euclid(SECOND_NS);
        let wait_ns = (phase_ns - earliest_ns).rem_euclid(SECOND_NS);
        let gaps = if count > 1 { count - 1 } else { 1 };
        Window { start_ns: earliest_ns + wait_ns, spacing_ns: 2 * self.margin_ns / gaps }
    }

    /// Updates the window with the flip that it contained, or with none.
    pub fn learn(&mut self, flip: Option<Flip>) {
        match flip {
            Some(flip) => {
                self.middle_ns = flip.middle_ns();
                self.margin_ns = (flip.width_ns() * 3 / 2).clamp(MIN_MARGIN_NS, WHOLE_NS / 2);
            }
            None => self.margin_ns = (self.margin_ns * WIDEN_FACTOR).min(WHOLE_NS / 2),
        }
    }
}

/// The lags of several flips, in milliseconds: of each flip, the middle of its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lags {
    /// Number of flips.
    pub boundaries: usize,
    /// The smallest.
    pub min_ms: f64,
    /// The median.
    pub median_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// The largest.
    pub max_ms: f64,
    /// The largest half-width of an interval: the uncertainty of each lag at worst.
    pub resolution_ms: f64,
}

impl Lags {
    /// `None` if there is no flip.
    #[must_use]
    pub fn of(flips: &[Flip]) -> Option<Self> {
        let mut middles: Vec<i64> = flips.iter().map(|flip| flip.middle_ns()).collect();
        middles.sort_unstable();
        let resolution_ns = flips.iter().map(|flip| flip.width_ns() / 2).max()?;
        let rank = |percent: usize| millis(middles[(middles.len() * percent).div_ceil(100) - 1]);
        Some(Self {
            boundaries: middles.len(),
            min_ms: millis(middles[0]),
            median_ms: rank(50),
            p95_ms: rank(95),
            max_ms: rank(100),
            resolution_ms: millis(resolution_ns),
        })
    }

    /// `min / median / p95 / max`, as in the table of docs/servers.md.
    #[must_use]
    pub fn cell(&self) -> String {
        let [min, median, p95, max] =
            [self.min_ms, self.median_ms, self.p95_ms, self.max_ms].map(figure);
        format!("{min} / {median} / {p95} / {max}")
    }
}

/// Milliseconds with as many digits as are significant.
#[must_use]
pub fn figure(ms: f64) -> String {
    match ms.abs() {
        size if size < 1.0 => format!("{ms:.2}"),
        size if size < 20.0 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}

/// Nanoseconds as milliseconds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "lags are far below 2^53 ns")]
pub fn millis(ns: i64) -> f64 {
    ns as f64 / 1e6
}

/// The fields of a response head, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The fields of the final head in these bytes. Interim (1xx) heads before it are skipped.
    /// `None` if there is no final head.
    #[must_use]
    pub fn parse(mut bytes: &[u8]) -> Option<Self> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; httptime::http::MAX_HEADERS];
            let mut response = httparse::Response::new(&mut fields);
            let httparse::Status::Complete(length) = response.parse(bytes).ok()? else {
                return None;
            };
            if response.code? >= 200 {
                let field = |field: &httparse::Header<'_>| {
                    (printable(field.name.as_bytes()), printable(field.value))
                };
                return Some(Self(response.headers.iter().map(field).collect()));
            }
            bytes = &bytes[length..];
        }
    }

    /// The field names in their order. The order identifies the server's software.
    #[must_use]
    pub fn order(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    }

    /// The values of all fields of this name.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.0.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// Replaces control characters and the column separator: a server must not control a terminal or
/// end a cell of the table.
fn printable(bytes: &[u8]) -> String {
    let clean = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' };
    bytes.iter().take(128).map(clean).collect()
}

/// A row of the table in docs/servers.md.
#[must_use]
pub fn table_row(server: &str, kept: Option<&Lags>, first: Option<&Lags>, notes: &str) -> String {
    let server = server.replace('|', "\\|");
    let mut cell = kept.or(first).map_or_else(String::new, Lags::cell);
    if let (Some(_), Some(first)) = (kept, first) {
        let _ = write!(cell, "; first {}", first.cell());
    }
    format!("| {server} |  | {cell} |  | {} |", notes.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn answer(sent_ms: i64, received_ms: i64, date_s: i64) -> Answer {
        Answer { sent_ns: sent_ms * 1_000_000, received_ns: received_ms * 1_000_000, date_s }
    }

    const fn flip(low_ms: i64, high_ms: i64) -> Flip {
        Flip { low_ns: low_ms * 1_000_000, high_ns: high_ms * 1_000_000 }
    }

    /// A server of constant lag, with the requests of one window. Each exchange takes a millisecond
    /// and is stamped in its middle.
    fn ask(window: Window, count: i64, lag_ns: i64) -> Vec<Answer> {
        let mut answers = Vec::new();
        for number in 0..count {
            let sent_ns = window.start_ns + number * window.spacing_ns;
            let date_s = (sent_ns + 500_000 - lag_ns).div_euclid(SECOND_NS);
            answers.push(Answer { sent_ns, received_ns: sent_ns + 1_000_000, date_s });
        }
        answers
    }

    #[test]
    fn a_flip_lies_between_the_last_old_and_the_first_new_answer() {
        let answers =
            [answer(9990, 9991, 9), answer(10_003, 10_004, 9), answer(10_005, 10_007, 10)];
        assert_eq!(flips(&answers), [flip(3, 7)]);
    }

    #[test]
    fn a_lag_of_more_than_a_second_is_told_from_its_remainder() {
        let answers = [answer(11_390, 11_391, 9), answer(11_410, 11_411, 10)];
        assert_eq!(flips(&answers), [flip(1390, 1411)]);
    }

    #[test]
    fn a_date_that_comes_again_is_one_flip_and_is_counted_as_gone_back() {
        let answers = [
            answer(9990, 9991, 9),
            answer(10_010, 10_011, 10),
            answer(10_020, 10_021, 9),
            answer(10_030, 10_031, 10),
        ];
        assert_eq!(flips(&answers), [flip(-10, 11)]);
        assert_eq!(went_back(&answers), 1);
        assert_eq!(went_back(&answers[..2]), 0);
    }

    #[test]
    fn a_date_that_skips_a_second_shows_no_flip() {
        assert_eq!(flips(&[answer(9990, 9991, 9), answer(11_500, 11_501, 11)]), []);
        assert_eq!(flips(&[]), []);
    }

    #[test]
    fn early_and_late_count_only_when_the_way_cannot_explain_them() {
        assert_eq!(answer(9990, 9998, 10).early_ns(), 2_000_000);
        assert!(answer(9990, 10_001, 10).early_ns() < 0);
        assert_eq!(answer(10_003, 10_010, 9).stale_ns(), 3_000_000);
        assert!(answer(9999, 10_010, 9).stale_ns() < 0);
    }

    #[test]
    fn five_windows_find_any_lag_to_a_millisecond() {
        for lag_ms in [-1, 0, 3, 280, 499, 735, 999, 1001, 1400, 1999] {
            let lag_ns = lag_ms * 1_000_000;
            let mut aim = Aim::unknown();
            let mut now_ns = 1_795_426_632_123_456_789;
            let mut found = None;
            for _ in 0..5 {
                let window = aim.window(now_ns, 20);
                assert!(window.start_ns >= now_ns && window.start_ns < now_ns + SECOND_NS);
                let answers = ask(window, 20, lag_ns);
                found = flips(&answers).first().copied();
                assert!(found.is_some(), "{lag_ms} ms, {window:?}");
                aim.learn(found);
                now_ns = answers.last().map_or(now_ns, |answer| answer.received_ns);
            }
            let found = found.expect("checked above");
            assert!((found.low_ns..=found.high_ns).contains(&lag_ns), "{lag_ms} ms: {found:?}");
            assert!(found.width_ns() < 2_000_000, "{lag_ms} ms: {found:?}");
        }
    }

    #[test]
    fn a_lag_that_jumps_is_found_again() {
        let (mut aim, mut now_ns) = (Aim::unknown(), 0);
        let mut found = Vec::new();
        for number in 0..12 {
            let window = aim.window(now_ns, 20);
            let lag_ns = if number < 5 { 0 } else { 600_000_000 };
            let answers = ask(window, 20, lag_ns);
            let seen = flips(&answers).first().copied();
            aim.learn(seen);
            found.extend(seen.filter(|_| number >= 5));
            now_ns = window.start_ns + WHOLE_NS;
        }
        assert!(found.iter().all(|flip| flip.low_ns < 600_000_000 && flip.high_ns > 600_000_000));
        assert!(found.len() >= 2, "{found:?}");
    }

    #[test]
    fn lags_are_ranked_by_what_is_nearest_above() {
        let flips: Vec<Flip> = (1..=40).rev().map(|ms| flip(ms - 1, ms + 1)).collect();
        let lags = Lags::of(&flips).expect("there are flips");
        assert_eq!(lags.boundaries, 40);
        assert_eq!(lags.cell(), "1.0 / 20 / 38 / 40");
        assert_eq!(figure(lags.resolution_ms), "1.0");
        assert_eq!(Lags::of(&[]), None);
    }

    #[test]
    fn fields_keep_their_order_and_are_printable() {
        let head = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
            HTTP/1.1 200 OK\r\nServer: Caddy\r\nDate: x\r\nserver: \xffred\r\n\r\n";
        let fields = Fields::parse(head).expect("a head");
        assert_eq!(fields.order(), "Server, Date, server");
        assert_eq!(fields.values("Server"), ["Caddy", "?red"]);
        assert_eq!(Fields::parse(&head[..40]), None);
    }

    #[test]
    fn a_row_has_the_tables_columns() {
        let kept = Lags::of(&[flip(0, 2)]);
        let first = Lags::of(&[flip(1300, 1500)]);
        let row = table_row("a|b", kept.as_ref(), first.as_ref(), "40 boundaries");
        assert_eq!(
            row,
            "| a\\|b |  | 1.0 / 1.0 / 1.0 / 1.0; first 1400 / 1400 / 1400 / 1400 |  | 40 boundaries |"
        );
        assert_eq!(table_row("a", None, None, ""), "| a |  |  |  |  |");
    }
}
