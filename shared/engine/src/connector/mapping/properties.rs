//! Properties that hold for every expression.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Mapping, evaluate};

fn key() -> impl Strategy<Value = String> {
    let formulas = super::formulas::NAMES.iter().map(|name| format!("${name}"));
    let keys = "values delimiter template cases filter value default mapping from to is contains oneOf gt field operator \
        source item id a b";
    let known: Vec<String> = formulas.chain(keys.split_whitespace().map(str::to_owned)).collect();
    prop_oneof![4 => proptest::sample::select(known), 1 => any::<String>()]
}

fn scalar() -> impl Strategy<Value = Value> {
    let texts = vec![
        "$",
        "a",
        "a.b",
        "a[0]",
        r"a\.b",
        "$x",
        "a[",
        "{a}{b}",
        "is",
        "contains",
        "more_than",
        "",
        "a@b",
        "Mr. A, B",
        "1 Jan 2024 10:",
        "$map(a, $f)",
        "a[b^(c)]{d: e}",
    ];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        proptest::sample::select(texts).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

fn value(key: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 64, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn evaluation_never_panics(expression in value(key().boxed()), variables in value(key().boxed())) {
        evaluate(&expression, &variables);
        super::unknown_formulas(&expression);
        if let Ok(mapping) = Mapping::parse(expression) {
            mapping.leaving("a").evaluate(&variables);
        }
    }

    #[test]
    fn names_and_dates_never_panic(text in r#"([0-9]{1,11}|[-+:.,()"\s]|Jan|pm|T|Z|GMT|St\.|Jr|van|\PC){0,12}"#) {
        for formula in ["$firstName", "$lastName", "$extractDate", "$extractTime", "$domainFromEmail"] {
            evaluate(&json!({formula: text}), &Value::Null);
        }
    }

    #[test]
    fn jsonata_never_panics(
        text in r#"(\$[a-zA-Z]{1,14}\(|[\[\](){}.,;:?^%@#*/+<>=!~|&-]|'[^']{0,3}'|[0-9]{1,3}|[ab]| and | in |:=|function\(\$a\)\{){0,14}"#,
    ) {
        evaluate(&json!({"$jsonata": text}), &json!({"a": [1, {"b": "x"}]}));
    }

    #[test]
    fn a_value_without_formulas_is_unchanged(expression in value("[a-z]{0,3}".boxed())) {
        prop_assert_eq!(evaluate(&expression, &Value::Null), Some(expression));
    }

    #[test]
    fn plain_returns_its_argument(expression in value(key().boxed())) {
        prop_assert_eq!(evaluate(&json!({"$plain": expression}), &Value::Null), Some(expression));
    }
}
