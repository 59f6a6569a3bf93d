//! JSON pointers (RFC 6901), which locate problems in a file.

/// The pointer to `key` under the value that `parent` points to.
pub(crate) fn child(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}
