//! The part of an integration's form that all integrations have: its key, its name and its addresses.

use std::sync::LazyLock;

use larder::http::Parameters;
use serde_json::{Map, Value, json};

use super::super::SchemaForm;
use crate::connector::schema::{self, FieldError, FieldProblem};

/// The fields of a new integration, and of one that exists: a key cannot change.
static NEW: LazyLock<Value> = LazyLock::new(|| schema_of(&[NAME, KEY, DESCRIPTION, LOGO, REDIRECTS, CALLBACK]));
static EXISTING: LazyLock<Value> = LazyLock::new(|| schema_of(&[NAME, DESCRIPTION, LOGO, REDIRECTS, CALLBACK]));

/// A field: its name, the type of its value, its title and its description.
type Detail = (&'static str, &'static str, &'static str, &'static str);

const NAME: Detail = ("name", "string", "Name", "Shown to end users.");
const KEY: Detail = (
    "key",
    "string",
    "Key",
    "Names it in connect links and in the API, and cannot be changed. Left empty, it is made from the name.",
);
const DESCRIPTION: Detail = ("description", "string", "Description", "For your own use.");
const LOGO: Detail = ("logoUri", "uri", "Logo", "The address of an image. Left empty, the connector's logo is used.");
const REDIRECTS: Detail = (
    "redirectUris",
    "array",
    "Redirect URIs",
    "The addresses in your application that a result may be sent to, character for character. Their origins may also receive \
     results as messages.",
);
const CALLBACK: Detail = (
    "oAuthCallbackUri",
    "uri",
    "Own callback URI",
    "The address that the provider sends browsers to, if it is not Larder's. It must send them on to Larder's, with the same \
     query.",
);

fn schema_of(details: &[Detail]) -> Value {
    let property = |&(name, kind, title, description): &Detail| {
        let mut property = json!({ "title": title, "description": description });
        match kind {
            "array" => {
                property["type"] = "array".into();
                property["items"] = json!({ "type": "string" });
            }
            "uri" => property["format"] = "uri".into(),
            _ => property["type"] = "string".into(),
        }
        if name == KEY.0 {
            property["pattern"] = "^(?=.*[^.])[A-Za-z0-9_.-]{1,100}$".into();
            property["errorMessage"] =
                "Enter at most 100 letters, digits, dots, hyphens and underscores, not only dots.".into();
        }
        (name.to_owned(), property)
    };
    json!({ "type": "object", "properties": details.iter().map(property).collect::<Map<_, _>>() })
}

/// The details of an integration as a form.
#[derive(Clone, Debug)]
pub struct IntegrationDetails {
    pub(super) form: SchemaForm,
    schema: &'static Value,
}

impl IntegrationDetails {
    /// The form's name.
    const FORM: &'static str = "details";

    /// The fields of an integration that does or does not exist.
    pub fn new(is_new: bool) -> Self {
        let schema = if is_new { &*NEW } else { &*EXISTING };
        Self { form: SchemaForm::named(Self::FORM, Some(schema)), schema }
    }

    /// Reads a submitted form as members of the API's body. Fields that were left empty are null.
    pub fn read(&self, submitted: &Parameters) -> Map<String, Value> {
        let mut details = self.form.read(submitted, &Map::new());
        for name in self.schema["properties"].as_object().into_iter().flat_map(Map::keys) {
            details.entry(name).or_insert(Value::Null);
        }
        details
    }

    /// Returns the fields that are wrong by their form.
    pub fn check(&self, details: &Map<String, Value>) -> Vec<FieldError> {
        schema::validate(Some(self.schema), details).unwrap_or_default()
    }

    /// Returns the field that an error of the API names, with the error.
    pub fn error(&self, message: &str) -> Option<FieldError> {
        let (name, rest) = message.strip_prefix('`')?.split_once('`')?;
        self.schema["properties"].get(name)?;
        let message = rest.trim_start_matches([':', ' ']).replace('`', "");
        let path = vec![name.to_owned()];
        Some(FieldError { field: name.to_owned(), message, path, problem: FieldProblem::Described })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_are_null_and_a_new_integration_has_a_key() {
        let read = |is_new, text: &str| {
            let details = IntegrationDetails::new(is_new);
            Value::from(details.read(&Parameters::parse(text.as_bytes())))
        };
        let expected = json!({"name": "Our CRM", "description": null, "logoUri": null, "oAuthCallbackUri": null,
                              "redirectUris": ["https://app.example/a", "https://app.example/b"]});
        let text =
            "details/name=Our+CRM&details/redirectUris=https://app.example/a%0D%0Ahttps://app.example/b&input/name=x";
        assert_eq!(read(false, text), expected);
        assert_eq!(read(true, "details/key=crm")["key"], "crm");
        assert_eq!(read(false, "details/key=crm").get("key"), None, "a key cannot change");
    }

    #[test]
    fn wrong_fields_are_found_by_their_form_and_by_the_errors_of_the_api() {
        let details = IntegrationDetails::new(true);
        let wrong = json!({"key": "a b", "logoUri": "nowhere"}).as_object().expect("an object").clone();
        let fields: Vec<_> = details.check(&wrong).into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["key", "logoUri"]);
        let error = details.error("`redirectUris`: \"x\" must be an `absolute` URL").expect("a field");
        assert_eq!((error.path[0].as_str(), error.message.as_str()), ("redirectUris", "\"x\" must be an absolute URL"));
        assert_eq!(details.error("`meta` is large").map(|error| error.field), None);
        assert_eq!(details.error("there is no connector").map(|error| error.field), None);
    }
}
