use std::fs;
use std::io;
use std::time::Duration;

/// Resources of this process at one instant, as Linux counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceUsage {
    /// Time since the start of the run.
    pub at: Duration,
    /// Open descriptors, including the one that is used for counting.
    pub descriptors: usize,
    /// Threads.
    pub threads: u32,
    /// Resident memory in KiB.
    pub resident_kib: u32,
}

impl ResourceUsage {
    /// Reads the current values.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn take(at: Duration) -> io::Result<Self> {
        let descriptors = fs::read_dir("/proc/self/fd")?.count();
        let status = fs::read_to_string("/proc/self/status")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            value.ok_or_else(|| io::Error::other(format!("no {name} in /proc/self/status")))
        };
        let (threads, resident_kib) = (field("Threads:")?, field("VmRSS:")?);
        Ok(Self { at, descriptors, threads, resident_kib })
    }

    /// Growth of the resident memory from the first to the last of `samples`, in KiB, along the
    /// least-squares line.
    #[must_use]
    pub fn rise_kib(samples: &[Self]) -> f64 {
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return 0.0 };
        let count = f64::from(u32::try_from(samples.len()).unwrap_or(u32::MAX));
        let points = || samples.iter().map(|s| (s.at.as_secs_f64(), f64::from(s.resident_kib)));
        let (x_sum, y_sum) = points().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x, sum.1 + y));
        let (x_mean, y_mean) = (x_sum / count, y_sum / count);
        let (products, squares) = points().fold((0.0, 0.0), |sum, (x, y)| {
            (sum.0 + (x - x_mean) * (y - y_mean), sum.1 + (x - x_mean).powi(2))
        });
        if squares == 0.0 {
            return 0.0;
        }
        products / squares * (last.at - first.at).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rise_is_that_of_the_line_and_not_of_its_ends() {
        let sample = |at: u32, resident_kib| ResourceUsage {
            at: Duration::from_secs(at.into()),
            descriptors: 5,
            threads: 2,
            resident_kib,
        };
        let steady: Vec<_> = (0..100).map(|at| sample(at, 4000)).collect();
        assert!(ResourceUsage::rise_kib(&steady).abs() < 1e-6);
        let mut rising: Vec<_> = (0..100).map(|at| sample(at, 4000 + 2 * at)).collect();
        assert!((ResourceUsage::rise_kib(&rising) - 198.0).abs() < 1e-6);
        rising[99].resident_kib = 5000;
        assert!(ResourceUsage::rise_kib(&rising) < 300.0);
        assert!(ResourceUsage::rise_kib(&[]).abs() < 1e-6);
    }

    #[test]
    fn a_descriptor_more_is_seen() -> io::Result<()> {
        let now = || ResourceUsage::take(Duration::ZERO);
        let before = now()?;
        let many: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null")).collect();
        assert!(now()?.descriptors >= before.descriptors + 40);
        drop(many);
        assert!(before.threads >= 1 && before.resident_kib > 100);
        Ok(())
    }
}
