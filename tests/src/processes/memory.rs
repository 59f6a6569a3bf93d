//! This process's memory use.

use std::fs;

/// Reads a value of `/proc/self/status` in bytes, for example `VmRSS` (current) or `VmHWM` (peak).
pub fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a number");
    let kibibytes = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    kibibytes.parse::<u64>().expect("a number") * 1024
}

/// Resets the peak to the current use.
pub fn reset_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("Linux");
}
