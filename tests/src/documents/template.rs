//! The deployment template, `infra/template.yaml`, as data.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use super::document::root;

/// The template. What has a tag, such as `!Sub` or `!GetAtt`, is read as if it had none.
#[derive(Debug)]
pub struct Template(Value);

/// One thing that a role allows: whose role it is, the action, the resource, and the parameter that it depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allowed {
    /// The function, or whoever else has the role.
    pub who: String,
    /// `dynamodb:GetItem`, for instance.
    pub action: String,
    /// The end of the ARN without the name of the stack, or the name of a resource of the template.
    pub resource: String,
    /// `RefreshScheduler=eventbridge`, for instance; empty if it is always allowed.
    pub only_if: String,
}

impl Template {
    /// Reads the template.
    ///
    /// # Panics
    /// If it is not YAML.
    pub fn read() -> Self {
        let text = fs::read_to_string(root().join("infra/template.yaml")).expect("the template");
        Self(serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}")))
    }

    /// A section, such as `Globals`.
    pub fn section(&self, name: &str) -> &Value {
        &self.0[name]
    }

    /// The properties of a resource.
    pub fn properties(&self, name: &str) -> &Value {
        &self.0["Resources"][name]["Properties"]
    }

    /// The resources of a type, by their names.
    pub fn resources(&self, kind: &str) -> BTreeMap<&str, &Value> {
        let resources = self.0["Resources"].as_object().expect("resources");
        let of_kind = resources.iter().filter(|(_, resource)| resource["Type"] == kind);
        of_kind.map(|(name, resource)| (name.as_str(), resource)).collect()
    }

    /// The functions: the names of their resources, by the names of their binaries.
    pub fn functions(&self) -> BTreeMap<&str, &str> {
        let functions = self.resources("AWS::Serverless::Function").into_iter();
        functions.map(|(name, it)| (text(&it["Metadata"]["BuildProperties"]["Binary"]), name)).collect()
    }

    /// A property of a function, its own or that of all.
    pub fn of_function(&self, name: &str, property: &str) -> &Value {
        let own = &self.properties(name)[property];
        if own.is_null() { &self.0["Globals"]["Function"][property] } else { own }
    }

    /// Everything that roles allow.
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

    /// A statement, and the parameter that it depends on.
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

/// A text of the template.
///
/// # Panics
/// If it is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

/// A list of the template.
///
/// # Panics
/// If it is none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

fn one_or_many(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        one => vec![text(one)],
    }
}

/// `arn:…:table/${AWS::StackName}-sessions` is `table/sessions`, `Key.Arn` is `Key`.
fn short(resource: &str) -> String {
    let end = resource.split_once("${AWS::AccountId}:").map_or(resource, |(_, end)| end);
    let end = end.strip_suffix(".Arn").unwrap_or(end);
    ["${AWS::StackName}-", "${AWS::StackName}/", "${TablesSuffix}"]
        .iter()
        .fold(end.to_owned(), |it, name| it.replace(name, ""))
}
