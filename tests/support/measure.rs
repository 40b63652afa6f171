//! What benches share: their flags, medians, and the time that a process used.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Linux shows times of processes in hundredths of a second, whatever it counts in.
const TICK: Duration = Duration::from_millis(10);

/// `--flag N`.
#[must_use]
pub fn number(flag: &str, default: u64) -> u64 {
    text(flag).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{flag} takes a number")))
}

/// `--flag TEXT`.
#[must_use]
pub fn text(flag: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != flag).nth(1)
}

/// The one in the middle; of an even number, the greater of the two.
#[must_use]
pub fn median<T: Copy + PartialOrd>(values: impl IntoIterator<Item = T>) -> T {
    share(values, 500)
}

/// The one that this share of the others, in thousandths, is not greater than.
#[must_use]
pub fn share<T: Copy + PartialOrd>(values: impl IntoIterator<Item = T>, thousandths: usize) -> T {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("numbers that can be compared"));
    values[(values.len() * thousandths / 1_000).min(values.len() - 1)]
}

/// User and system time of a process, with its threads that have ended.
#[must_use]
pub fn cpu_time(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux, and the process runs");
    // The name before it may hold blanks.
    let (_, fields) = text.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u32>().unwrap());
    TICK * ticks.sum::<u32>()
}

/// `1m2.34s`, as a shell prints times.
#[must_use]
pub fn time_in_shell(text: &str) -> Duration {
    let (minutes, seconds) = text.trim_end_matches('s').split_once('m').expect("a time of the shell");
    Duration::from_secs(60 * minutes.parse::<u64>().unwrap()) + Duration::from_secs_f64(seconds.parse().unwrap())
}

/// `/dev/shm` if so many bytes fit; containers often have 64 MiB there. Says so if they do not.
#[must_use]
pub fn memory_dir(bytes: u64) -> PathBuf {
    let free = Command::new("df").args(["--output=avail", "-B1", "/dev/shm"]).output().ok();
    let free = free.and_then(|o| String::from_utf8(o.stdout).ok()?.lines().nth(1)?.trim().parse::<u64>().ok());
    if free.is_some_and(|free| free > bytes) {
        return "/dev/shm".into();
    }
    println!("(/dev/shm has no space: \"memory\" is {} as well)", std::env::temp_dir().display());
    std::env::temp_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_sorted_values() {
        assert_eq!((median([3, 1, 2]), median([1, 2, 3, 4]), median([5])), (2, 3, 5));
        assert_eq!((share(0..100, 990), share(0..200, 990), share(0..5, 1_000)), (99, 198, 4));
    }

    #[test]
    fn a_process_that_works_uses_time() {
        let begun = cpu_time(std::process::id());
        let mut sum = 0_u64;
        while cpu_time(std::process::id()) < begun + 3 * TICK {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(sum > 0);
    }
}
