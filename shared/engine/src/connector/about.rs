//! A description of a connector for the catalog: where it is documented, how it is found, and how to set it up.

use serde_json::{Map, Value};

/// The keys of `spec.yml` and of presets that describe a connector without changing what it does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// The kinds of application, such as `crm`.
    pub categories: Vec<String>,
    /// Other names to find it by.
    pub aliases: Vec<String>,
    /// `apiDocsUri`, `evidence`, `lifetimes`, `quirks`, `setup` and `testReason`, as they were written.
    pub details: Map<String, Value>,
}

impl About {
    /// The keys of [`About::details`].
    pub const DETAILS: [&str; 6] = ["apiDocsUri", "evidence", "lifetimes", "quirks", "setup", "testReason"];

    /// Reads the keys of a `spec.yml`. Values of the wrong type are ignored; `check` reports them.
    pub(super) fn of(spec: &Value) -> Self {
        let words = |key: &str| {
            let items = spec.get(key).and_then(Value::as_array).into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let details = Self::DETAILS.into_iter().filter_map(|key| Some((key.to_owned(), spec.get(key)?.clone())));
        Self { categories: words("categories"), aliases: words("aliases"), details: details.collect() }
    }
}
