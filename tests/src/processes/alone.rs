//! Tests that need their own process because they measure memory, capture the log, or set environment variables.
//!
//! Tests of a theme share a process. A test that needs its own runs itself again, alone, and passes if that run passes.

use std::env;
use std::process::Stdio;

use tokio::process::Command;

/// The environment variable that names the test that a process was started for.
const ALONE: &str = "LARDER_TEST_ALONE";

/// Whether this process was started for this test, for example `logs::no_secret_is_logged`. If not, runs the test in its
/// own process and returns `false`: there is nothing left to do.
///
/// # Panics
/// If the test fails there.
pub async fn is_alone(test: &str) -> bool {
    if env::var_os(ALONE).is_some_and(|started_for| started_for == test) {
        return true;
    }
    repeat(test, &[(ALONE, test)]).await;
    false
}

/// Runs a test of this program again in a new process, with these extra environment variables.
///
/// # Panics
/// If the test fails there or does not exist.
pub async fn repeat(test: &str, variables: &[(&str, &str)]) {
    let process = Command::new(env::current_exe().expect("a path"))
        .args(["--exact", test, "--include-ignored"])
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let output = process.expect("it starts").wait_with_output().await.expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{test} failed in its own process: {text}");
}
