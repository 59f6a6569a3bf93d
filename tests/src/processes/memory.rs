//! The memory of this process.

use std::fs;

/// A line of `/proc/self/status` in bytes, such as `VmRSS` (now) or `VmHWM` (at most).
pub fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a number");
    let kibibytes = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    kibibytes.parse::<u64>().expect("a number") * 1024
}

/// Lets the peak begin at what is used now.
pub fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("Linux");
}
