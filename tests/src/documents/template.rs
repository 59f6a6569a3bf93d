//! The deployment template, `infra/template.yaml`, as data.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use super::document::root;

/// The template. Tags like `!Sub` and `!GetAtt` are ignored.
#[derive(Debug)]
pub struct Template(Value);

/// A permission in a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allowed {
    /// The function or service that has the role.
    pub who: String,
    /// The action, for example `dynamodb:GetItem`.
    pub action: String,
    /// The end of the ARN without the stack's name, or the name of a resource in the template.
    pub resource: String,
    /// The condition, for example `RefreshScheduler=eventbridge`; empty if there is none.
    pub only_if: String,
}

impl Template {
    /// Reads the template.
    ///
    /// # Panics
    /// If it is not valid YAML.
    pub fn read() -> Self {
        let text = fs::read_to_string(root().join("infra/template.yaml")).expect("the template");
        Self(serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}")))
    }

    /// A top-level section, for example `Globals`.
    pub fn section(&self, name: &str) -> &Value {
        &self.0[name]
    }

    /// The properties of a resource.
    pub fn properties(&self, name: &str) -> &Value {
        &self.0["Resources"][name]["Properties"]
    }

    /// The resources of a type, by name.
    pub fn resources(&self, kind: &str) -> BTreeMap<&str, &Value> {
        let resources = self.0["Resources"].as_object().expect("resources");
        let of_kind = resources.iter().filter(|(_, resource)| resource["Type"] == kind);
        of_kind.map(|(name, resource)| (name.as_str(), resource)).collect()
    }

    /// The resource names of the functions, by the names of their binaries.
    pub fn functions(&self) -> BTreeMap<&str, &str> {
        let functions = self.resources("AWS::Serverless::Function").into_iter();
        functions.map(|(name, it)| (text(&it["Metadata"]["BuildProperties"]["Binary"]), name)).collect()
    }

    /// A property of a function, either its own or the global one.
    pub fn of_function(&self, name: &str, property: &str) -> &Value {
        let own = &self.properties(name)[property];
        if own.is_null() { &self.0["Globals"]["Function"][property] } else { own }
    }

    /// All permissions in all roles.
    pub fn allowed(&self) -> BTreeSet<Allowed> {
        let mut allowed = BTreeSet::new();
        for role in self.resources("AWS::IAM::Role").into_values() {
            for policy in list(&role["Properties"]["Policies"]) {
                let who = text(&policy["PolicyName"]);
                for statement in list(&policy["PolicyDocument"]["Statement"]) {
                    let (only_if, statement) = self.statement(statement);
                    assert_eq!(statement["Effect"], "Allow", "{who}: {statement}");
                    for action in one_or_many(&statement["Action"]) {
                        for resource in one_or_many(&statement["Resource"]) {
                            let (who, action, resource) = (who.to_owned(), action.to_owned(), short(resource));
                            allowed.insert(Allowed { who, action, resource, only_if: only_if.clone() });
                        }
                    }
                }
            }
        }
        allowed
    }

    /// Splits a statement from the parameter that it depends on.
    fn statement<'a>(&self, statement: &'a Value) -> (String, &'a Value) {
        let Some([condition, statement, _nothing]) = statement["Fn::If"].as_array().map(Vec::as_slice) else {
            return (String::new(), statement);
        };
        match list(&self.0["Conditions"][text(condition)]) {
            [parameter, value] => (format!("{}={}", text(parameter), text(value)), statement),
            [not] => (format!("{}≠{}", text(&not[0]), text(&not[1])), statement),
            other => panic!("{condition} is not !Equals [!Ref PARAMETER, VALUE], nor !Not of it: {other:?}"),
        }
    }
}

/// Reads a string.
///
/// # Panics
/// If the value has another type.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}

/// Reads a list.
///
/// # Panics
/// If the value has another type.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

fn one_or_many(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        one => vec![text(one)],
    }
}

/// Shortens `arn:…:table/${AWS::StackName}-sessions` to `table/sessions`, and `Key.Arn` to `Key`.
fn short(resource: &str) -> String {
    let end = resource.split_once("${AWS::AccountId}:").map_or(resource, |(_, end)| end);
    let end = end.strip_suffix(".Arn").unwrap_or(end);
    ["${AWS::StackName}-", "${AWS::StackName}/", "${TablesSuffix}"]
        .iter()
        .fold(end.to_owned(), |it, name| it.replace(name, ""))
}
