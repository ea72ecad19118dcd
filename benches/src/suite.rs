use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use httptime::estimate::EstimatorKind;
use httptime::schedule::{Profile, ScheduleKind};
use httptime_sim::worlds;

use crate::{Cell, Method, Row};

/// Which cells to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Every estimator and schedule, and NTP, in the worlds in which they are compared; only the
    /// defaults where a server has a fault.
    Full,
    /// Every world with the defaults; htpdate and NTP in the worlds in which they are compared.
    Short,
}

impl Suite {
    /// The cells of this suite.
    #[must_use]
    pub fn cells(self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for world in worlds::ALL.iter().filter(|world| world.is_comparison()) {
            let mut add = |method| cells.push(Cell { world, method });
            for profile in Profile::ALL {
                add(Method::profile(*profile));
            }
            for requests in EQUAL_REQUESTS {
                add(Method::best(*requests));
                add(Method::htpdate(*requests));
            }
            add(Method::NtpFilter);
            add(Method::NtpBest(32));
            if self == Self::Full {
                for (estimator, schedule) in pairs() {
                    EQUAL_REQUESTS.iter().for_each(|n| add(Method::http(estimator, schedule, *n)));
                }
                add(to_a_millisecond());
            }
        }
        if self == Self::Full {
            let world = &worlds::ALL[0];
            let few_and_more = (4..=10).chain([34, 36, 40]);
            cells.extend(few_and_more.map(|n| Cell { world, method: Method::best(n) }));
        }
        for world in worlds::ALL.iter().filter(|world| !world.is_comparison()) {
            let profiles = Profile::ALL.iter().map(|profile| Method::profile(*profile));
            let requests = EQUAL_REQUESTS.iter().map(|requests| Method::best(*requests));
            cells.extend(profiles.chain(requests).map(|method| Cell { world, method }));
        }
        cells
    }
}

/// Numbers of requests at which estimators are compared: too few for checks, the number of polite,
/// and the number of NTP's best-of.
pub const EQUAL_REQUESTS: &[u32] = &[12, 24, 32];

/// Stops at a standard deviation of a millisecond, as fast as possible.
const fn to_a_millisecond() -> Method {
    Method::Http {
        estimator: EstimatorKind::Posterior,
        schedule: ScheduleKind::Adaptive,
        profile: Profile::Fast,
        requests: None,
        duration: None,
        target: Some(Duration::from_millis(1)),
    }
}

/// Estimators and schedules other than the defaults. htpdate's schedule asks its own estimator when
/// to send.
fn pairs() -> impl Iterator<Item = (EstimatorKind, ScheduleKind)> {
    let pairs = EstimatorKind::ALL.iter().flat_map(|e| ScheduleKind::ALL.iter().map(|s| (*e, *s)));
    pairs.filter(|pair| {
        *pair != (EstimatorKind::Posterior, ScheduleKind::Adaptive)
            && pair.1 != ScheduleKind::Htpdate
    })
}

/// Measures each cell `runs` times, on all processors. The rows are in the order of the cells.
///
/// # Panics
/// When a cell panics.
#[must_use]
pub fn run(cells: &[Cell], runs: u32, seed: u64) -> Vec<Row> {
    on_all_processors(cells, |cell| cell.measure(runs, seed))
}

/// Applies `work` to each item on all processors. The results are in the order of the items.
pub(crate) fn on_all_processors<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    let rank = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(rank) else { break };
                    let result = work(item);
                    results.lock().expect("no thread panicked").push((rank, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no thread panicked");
    results.sort_unstable_by_key(|(rank, _)| *rank);
    results.into_iter().map(|(_, result)| result).collect()
}
