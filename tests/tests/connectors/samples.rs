//! Values for the inputs and parameters of a connector: its examples, its lists of values, or strings that match its patterns.

use std::collections::BTreeMap;

use jsonschema::Validator;
use larder_engine::connector::AuthOption;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

/// The values that the integration and the end user enter.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// The integration's parameters.
    pub(crate) parameters: Map<String, Value>,
    /// The end user's input.
    pub(crate) input: Map<String, Value>,
}

/// The fields of a way to connect.
pub(crate) struct Fields {
    pub(crate) parameters: Vec<Field>,
    pub(crate) input: Vec<Field>,
}

/// A property of a schema.
pub(crate) struct Field {
    /// Its name.
    pub(crate) name: String,
    /// Its schema.
    pub(crate) schema: Value,
    is_required: bool,
}

impl Fields {
    /// The fields of an option.
    pub(crate) fn of(option: &AuthOption) -> Self {
        Self { parameters: fields(option.parameters_schema.as_ref()), input: fields(option.input_schema.as_ref()) }
    }

    /// Valid values for the required fields, and for those with a default.
    ///
    /// # Panics
    /// If a pattern is too unusual to sample and the input has no example.
    pub(crate) fn valid(&self) -> Sample {
        self.filled(|field| field.valid())
    }

    /// The same with names as values, so that they can be found in results. See [`with_names`].
    pub(crate) fn named(&self) -> Sample {
        self.filled(Field::named)
    }

    /// [`Fields::named`] with each value of each list, optional fields too.
    pub(crate) fn variants(&self) -> Vec<Sample> {
        let named = self.named();
        let parameters = self.parameters.iter().map(|field| (field, true));
        let all = parameters.chain(self.input.iter().map(|field| (field, false)));
        let variants = all.flat_map(|(field, is_parameter)| {
            let listed = field.listed().into_iter().chain([field.named()]);
            listed.map(move |value| (field.name.clone(), is_parameter, value))
        });
        let variants = variants.map(|(name, is_parameter, value)| {
            let mut sample = named.clone();
            let values = if is_parameter { &mut sample.parameters } else { &mut sample.input };
            values.insert(name, value);
            sample
        });
        variants.collect()
    }

    fn filled(&self, value: impl Fn(&Field) -> Value) -> Sample {
        let fill = |fields: &[Field]| {
            let needed = fields.iter().filter(|field| field.is_required || field.schema.get("default").is_some());
            needed.map(|field| (field.name.clone(), value(field))).collect()
        };
        Sample { parameters: fill(&self.parameters), input: fill(&self.input) }
    }
}

impl Field {
    /// The regular expression that values match, if they are free strings.
    pub(crate) fn pattern(&self) -> Option<&str> {
        self.listed().is_empty().then(|| self.schema.get("pattern")?.as_str()).flatten()
    }

    /// Whether the value is hidden in forms.
    pub(crate) fn is_secret(&self) -> bool {
        self.schema.get("isSensitive") == Some(&Value::Bool(true)) || self.schema["format"] == "password"
    }

    /// The check of values.
    pub(crate) fn validator(&self) -> Validator {
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft7).should_validate_formats(true);
        options.build(&self.schema).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The values of a list.
    pub(crate) fn listed(&self) -> Vec<Value> {
        if let Some(values) = self.schema.get("enum").and_then(Value::as_array) {
            return values.clone();
        }
        let choices = self.schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
        choices.filter_map(|choice| choice.get("const").cloned()).collect()
    }

    fn named(&self) -> Value {
        if let Some(value) = self.stated() {
            return value;
        }
        let name = format!("zz{}zz", self.name);
        match self.schema.get("type").and_then(Value::as_str) {
            Some("string") | None if self.is_url() => json!(format!("https://{name}")),
            Some("string") | None => json!(name),
            Some(other) => placeholder(other, &name),
        }
    }

    fn valid(&self) -> Value {
        let example = self.schema.get("examples").and_then(|examples| examples.get(0)).cloned();
        if let Some(value) = example.or_else(|| self.stated()) {
            return value;
        }
        match self.schema.get("type").and_then(Value::as_str) {
            Some("string") | None => json!(self.valid_string()),
            Some(other) => placeholder(other, &format!("sample-{}", self.name)),
        }
    }

    fn valid_string(&self) -> String {
        let validator = self.validator();
        let usual = [
            format!("sample-{}", self.name),
            format!("sample{}", self.name.to_lowercase()),
            format!("https://{}.sample.example", self.name.to_lowercase()),
            "sample.example.com".to_owned(),
            "00000000-0000-4000-8000-000000000000".to_owned(),
            "1234567890".to_owned(),
            format!("{}@sample.example", self.name),
        ];
        if let Some(usual) = usual.into_iter().find(|text| validator.is_valid(&json!(text))) {
            return usual;
        }
        let pattern = self.pattern().unwrap_or_default();
        let found = matching(pattern).and_then(|strings| {
            let mut runner = TestRunner::deterministic();
            let mut strings = (0..200).filter_map(|_| Some(strings.new_tree(&mut runner).ok()?.current()));
            strings.find(|text| text.bytes().all(|byte| byte.is_ascii_graphic()) && validator.is_valid(&json!(text)))
        });
        found.unwrap_or_else(|| panic!("`{}` needs an `example`: {}", self.name, self.schema))
    }

    /// The value that the schema itself states.
    fn stated(&self) -> Option<Value> {
        let stated = ["const", "default"].iter().find_map(|key| self.schema.get(*key).cloned());
        stated.or_else(|| self.listed().into_iter().next())
    }

    fn is_url(&self) -> bool {
        self.schema["format"] == "uri" || self.pattern().is_some_and(|pattern| pattern.starts_with("^http"))
    }
}

/// Replaces the values of [`Fields::named`] by names in braces, as in templates.
pub(crate) fn with_names(text: &str, fields: &Fields) -> String {
    let mut named = text.to_owned();
    for field in fields.parameters.iter().chain(&fields.input) {
        let scheme = if field.is_url() { "https://" } else { "" };
        let value = format!("zz{}zz", field.name);
        // Hosts are written in lower case.
        for value in [value.to_lowercase(), value] {
            named = named.replace(&format!("{scheme}{value}"), &format!("{{{}}}", field.name));
        }
    }
    named
}

/// Strings that match a pattern, apart from its anchors; `None` if it is too unusual.
pub(crate) fn matching(pattern: &str) -> Option<impl proptest::strategy::Strategy<Value = String> + use<>> {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let pattern = pattern.strip_suffix('$').filter(|it| !it.ends_with('\\')).unwrap_or(pattern);
    string_regex(pattern).ok()
}

fn placeholder(kind: &str, name: &str) -> Value {
    match kind {
        "integer" | "number" => json!(7),
        "boolean" => json!(true),
        "array" => json!([name]),
        "object" => json!({}),
        other => panic!("a field of the type {other}"),
    }
}

fn fields(schema: Option<&Value>) -> Vec<Field> {
    let Some(schema) = schema else { return Vec::new() };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties: BTreeMap<&String, &Value> = schema["properties"].as_object().into_iter().flatten().collect();
    let field = |(name, schema): (&String, &Value)| Field {
        name: name.clone(),
        schema: schema.clone(),
        is_required: required.contains(&name.as_str()),
    };
    properties.into_iter().map(field).collect()
}
