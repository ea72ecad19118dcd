//! Runs jobs beside each other and waits for a limited time: a resolver can block for minutes.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Runs `job` for each input at the same time. Returns the inputs in their order, each with its
/// result; `None` if that did not come within `limit`. A job that is late continues on its thread.
pub(crate) fn each<I, R>(
    inputs: Vec<I>,
    limit: Duration,
    job: impl Fn(&I) -> R + Clone + Send + 'static,
) -> Vec<(I, Option<R>)>
where
    I: Clone + Send + 'static,
    R: Send + 'static,
{
    let jobs = inputs.iter().cloned().map(|input| {
        let job = job.clone();
        Box::new(move || job(&input)) as Box<dyn FnOnce() -> R + Send>
    });
    let results = all(jobs.collect(), limit);
    inputs.into_iter().zip(results).collect()
}

/// Runs all jobs at the same time. The results are in the order of the jobs.
pub(crate) fn all<R: Send + 'static>(
    jobs: Vec<Box<dyn FnOnce() -> R + Send>>,
    limit: Duration,
) -> Vec<Option<R>> {
    let until = Instant::now() + limit;
    let mut results: Vec<Option<R>> = jobs.iter().map(|_| None).collect();
    let (sender, receiver) = mpsc::channel();
    for (index, job) in jobs.into_iter().enumerate() {
        let sender = sender.clone();
        // Without a thread there is no result, as if it were late.
        let _ = thread::Builder::new().name("doctor".into()).spawn(move || {
            let _ = sender.send((index, job()));
        });
    }
    drop(sender);
    loop {
        match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((index, result)) => results[index] = Some(result),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return results,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_hangs_delays_no_other_and_is_missing() {
        let (keep, never) = mpsc::channel::<()>();
        let never = std::sync::Arc::new(std::sync::Mutex::new(never));
        let results = each(vec![1, 2, 3], Duration::from_millis(300), move |input| {
            if *input == 2 {
                let _ = never.lock().map(|never| never.recv());
            }
            input * 10
        });
        assert_eq!(results, [(1, Some(10)), (2, None), (3, Some(30))]);
        drop(keep);
    }
}
