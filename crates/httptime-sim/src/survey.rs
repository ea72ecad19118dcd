use httptime::survey::Survey;
use httptime::{Config, Error, Measurement, Offset};

use crate::drive::{Effort, Simulation};
use crate::world::World;

/// What a simulated survey said, and the truth.
#[derive(Debug)]
#[non_exhaustive]
pub struct SurveyOutcome {
    /// What the library said.
    pub survey: Survey,
    /// The true offset of each server at the instant to which the combination refers; at the end, if there is none.
    pub truths: Vec<Offset>,
    /// What it took.
    pub effort: Effort,
}

/// Measures several servers at once, each in a world of its own. The local clocks and the client are the first world's: the
/// worlds are to agree on the local clock. The same seed gives the same survey.
///
/// # Errors
/// Those of [`Sessions::new`](httptime::survey::Sessions::new): no world or too many, or `min_servers` larger than their number.
pub fn survey(worlds: &[World], config: &Config, seed: u64) -> Result<SurveyOutcome, Error> {
    let Some(first) = worlds.first() else {
        return Err(Error::InvalidConfig { reason: "no server is given".to_owned() });
    };
    let mut simulation = Simulation::new(worlds, seed);
    let mut sessions = simulation.sessions(config)?;
    simulation.run(&mut sessions, &mut |_, _| ());
    let end = simulation.now();
    let survey = sessions.finish(first.clock.tie_at(end));
    let at = survey.combined().map_or(end, Measurement::at);
    let truths = worlds.iter().map(|world| world.clock.offset_at(at)).collect();
    Ok(SurveyOutcome { survey, truths, effort: simulation.effort() })
}
