//! Measures time, processor time and memory of some work.

use std::time::Instant;

use model::Result;

/// The cost of one run of some work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// Seconds on the clock.
    pub(super) wall: f64,
    /// Seconds of processor time, user and system, of this process and of children that ended.
    pub(super) cpu: f64,
    /// Most memory that this process used during the run, in KiB, without children.
    pub(super) peak: u64,
}

/// Does the work and measures it.
pub(super) fn measure<T>(work: impl FnOnce() -> Result<T>) -> Result<(Cost, T)> {
    // Writing 5 resets the peak, see proc(5). Where that is not allowed, the peak is that of the whole run so far.
    let _not_allowed = std::fs::write("/proc/self/clear_refs", "5");
    let (cpu, started) = (processor_time(), Instant::now());
    let result = work()?;
    let wall = started.elapsed().as_secs_f64();
    Ok((Cost { wall, cpu: processor_time() - cpu, peak: peak() }, result))
}

/// Fields 14 to 17 of proc(5)'s `stat`, in hundredths of a second.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is in parentheses and may contain blanks.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u32 = fields.skip(11).take(4).filter_map(|field| field.parse::<u32>().ok()).sum();
    f64::from(ticks) / 100.0
}

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_time_processor_and_memory() {
        let work = || {
            let bytes = std::hint::black_box(vec![1_u8; 64 << 20]);
            let started = Instant::now();
            let mut sum = 0_u64;
            while started.elapsed().as_millis() < 50 || processor_time() < 0.02 {
                sum += bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            }
            Ok(sum)
        };
        let (cost, sum) = measure(work).unwrap();
        assert!(sum > 0 && cost.wall >= 0.05 && cost.cpu > 0.0 && cost.peak > 64 << 10, "{cost:?}");
    }
}
