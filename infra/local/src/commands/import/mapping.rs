//! The mapping file, which says through which integration the connections of each of Nango's provider config keys go.

use std::collections::BTreeMap;
use std::path::Path;

use larder_engine::connector::folder::parse_data;
use serde::Deserialize;
use serde_json::Value;

use crate::commands::client::CommandError;

/// The rules by provider config key.
#[derive(Debug, Default)]
pub(super) struct Mapping(BTreeMap<String, Option<Rule>>);

/// The counterpart of one provider config key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Rule {
    /// The integration.
    pub(super) integration: String,
    /// The option, if the connector has several.
    pub(super) auth_option_key: Option<String>,
    /// The values of the connector's input, as paths in Nango's connection.
    #[serde(default)]
    pub(super) input: BTreeMap<String, String>,
}

impl Mapping {
    /// Reads a YAML or JSON file.
    ///
    /// # Errors
    /// When it cannot be read, or a rule is malformed.
    pub(super) fn read(path: &Path) -> Result<Self, CommandError> {
        let failed = |error: String| CommandError::Failed(format!("the mapping file {}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        Self::parse(&text).map_err(failed)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Value::Object(rules) = parse_data(text)? else {
            return Err("it must map Nango's provider config keys to integrations".to_owned());
        };
        let rule = |(key, value): (String, Value)| {
            let rule = match value {
                Value::Null => None,
                Value::String(integration) => Some(Rule { integration, ..Rule::default() }),
                value if value.is_object() => {
                    Some(serde_json::from_value(value).map_err(|error| format!("`{key}`: {error}"))?)
                }
                _ => {
                    return Err(format!("`{key}` must be an integration's key, null, or an object with `integration`"));
                }
            };
            Ok((key, rule))
        };
        rules.into_iter().map(rule).collect::<Result<_, String>>().map(Self)
    }

    #[cfg(test)]
    pub(super) fn of(provider_config_key: &str, rule: Rule) -> Self {
        Self([(provider_config_key.to_owned(), Some(rule))].into())
    }

    /// The rule of a provider config key: without one in the file, the integration with the same key. `None` if the file leaves
    /// it out.
    pub(super) fn rule(&self, provider_config_key: &str) -> Option<Rule> {
        let same = || Some(Rule { integration: provider_config_key.to_owned(), ..Rule::default() });
        self.0.get(provider_config_key).cloned().unwrap_or_else(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_mapped_left_out_or_the_same() {
        let text = "github-prod: github\nlegacy: null\nzendesk:\n  integration: support\n  authOptionKey: api-token\n  \
                    input:\n    email: credentials.username\n";
        let mapping = Mapping::parse(text).expect("it is valid");
        let integration = |key: &str| mapping.rule(key).map(|rule| rule.integration);
        assert_eq!(integration("github-prod").as_deref(), Some("github"));
        assert_eq!(integration("legacy"), None);
        assert_eq!(integration("hubspot").as_deref(), Some("hubspot"));
        let zendesk = mapping.rule("zendesk").expect("a rule");
        assert_eq!((zendesk.integration.as_str(), zendesk.auth_option_key.as_deref()), ("support", Some("api-token")));
        assert_eq!(zendesk.input["email"], "credentials.username");
    }

    #[test]
    fn wrong_rules_are_reported_by_their_key() {
        for (text, expected) in [
            ("- github", "provider config keys"),
            ("github: {integrationKey: github}", "`github`: unknown field `integrationKey`"),
            ("github: 5", "`github` must be an integration's key"),
            ("github: [crm]", "`github` must be an integration's key"),
            ("github: [", "line"),
        ] {
            let error = Mapping::parse(text).expect_err("it is wrong");
            assert!(error.contains(expected), "{error}");
        }
    }
}
