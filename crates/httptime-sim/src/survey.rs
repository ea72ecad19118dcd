use httptime::survey::Survey;
use httptime::{Config, Error, Measurement, Offset};

use crate::drive::{DriverStats, Simulation};
use crate::world::World;

/// The result of a simulated survey, and the true offsets.
#[derive(Debug)]
#[non_exhaustive]
pub struct SurveyOutcome {
    /// The library's result.
    pub survey: Survey,
    /// The true offset of each server at the instant to which the combination refers; at the end,
    /// if there is no combination.
    pub truths: Vec<Offset>,
    /// The effort of the survey.
    pub stats: DriverStats,
}

/// Measures several servers at once, each in its own world. The local clocks and the client are
/// those of the first world; the other worlds must have the same local clock. The same seed gives
/// the same survey.
///
/// # Errors
/// The errors of [`Sessions::new`](httptime::survey::Sessions::new): no world or too many, or a
/// `min_servers` that is larger than their number.
pub fn survey(worlds: &[World], config: &Config, seed: u64) -> Result<SurveyOutcome, Error> {
    let Some(first) = worlds.first() else {
        return Err(Error::InvalidConfig {
            reason: "servers is empty; name at least one".to_owned(),
        });
    };
    let mut simulation = Simulation::new(worlds, seed);
    let mut sessions = simulation.sessions(config)?;
    simulation.run(&mut sessions, &mut |_, _| ());
    let end = simulation.now();
    let survey = sessions.finish(first.clock.cross_timestamp_at(end));
    let at = survey.combined().map_or(end, Measurement::at);
    let truths = worlds.iter().map(|world| world.clock.offset_at(at)).collect();
    Ok(SurveyOutcome { survey, truths, stats: simulation.stats() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fastrand::Rng;
    use httptime::LocalInstant;

    use super::*;
    use crate::{Path, SimClock, SimConnections, SimServer};

    const SEED: u64 = 20_261_127;
    const SECOND_NS: i64 = 1_000_000_000;

    /// The fault of a server in a survey.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Fault {
        Nothing,
        Lies,
        Dead,
        Slow,
    }

    fn world(fault: Fault, clock: SimClock, lie: SimClock, random: &mut Rng) -> World {
        let round_trip = 0.1 * 3_000.0_f64.powf(random.f64());
        let path = Path::symmetric_ms(round_trip, round_trip * random.f64() * 0.3)
            .forward_share(random.f64());
        let connections = SimConnections::new().handshake();
        let connections = match random.u8(0..3) {
            0 => connections.closing_after(random.u32(1..4)),
            _ => connections,
        };
        let connections = match fault {
            Fault::Dead => match random.bool() {
                true => connections.refusing(1.0),
                false => connections.not_answering(1.0),
            },
            Fault::Slow => connections.accept_delay(Duration::from_millis(400)),
            Fault::Nothing | Fault::Lies => connections,
        };
        let clock = if fault == Fault::Lies { lie } else { clock };
        World::new(clock, path, SimServer::exact()).with_connections(connections)
    }

    #[test]
    fn what_honest_servers_say_together_holds_whatever_one_liar_and_one_dead_server_do() {
        println!("seed {SEED}");
        let mut random = Rng::with_seed(SEED);
        let (mut combined, mut caught, mut none) = (0, 0, 0);
        for run in 0..20_000 {
            let offset = random.i64(-60 * SECOND_NS..60 * SECOND_NS);
            let lie = random.i64(-SECOND_NS..SECOND_NS);
            let drift = random.i64(-50_000..50_000);
            let clock = SimClock::new(offset).drifting_ppb(drift);
            let lying = SimClock::new(offset + lie).drifting_ppb(drift);
            let mut faults = [Fault::Nothing; 4];
            let count = random.usize(3..=4);
            let faults = &mut faults[..count];
            // Of three servers one may have a fault; of four, one lies and one is dead.
            faults[0] = [Fault::Lies, Fault::Dead, Fault::Slow][random.usize(0..3)];
            if count == 4 {
                (faults[1], faults[2]) = (Fault::Slow, Fault::Nothing);
            }
            let has_dead = count == 4 && faults[0] == Fault::Lies && random.bool();
            if has_dead {
                faults[3] = Fault::Dead;
            }
            random.shuffle(faults);
            let worlds: Vec<World> =
                faults.iter().map(|fault| world(*fault, clock, lying, &mut random)).collect();
            let builder = Config::builder().lag(Duration::ZERO).requests(random.u32(4..=24));
            let min = random.usize(1..=count);
            let config = if random.bool() { builder.min_servers(min) } else { builder };
            let config = config.build().expect("in range");
            let outcome = survey(&worlds, &config, random.u64(..)).expect("a good configuration");
            let max = config.limits().duration() + 2 * config.limits().timeout();
            assert!(outcome.stats.elapsed <= max, "run {run}: {:?}", outcome.stats);
            assert!(outcome.stats.max_polls_per_second < 2_000, "run {run}: {:?}", outcome.stats);
            let honest = faults.iter().position(|fault| *fault != Fault::Lies).expect("several");
            let truth = outcome.truths[honest];
            match outcome.survey.combined() {
                Ok(measurement) => {
                    combined += 1;
                    let bounds = measurement.bounds();
                    assert!(
                        bounds.contains(truth),
                        "run {run}, {faults:?}: {truth} not in {bounds}"
                    );
                    assert!(bounds.contains(measurement.offset()), "run {run}");
                }
                Err(Error::NoMajority { .. } | Error::AmbiguousMajority { .. }) => none += 1,
                Err(error) => panic!("run {run}, {faults:?}: {error}"),
            }
            for (fault, server) in faults.iter().zip(outcome.survey.servers()) {
                let is_out = server.result().is_ok() && !server.is_selected();
                assert!(*fault != Fault::Dead || server.result().is_err(), "run {run}");
                caught += u32::from(*fault == Fault::Lies && is_out);
            }
        }
        println!("{combined} combined, {caught} liars found, {none} without a majority");
        assert!(combined > 15_000 && caught > 5_000, "{combined} combined, {caught} liars found");
    }

    #[test]
    fn servers_are_measured_at_the_same_time() {
        let world = World::new(SimClock::new(5), Path::symmetric_ms(20.0, 2.0), SimServer::exact());
        let single = world.measure(&Config::default(), 1);
        let worlds = [world.clone(), world.clone(), world];
        let outcome = survey(&worlds, &Config::default(), 1).expect("three servers");
        assert!(outcome.stats.elapsed < single.stats.elapsed + Duration::from_secs(2));
        let first = outcome.survey.servers()[0].result().expect("measured");
        assert!(first.bounds().contains(outcome.truths[0]));
        assert!(first.at() > LocalInstant::from_nanos(0));
        assert!(survey(&[], &Config::default(), 1).is_err());
    }
}
