//! Fields whose values become part of an address: tidies up what people paste into them, and says what to enter instead.
//!
//! # Decisions
//!
//! People copy addresses from their browser, but a field may want only a part of one. A value that its pattern accepts stays
//! as it is, and another is only replaced by one that the pattern accepts. So the pattern still decides which hosts are
//! possible.

use serde_json::{Map, Value, json};
use url::Url;

use super::schema::{self, FieldError, FieldProblem, Unusable};
use super::{AuthOption, Connector, Function};
use crate::pasted::trimmed;

/// The variables in which functions see the values that an end user entered.
const INPUTS: [&str; 3] = ["connectionParameters", "connectionInput", "credentials"];
/// The variable in which they see the integration's parameters.
const PARAMETERS: [&str; 1] = ["connectorParameters"];

/// A host around the value of a field: `("", ".acme.com")` for `https://{site}.acme.com/v1`.
type HostTemplate = (String, String);

impl AuthOption {
    /// Tidies up the values that an end user entered.
    pub fn tidied(&self, input: Map<String, Value>) -> Map<String, Value> {
        tidied(self.input_schema.as_ref(), trimmed(input), |name| self.hosts(&INPUTS, name))
    }

    /// Returns the fields of an input that do not match the schema, with what to enter instead.
    ///
    /// # Errors
    /// When the schema itself is invalid.
    pub fn check_input(&self, input: &Map<String, Value>) -> Result<Vec<FieldError>, Unusable> {
        let mut errors = schema::validate(self.input_schema.as_ref(), input)?;
        for error in errors.iter_mut().filter(|error| error.problem == FieldProblem::Format) {
            let [name] = error.path.as_slice() else { continue };
            let property = property(self.input_schema.as_ref(), name);
            let example = property.and_then(schema::example).map(|text| format!(", for example `{text}`"));
            let example = example.unwrap_or_default();
            let hosts = self.hosts(&INPUTS, name);
            let end = hosts.into_iter().find(|(before, after)| before.is_empty() && after.starts_with('.'));
            match end {
                Some((_, end)) => {
                    error.message = format!("must be only the part before `{end}`{example}");
                    error.problem = FieldProblem::BeginningOf(end);
                }
                None => error.message += &example,
            }
        }
        Ok(errors)
    }

    /// The hosts of its functions' requests that contain a field of one of these variables.
    fn hosts(&self, variables: &[&str], field: &str) -> Vec<HostTemplate> {
        let mut hosts = Vec::new();
        let mut add = |template: &str, name: &str| hosts.extend(host_around(template, name));
        for function in self.functions.values() {
            let expressions: Vec<&Value> = match function {
                Function::Mapping(mapping) => vec![mapping.expression()],
                Function::Rest(rest) => rest.mappings().map(|mapping| mapping.expression()).collect(),
                Function::Database(_) | Function::JavaScript(_) => continue,
            };
            for expression in expressions {
                templates(expression, &mut |template, values| {
                    for (name, _) in values.iter().filter(|(_, value)| is_field(value, variables, field)) {
                        add(template, name);
                    }
                });
            }
            if let Function::Rest(rest) = function {
                for request in rest.before.iter().chain([rest]) {
                    let mapping = request.request_mapping.as_ref().and_then(|it| it.expression().get("pathParameters"));
                    let values = mapping.and_then(Value::as_object).into_iter().flatten();
                    for (name, _) in values.filter(|(_, value)| is_field(value, variables, field)) {
                        add(&request.path, name);
                    }
                }
            }
        }
        hosts
    }
}

impl Connector {
    /// Tidies up the parameters of an integration.
    pub fn tidied(&self, parameters: Map<String, Value>) -> Map<String, Value> {
        tidied(self.parameters_schema.as_ref(), trimmed(parameters), |name| {
            self.options.iter().flat_map(|option| option.hosts(&PARAMETERS, name)).collect()
        })
    }
}

fn tidied(
    schema: Option<&Value>,
    mut values: Map<String, Value>,
    hosts: impl Fn(&str) -> Vec<HostTemplate>,
) -> Map<String, Value> {
    for (name, value) in &mut values {
        let Some(property) = property(schema, name) else { continue };
        let (Some(pattern), Some(text)) = (property.get("pattern").and_then(Value::as_str), value.as_str()) else {
            continue;
        };
        let own = json!({ "properties": { name: property } });
        let fits = |text: &String| {
            let value = Map::from_iter([(name.clone(), text.as_str().into())]);
            schema::validate(Some(&own), &value).is_ok_and(|errors| errors.is_empty())
        };
        if !fits(&text.to_owned())
            && let Some(tidy) = parts(text, pattern, &hosts(name)).into_iter().find(fits)
        {
            *value = tidy.into();
        }
    }
    values
}

/// Returns the parts of a pasted address that a field may want: all of it, or the value that leads to its host.
fn parts(text: &str, pattern: &str, hosts: &[HostTemplate]) -> Vec<String> {
    let is_web = |scheme: &&str| ["http", "https"].iter().any(|it| it.eq_ignore_ascii_case(scheme));
    let (scheme, rest) = match text.split_once("://").filter(|(scheme, _)| is_web(scheme)) {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, text),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // Browsers read other characters in several ways.
    let is_plain = authority.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\@%".contains(&byte));
    let protocol = scheme.unwrap_or("https").to_lowercase();
    let url = Url::parse(&format!("{protocol}://{authority}")).ok();
    let url = url.filter(|url| is_plain && url.host_str().is_some_and(|host| host.contains('.')));
    let Some(url) = url else { return Vec::new() };
    let mut parts = Vec::new();
    if pattern.starts_with(schema::WEB_ADDRESS) {
        parts.push(format!("{protocol}://{}", rest.trim_end_matches('/')));
    }
    // Without a scheme, it may be something else that has slashes.
    if scheme.is_some() || path.chars().all(|c| c == '/') {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = format!("{}{port}", url.host_str().unwrap_or_default());
        let around = |(before, after): &HostTemplate| Some(host.strip_prefix(before)?.strip_suffix(after)?.to_owned());
        parts.extend(hosts.iter().filter_map(around));
    }
    parts
}

/// Returns what is around a placeholder in the host of an address, if it has no other.
fn host_around(template: &str, name: &str) -> Option<HostTemplate> {
    let host = template.strip_prefix("https://")?.split(['/', '?', '#']).next()?;
    let (before, after) = host.split_once(&format!("{{{name}}}"))?;
    let is_fixed = !before.contains('{') && !after.contains('{');
    is_fixed.then(|| (before.to_lowercase(), after.to_lowercase()))
}

/// Calls `found` for each template in an expression, with its values.
fn templates<'a>(expression: &'a Value, found: &mut impl FnMut(&'a str, &'a Map<String, Value>)) {
    match expression {
        Value::Array(items) => items.iter().for_each(|item| templates(item, found)),
        Value::Object(object) => {
            let parts =
                object.get("$tpl").and_then(|it| Some((it.get("template")?.as_str()?, it.get("values")?.as_object()?)));
            if let Some((template, values)) = parts {
                found(template, values);
            }
            object.values().for_each(|value| templates(value, found));
        }
        _ => {}
    }
}

/// Whether an expression is a field of one of these variables, perhaps with a default.
fn is_field(expression: &Value, variables: &[&str], field: &str) -> bool {
    let locator = match expression.get("$firstNotEmpty").and_then(Value::as_array) {
        Some(items) => items.first().and_then(|first| first.get("$var")),
        None => expression.get("$var"),
    };
    let parts = locator.and_then(Value::as_str).and_then(|locator| locator.split_once('.'));
    parts.is_some_and(|(variable, name)| variables.contains(&variable) && name == field)
}

fn property<'a>(schema: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    schema?.get("properties")?.get(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::folder::{self, Files};

    const SPEC: &str = r#"
name: Acme
parametersSchema: { type: object, properties: { zone: { type: string, pattern: "^[a-z0-9]+$" } } }
auth:
  type: client-credentials
  inputSchema:
    type: object
    properties:
      team: { type: string, pattern: "^[A-Za-z0-9-]+$", examples: [acme] }
      pod: { type: string, pattern: "^[a-z0-9]+$", examples: [na1] }
      server: { type: string, pattern: "^[a-z0-9-]+(\\.[a-z0-9-]+)+$" }
      site: { type: string, pattern: "^https://[^?#]+[^/?#]$" }
      login: { type: string, pattern: "^https?:" }
      code: { type: string, pattern: "^[a-z]+$" }
  makeApiClient:
    mapping:
      baseUri: { $tpl: { template: "https://{team}.acme.com/api", values: { team: { $var: credentials.team } } } }
      query: { $tpl: { template: "https://api.{pod}.acme.com", values: { pod: { $firstNotEmpty: [{ $var: connectionInput.pod }, eu] } } } }
      headers: { $tpl: { template: "https://{zone}.acme.com", values: { zone: { $var: connectorParameters.zone } } } }
  test:
    implementationType: rest-api-mapping
    mapping:
      method: get
      path: "https://{server}/me"
      requestMapping: { pathParameters: { server: { $var: connectionParameters.server } } }
"#;

    fn connector() -> Connector {
        let files = Files::from_iter([("spec.yml".to_owned(), SPEC.to_owned())]);
        folder::parse("acme", &files).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn tidy(field: &str, value: &str) -> String {
        let input = Map::from_iter([(field.to_owned(), value.into())]);
        connector().options[0].tidied(input)[field].as_str().expect("a string").to_owned()
    }

    #[test]
    fn a_pasted_address_becomes_the_part_that_its_field_wants() {
        for (field, pasted, expected) in [
            ("team", " acme ", "acme"),
            ("team", "https://Acme-1.acme.com/app?tab=1%20@#top", "acme-1"),
            ("team", "acme.acme.com", "acme"),
            ("team", "HTTP://acme.acme.com:80/", "acme"),
            ("pod", "https://api.na1.acme.com", "na1"),
            ("server", "https://db.example.org/", "db.example.org"),
            ("server", "db.example.org", "db.example.org"),
            ("site", "https://shop.example.com/", "https://shop.example.com"),
            ("site", "shop.example.com/store/", "https://shop.example.com/store"),
            ("site", "https://shop.example.com:8443/", "https://shop.example.com:8443"),
        ] {
            assert_eq!(tidy(field, pasted), expected, "{field}: {pasted}");
        }
        let parameters = Map::from_iter([("zone".to_owned(), "https://z1.acme.com/".into())]);
        assert_eq!(Value::Object(connector().tidied(parameters)), json!({"zone": "z1"}));
    }

    #[test]
    fn any_other_value_stays_for_the_schema_to_reject() {
        for (field, value) in [
            ("team", "https://acme.evil.com"),
            ("team", "https://evil.com/.acme.com"),
            ("team", "https://a.b.acme.com"),
            ("team", "https://acme.acme.com:8443"),
            ("team", "https://acme.acme.com@evil.com"),
            ("team", "https://evil.com\\.acme.com"),
            ("team", "acme。acme.com"),
            ("team", "a%2eb.acme.com"),
            ("team", "acme/"),
            ("team", "acme.acme.com/app"),
            ("team", "https:///acme.acme.com"),
            ("server", "evil.example/db.example.org"),
            ("site", "http://shop.example.com/"),
            ("site", "shop"),
            ("site", "https://shop.example.com/?page=1"),
            ("login", "https://shop.example.com/"),
            ("code", "https://code.acme.com"),
        ] {
            assert_eq!(tidy(field, value), value, "{field}");
        }
    }

    #[test]
    fn a_wrong_beginning_of_a_host_is_explained() {
        let problems = |value: Value| {
            let errors = connector().options[0].check_input(value.as_object().expect("an object"));
            let errors = errors.expect("a usable schema").into_iter();
            errors.map(|error| (error.field, error.message, error.problem)).collect::<Vec<_>>()
        };
        let [(field, message, problem)] = &problems(json!({"team": "acme.com"}))[..] else { panic!("one error") };
        assert_eq!((field.as_str(), problem), ("team", &FieldProblem::BeginningOf(".acme.com".to_owned())));
        assert_eq!(message, "must be only the part before `.acme.com`, for example `acme`");
        let [(_, message, problem)] = &problems(json!({"pod": "NA 1"}))[..] else { panic!("one error") };
        assert_eq!((message.as_str(), problem), ("must match ^[a-z0-9]+$, for example `na1`", &FieldProblem::Format));
        assert_eq!(problems(json!({"code": "1"}))[0].1, "must match ^[a-z]+$");
    }
}
