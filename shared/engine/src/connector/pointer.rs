//! JSON pointers (RFC 6901): how problems say where in a file they are.

/// The pointer to `key` under the value that `parent` points to.
pub(crate) fn child(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}
