//! Tests that need a process of their own: they count its memory, take its log, or need other variables in its environment.
//!
//! Tests of a theme share a process. Such a test runs itself once more, alone, and passes if that run passes.

use std::env;
use std::process::Stdio;

use tokio::process::Command;

/// Names the test that a process was started for.
const ALONE: &str = "LARDER_TEST_ALONE";

/// Whether this process was started for this test, such as `logs::no_secret_is_logged`. Otherwise the test is run in one that
/// is, and there is nothing left to do.
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

/// Runs a test of this program once more, in a process whose environment has these variables, too.
///
/// # Panics
/// If the test fails there, or is not found by this name.
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
    assert!(output.status.success() && text.contains("1 passed"), "{test} in a process of its own: {text}");
}
