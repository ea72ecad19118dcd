//! A driver reports anything to a measurement, in any order and with any clocks. The measurement
//! does not panic. If it is asked before each request, it does not exceed its limits. Its estimate
//! is within its bounds.
#![no_main]

mod input;

use std::time::Duration;

use httptime::Next;
use httptime::estimate::EstimatorKind;
use httptime::schedule::{Profile, ScheduleKind};
use httptime::server::HeadMarks;
use httptime::{
    Config, CrossTimestamp, Error, Exchange, Interval, LocalInstant, Measure, Offset, Stamp,
    Timestamp,
};
use input::Input;
use libfuzzer_sys::fuzz_target;

const SECOND_NS: i64 = 1_000_000_000;
const WALL_NS: i64 = 1_795_392_000 * SECOND_NS;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let Some(config) = config(&mut input) else { return };
    let mut run = Run::new(&config, &mut input);
    for _ in 0..100 {
        if input.is_empty() {
            break;
        }
        if run.turn(&mut input).is_err() {
            // The measurement has ended without evidence. Further calls must do no harm.
            assert_eq!(run.measure.next(run.now), Next::Done);
            if input.bit() {
                return;
            }
        }
    }
    run.finish(&mut input);
});

fn config(input: &mut Input<'_>) -> Option<Config> {
    let mut builder = Config::builder()
        .estimator(input.pick(EstimatorKind::ALL))
        .requests(u32::from(input.byte() % 40) + 1)
        .duration(Duration::from_millis(u64::from(input.u16()) + 1))
        .drift_ppm(u32::from(input.u16() % 10_001));
    if let Some(profile) = input.maybe(|input| input.pick(Profile::ALL)) {
        builder = builder.profile(profile);
    }
    if let Some(schedule) = input.maybe(|input| input.pick(ScheduleKind::ALL)) {
        builder = builder.schedule(schedule);
    }
    if let Some(lag) = input.maybe(Input::duration) {
        builder = builder.lag(lag);
    }
    if let Some(target) = input.maybe(Input::duration) {
        builder = builder.target(target);
    }
    if input.bit() {
        builder = builder.floor(None);
    }
    let config = builder.build().ok()?;
    let expected = input.maybe(|input| Interval::between(input.offset(), input.offset()));
    Some(expected.map_or(config.clone(), |expected| config.with_expected(expected)))
}

fn instant(input: &mut Input<'_>) -> LocalInstant {
    LocalInstant::from_nanos(input.nanos())
}

/// A stamp of a clock that shows `server`, or of any other.
fn stamp(input: &mut Input<'_>, server: Timestamp) -> Stamp {
    let receive = server.saturating_add(input.maybe(Input::offset).unwrap_or(Offset::ZERO));
    let quantum = input.pick(&[1, 1_000, 1_000_000, SECOND_NS.unsigned_abs()]);
    let stamp = Stamp::new(receive, Duration::from_nanos(quantum));
    let stamp = match input.maybe(Input::offset) {
        Some(later) => stamp.with_transmit(receive.saturating_add(later)),
        None => stamp,
    };
    if input.bit() { stamp.rounded() } else { stamp }
}

struct Run {
    measure: Measure,
    cross_timestamp: CrossTimestamp,
    now: LocalInstant,
    most: u32,
    /// Whether every request was sent when the measurement asked for it.
    orderly: bool,
    /// Server clock − local clock, for a server that is right.
    truth: Offset,
}

impl Run {
    fn new(config: &Config, input: &mut Input<'_>) -> Self {
        let now = LocalInstant::from_nanos(input.nanos());
        let wall = Timestamp::from_unix_nanos(WALL_NS.saturating_add(input.nanos()));
        let cross_timestamp = CrossTimestamp::new(now, wall, input.duration());
        let measure = Measure::new(config, cross_timestamp);
        let most = config.limits().requests();
        Self { measure, cross_timestamp, now, most, orderly: true, truth: input.offset() }
    }

    fn turn(&mut self, input: &mut Input<'_>) -> Result<(), Error> {
        match input.byte() % 8 {
            0 => {
                self.now = LocalInstant::from_nanos(input.nanos());
                self.measure.next(self.now);
                Ok(())
            }
            1 => {
                self.measure.sent(self.now);
                self.orderly = false;
                Ok(())
            }
            2 => self.unsolicited_response(input),
            3 => self.measure.lost(input.bit(), Error::Closed { received: 0 }),
            5 => {
                let (sent, received) = (input.maybe(instant), input.maybe(instant));
                self.ask(input, sent, received)
            }
            _ => self.ask(input, None, None),
        }?;
        self.check();
        Ok(())
    }

    /// A response without a request, with any values.
    fn unsolicited_response(&mut self, input: &mut Input<'_>) -> Result<(), Error> {
        let sent = LocalInstant::from_nanos(input.nanos());
        let received = LocalInstant::from_nanos(input.nanos());
        let date = self.cross_timestamp.wall_at(sent).saturating_add(input.offset());
        let age = input.maybe(Input::duration);
        let server = input.maybe(|input| input.pick(&["nginx/1.22.1", "", "lighttpd", "?"]));
        let marks = HeadMarks::from_bits(u32::from_be_bytes([(); 4].map(|()| input.byte() % 6)));
        let exchange = Exchange::from_parts_unchecked(sent, received, date)
            .with_age(age)
            .with_server(server)
            .with_marks(marks);
        let exchange = match input.maybe(|input| stamp(input, date)) {
            Some(stamp) => exchange.with_stamp(stamp),
            None => exchange,
        };
        let observation = self.measure.absorb(&exchange)?;
        assert!(observation.lower() <= observation.upper());
        Ok(())
    }

    /// Sends a request as a driver does, to a server that is right, with any delay per direction.
    /// The kernel's timestamps are arbitrary.
    fn ask(
        &mut self,
        input: &mut Input<'_>,
        left: Option<LocalInstant>,
        came: Option<LocalInstant>,
    ) -> Result<(), Error> {
        let Next::SendAt(at) = self.measure.next(self.now) else { return Ok(()) };
        assert!(at >= self.now);
        let stamped = at.saturating_add(input.duration());
        self.now = stamped.saturating_add(input.duration());
        let server = self.cross_timestamp.wall_at(stamped).saturating_add(self.truth);
        let date = Timestamp::from_unix_seconds(server.as_unix_nanos().div_euclid(SECOND_NS));
        self.measure.sent(at);
        let Some(date) = date else {
            return self.measure.lost(true, Error::Closed { received: 0 });
        };
        let exchange =
            Exchange::from_parts_unchecked(at, self.now, date).with_kernel_timestamps(left, came);
        let exchange = match input.byte() % 4 {
            0 => exchange.with_stamp(stamp(input, server)),
            _ => exchange,
        };
        self.measure.absorb(&exchange).map(drop)
    }

    fn check(&self) {
        let progress = self.measure.progress();
        assert!(!self.orderly || progress.requests() <= self.most);
        if self.measure.failure().is_some() {
            assert_eq!(self.measure.estimate(), None);
        } else if let Some(bounds) = progress.bounds() {
            let estimate = self.measure.estimate().expect("one goes with the bounds");
            assert!(bounds.contains(estimate.offset()));
        }
    }

    fn finish(self, input: &mut Input<'_>) {
        let jumped = self.cross_timestamp.wall_at(self.now).saturating_add(input.offset());
        let cross_timestamp = CrossTimestamp::new(self.now, jumped, input.duration());
        let failed = self.measure.failure().is_some();
        let Ok(measurement) = self.measure.finish(cross_timestamp) else { return };
        assert!(!failed, "what ended it for good leaves no result");
        assert!(measurement.bounds().contains(measurement.offset()));
        assert!(measurement.observations() > 0);
        let _ = (measurement.server_time(), measurement.elapsed(), measurement.end_reason());
    }
}
