//! The help to set up a connector, from its files.

use serde_json::{Map, Value};

use super::super::is_web_address;
use super::{text, texts};

/// Help to set up a connector, in the connector's words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Help {
    /// The page on which a client is registered.
    pub(super) register_uri: Option<String>,
    /// Instructions for developers.
    pub(super) developer: String,
    /// Instructions for end users.
    pub(super) end_user: String,
    /// The page that the instructions are from, and the day they were read.
    pub(super) source: Option<String>,
    pub(super) date: String,
    /// The provider's documentation.
    pub(super) docs_uri: Option<String>,
    /// Peculiarities.
    pub(super) quirks: Vec<String>,
    /// The grounds for the connector's facts.
    pub(super) evidence: String,
}

impl Help {
    /// Reads the details of a connector. `None` if they have no help.
    pub(super) fn new(details: &Map<String, Value>) -> Option<Self> {
        let details = Value::from(details.clone());
        let setup = &details["setup"];
        let link = |view: &Value, name: &str| Some(text(view, name).to_owned()).filter(|uri| is_web_address(uri));
        let quirks = &details["quirks"];
        let help = Self {
            register_uri: link(setup, "registerUri"),
            developer: text(setup, "developer").trim().to_owned(),
            end_user: text(setup, "endUser").trim().to_owned(),
            source: link(setup, "source"),
            date: text(setup, "date").to_owned(),
            docs_uri: link(&details, "apiDocsUri"),
            quirks: quirks.as_str().map_or_else(|| texts(&details, "quirks"), |quirk| vec![quirk.trim().to_owned()]),
            evidence: match &details["evidence"] {
                Value::Number(sources) => format!("{sources} independent sources agree on how it works."),
                Value::String(evidence) if evidence == "docs" => "Made from the provider's documentation.".to_owned(),
                _ => String::new(),
            },
        };
        (help != Self::default()).then_some(help)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn help(details: &Value) -> Option<Help> {
        Help::new(details.as_object().expect("an object"))
    }

    #[test]
    fn only_web_addresses_become_links() {
        let setup =
            json!({"registerUri": "javascript:alert(1)", "developer": "Register.\n", "source": "https://a.example/"});
        let found = help(&json!({"setup": setup, "quirks": ["One.", "Two."], "evidence": 2})).expect("help");
        assert_eq!((found.register_uri, found.source.as_deref()), (None, Some("https://a.example/")));
        assert_eq!((found.developer.as_str(), found.quirks.len()), ("Register.", 2));
        assert_eq!(found.evidence, "2 independent sources agree on how it works.");
        assert_eq!(help(&json!({"quirks": "One."})).expect("help").quirks, ["One."]);
        assert_eq!(help(&json!({"lifetimes": {"accessToken": 3600}})), None);
    }
}
