//! For any bounds of several servers: the selected servers are a majority with a common point, and
//! the combined estimate is within the combined bounds.
#![no_main]

mod input;

use std::time::Duration;

use httptime::estimate::EstimatorKind;
use httptime::select::{Quorum, combine, select};
use httptime::{
    Config, CrossTimestamp, Exchange, Interval, LocalInstant, Measure, Measurement, Timestamp,
};
use input::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    if input.bit() {
        let mut intervals = Vec::new();
        while !input.is_empty() && intervals.len() < 12 {
            intervals.push(Interval::between(input.offset(), input.offset()));
        }
        intervals_agree(&intervals);
    } else {
        let mut measured = Vec::new();
        while !input.is_empty() && measured.len() < 12 {
            measured.extend(measurement(&mut input));
        }
        measurements_agree(&measured);
    }
});

fn intervals_agree(intervals: &[Interval]) {
    let Ok(selection) = select(intervals, Quorum::majority_of(intervals.len())) else { return };
    let bounds = selection.bounds();
    let survive = selection.survivors().iter().filter(|survives| **survives).count();
    assert!(2 * survive > intervals.len());
    for end in [bounds.lower(), bounds.upper()] {
        assert!(2 * intervals.iter().filter(|one| one.contains(end)).count() > intervals.len());
    }
    let largest = intervals
        .iter()
        .map(|start| intervals.iter().filter(|one| one.contains(start.lower())).count())
        .max();
    assert_eq!(largest, Some(survive));
}

fn measurements_agree(measured: &[Measurement]) {
    let Ok((all, survivors)) =
        combine(&measured.iter().collect::<Vec<_>>(), Quorum::majority_of(measured.len()))
    else {
        return;
    };
    assert!(2 * survivors.iter().filter(|survives| **survives).count() > measured.len());
    assert!(all.bounds().contains(all.offset()));
    for (one, survives) in measured.iter().zip(&survivors) {
        let widest = one.bounds().intersection(all.bounds()).is_some();
        let age = all.at().saturating_since(one.at());
        assert!(widest || !survives || age > Duration::ZERO);
    }
}

/// A measurement of a few exchanges, with a fast estimator.
fn measurement(input: &mut Input<'_>) -> Option<Measurement> {
    let config = Config::builder()
        .estimator(input.pick(&[EstimatorKind::Intersection, EstimatorKind::Midpoint]))
        .drift_ppm(input.maybe(Input::u16).map_or(100, u32::from))
        .lag(input.duration())
        .floor(None)
        .build()
        .ok()?;
    let wall = Timestamp::from_unix_nanos(1_795_392_000_000_000_000);
    let cross_timestamp = CrossTimestamp::new(LocalInstant::from_nanos(0), wall, Duration::ZERO);
    let mut measure = Measure::new(&config, cross_timestamp);
    for _ in 0..=input.byte() % 3 {
        let sent = LocalInstant::from_nanos(input.nanos());
        let received = sent.saturating_add(input.duration());
        let date = cross_timestamp.wall_at(sent).saturating_add(input.offset());
        measure.sent(sent);
        measure.absorb(&Exchange::from_parts_unchecked(sent, received, date)).ok()?;
    }
    let end = LocalInstant::from_nanos(i64::MAX);
    measure.finish(CrossTimestamp::new(end, cross_timestamp.wall_at(end), Duration::ZERO)).ok()
}
