//! Generates expressions: all formulas over a few variables, with values that JavaScript treats in odd ways.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// The variables that the expressions use.
pub(crate) fn variables() -> Value {
    json!({
        "s": "abc", "z": 0, "one": 1, "n": null, "e": "", "t": true, "f": false, "half": 0.5, "num": "10",
        "list": ["x", "y"], "numbers": [3, 1, 2], "empty": [], "none": {},
        "a": {"arr": [10, 0, null, {"x": 1}], "b": {"c": 1, "d": "abc"}},
        "users": [{"name": "ann", "tags": ["a"], "age": 30}, {"name": "bob", "tags": [], "age": "20"}],
        "name": "Dr. Ada M. Lovelace", "email": "ada@example.com", "date": "2024-02-29T23:59:58.9+02:00",
        "braces": "{y}$&", "credentials": {"access_token": "T"},
    })
}

const LOCATORS: [&str; 34] = [
    "s",
    "z",
    "one",
    "n",
    "e",
    "t",
    "f",
    "half",
    "num",
    "list",
    "numbers",
    "empty",
    "none",
    "a",
    "a.b.c",
    "$.a.b.d",
    "a.arr",
    "a.arr[0]",
    "a.arr[1]",
    "a.arr[3].x",
    "a.arr.0",
    "a.arr.length",
    "users",
    "users[1].name",
    "name",
    "email",
    "date",
    "missing",
    "s.length",
    "item",
    "index",
    "parent.s",
    "item.name",
    "",
];

const ODD_LOCATORS: [&str; 9] = ["$", "a[", "a[-1]", "$a.b", "a..b", r"a\.b", "users.name", "list[9]", "braces"];

const STRINGS: [&str; 16] =
    ["", " ", "a", "abc", "ABC", "0", "1", "10", "-2.5e1", "0x10", "null", "true", "x", "10 apples", "\u{a0}7", "é"];

const DATES: [&str; 28] = [
    "2024",
    "2024-02",
    "2024-02-31",
    "2024-1-2",
    "2024-01-02T10:11",
    "2024-01-02T10:11:12.3456Z",
    "2024-01-02T24:00",
    "2024-01-02T10:11:12+0530",
    "2024-01-02T10",
    "2024-01-02 10:11:12.5",
    "Jan 2, 2024",
    "2 January 2024 10:11 PM EST",
    "Tue, 02 Jan 2024 10:11:12 +0200",
    "Mon Jan 01 2024 00:00:00 GMT+0100 (CET)",
    "2024/01/02",
    "01/02/24",
    "13/02/2024",
    "12:34:56.789 1 Jan 1970",
    "10:11",
    "soon",
    "sept 5 99",
    "5th May 2024",
    "1700000000",
    "2024.01.02",
    "1/2",
    "-1",
    "2024-01-02T10:11:12 PST",
    "12 am 1 2 2020 12:30 am",
];

const WORDS: [&str; 30] = [
    "Ada",
    "Lovelace",
    "van",
    "der",
    "de",
    "la",
    "St.",
    "Dr.",
    "dr",
    "Mrs",
    "Mr.",
    "Jr.",
    "III",
    "PhD,",
    ",",
    "Doe,",
    "\"Bon Jovi\"",
    "\"",
    "O'Neil",
    "Smith-Jones",
    "Smith,John",
    "bin",
    "Sr",
    "  ",
    "é",
    "MD",
    "i",
    "de.",
    "Y.",
    "a,b,c",
];

const JSONATA: [&str; 48] = [
    "s",
    "$.s",
    "a.b",
    "a.arr",
    "a.arr[0]",
    "a.arr[-1].x",
    "users.name",
    "users[age > 25].name",
    "users[name='bob']",
    "users.tags",
    "users[0].tags",
    "users.{name: age}",
    "users{name: age}",
    "$sum(numbers)",
    "$max(numbers)",
    "$sort(numbers)",
    "numbers^(>$)",
    "users^(name).name",
    "$map(numbers, function($v, $i){$v * $i})",
    "$filter(numbers, function($v){$v > 1})",
    "$reduce(numbers, function($a, $b){$a + $b})",
    "$merge([a.b, {'z': z}])",
    "$keys(a)",
    "$lookup(a, 'b')",
    "$spread(a.b)",
    "$base64encode(s)",
    "$base64decode('YTpi')",
    "$uppercase(s)",
    "$substring(s, 1)",
    "$substringBefore(email, '@')",
    "$split(email, /[@.]/)",
    "$join(list, '-')",
    "$string(a)",
    "$number(num) + 1",
    "$replace(s, /b/, 'X')",
    "$match(s, /b/).match",
    "$contains(s, 'b')",
    "$boolean(e)",
    "$not(t)",
    "$exists(missing)",
    "z = 0 and t",
    "n",
    "missing",
    "s & z & n",
    "$toMillis('2024-01-02')",
    "$fromMillis(0)",
    "t ? 'yes' : 'no'",
    "1 + s",
];

/// Generates an expression, one in ten with copies.
pub(crate) fn expression() -> impl Strategy<Value = Value> {
    let plain = nested(scalar().boxed());
    let copies = (vec((plain.clone(), prop::option::weighted(0.4, copy())), 2..5)).prop_map(|parts| {
        let mut object = Map::new();
        for (name, (value, copy)) in ["a", "b", "c", "d"].into_iter().zip(parts) {
            object.insert(name.to_owned(), copy.map_or(value, |copy| json!({"inner": copy, "own": 1})));
        }
        Value::Object(object)
    });
    prop_oneof![9 => plain, 1 => copies]
}

fn copy() -> impl Strategy<Value = Value> {
    let locators = vec!["a", "$.b", "c.inner", "d.own", "missing", "b[0]", "a.own", "["];
    select(locators).prop_map(|locator| json!({"$copy": locator}))
}

fn scalar() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        (-3_i64..100).prop_map(Value::from),
        (-1e6..1e6).prop_map(Value::from),
        select(vec![1e21, 1e-7, 0.1, 5e-324, 123_456_789_012_345_680.0, 1e300]).prop_map(Value::from),
    ];
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        2 => number,
        3 => select(&STRINGS[..]).prop_map(Value::from),
        1 => Just(json!({})),
        1 => Just(json!([])),
        1 => single("$plain", select(vec![json!({"$var": "s"}), json!([{"a": null}])]).boxed()),
        1 => single("$record", select(vec![json!({"id": "r1"}), json!({"id": null}), json!({"id": {"$var": "s"}})]).boxed()),
        8 => locator().prop_map(|locator| json!({"$var": locator})),
        2 => select(&JSONATA[..]).prop_map(|expression| json!({"$jsonata": expression})),
        2 => (select(vec!["$extractDate", "$extractTime"]), select(&DATES[..])).prop_map(|(name, date)| json!({name: date})),
        2 => (select(vec!["$firstName", "$lastName"]), name()).prop_map(|(formula, name)| json!({formula: name})),
        1 => select(vec!["a@b.c", "a@b@c", "ab", "@", "a@"]).prop_map(|email| json!({"$domainFromEmail": email})),
    ]
}

fn locator() -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => select(&LOCATORS[..]), 1 => select(&ODD_LOCATORS[..])]
}

fn name() -> impl Strategy<Value = String> {
    vec(select(&WORDS[..]), 0..5).prop_map(|words| words.join(" "))
}

fn single(name: &'static str, argument: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    argument.prop_map(move |argument| json!({name: argument})).boxed()
}

fn nested(leaf: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    leaf.prop_recursive(4, 40, 4, |inner| {
        let inner = inner.boxed();
        let list = vec(inner.clone(), 0..4).prop_map(Value::from).boxed();
        // Passes values that could not be written there literally.
        let computed = inner.clone().prop_map(|value| json!({"$firstNotEmpty": [value]})).boxed();
        let variadic = vec!["$concat", "$and", "$or", "$mergeObjects", "$firstNotEmpty"];
        let unary = vec![
            "$firstName", "$lastName", "$extractDate", "$extractTime", "$domainFromEmail", "$lookup", "$findAppRecordId",
            "$findExternalRecordId", "$dataSchemaRef", "$unknown",
        ];
        prop_oneof![
            2 => object(inner.clone()),
            1 => list.clone(),
            4 => (select(variadic), list.clone()).prop_map(|(name, list)| json!({name: list})),
            2 => (select(unary), computed).prop_map(|(name, value)| json!({name: value})),
            1 => (list.clone(), inner.clone()).prop_map(|(values, delimiter)| json!({"$concat": {"values": values, "delimiter": delimiter}})),
            1 => (inner.clone(), inner.clone()).prop_map(|(x, y)| json!({"$tpl": {"template": "{x}/{x}-{y}{z}", "values": {"x": x, "y": y}}})),
            2 => case(inner.clone()),
            2 => map(inner.clone()),
            3 => eval(inner.clone()),
            2 => (inner.clone(), inner.clone()).prop_map(|(source, item)| json!({"$iterate": {"source": source, "item": item}})),
            1 => (select(vec!["users", "list", "numbers"]), inner.clone()).prop_map(|(source, item)| json!({"$iterate": {"source": {"$var": source}, "item": item}})),
            1 => single("$formula", object(inner)),
        ]
    })
    .boxed()
}

fn object(value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let keys = vec!["a", "b", "c", "own", "x y", "id"];
    let entries = vec((select(keys).prop_map(str::to_owned), value), 0..4);
    entries.prop_map(|entries| Value::Object(entries.into_iter().collect())).boxed()
}

fn case(value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let operators = vec![
        "is",
        "is_not",
        "is_one_of",
        "is_not_one_of",
        "is_true",
        "is_false",
        "contains",
        "does_not_contain",
        "array_includes",
        "array_does_not_include",
        "less_than",
        "less_than_or_equal",
        "more_than",
        "more_than_or_equal",
        "is_empty",
        "is_not_empty",
        "is_prime",
    ];
    let operand = prop_oneof![
        select(&STRINGS[..]).prop_map(Value::from),
        (0_i64..12).prop_map(Value::from),
        select(vec![json!(["abc", 1, "x"]), json!(null), json!(true), json!(["a", 10])]),
    ];
    let condition = (locator(), select(operators), operand)
        .prop_map(|(field, operator, value)| json!({"field": field, "operator": operator, "value": value}));
    let filter =
        prop_oneof![2 => vec(condition, 0..3).prop_map(Value::from), 3 => eval(value.clone()), 1 => value.clone()];
    let case = (prop::option::weighted(0.9, filter), value.clone()).prop_map(|(filter, value)| match filter {
        Some(filter) => json!({"filter": filter, "value": value}),
        None => json!({"value": value}),
    });
    let cases = vec(case, 0..3);
    (cases, prop::option::of(value))
        .prop_map(|(cases, default)| match default {
            Some(default) => json!({"$case": {"cases": cases, "default": default}}),
            None => json!({"$case": cases}),
        })
        .boxed()
}

fn map(value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let item = (value.clone(), value.clone()).prop_map(|(from, to)| json!({"from": from, "to": to}));
    (value.clone(), vec(item, 0..3), prop::option::of(value))
        .prop_map(|(value, mapping, default)| match default {
            Some(default) => json!({"$map": {"value": value, "mapping": mapping, "default": default}}),
            None => json!({"$map": {"value": value, "mapping": mapping}}),
        })
        .boxed()
}

fn eval(value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let operators = vec![
        "is",
        "isNot",
        "isEmpty",
        "isNotEmpty",
        "contains",
        "doesNotContain",
        "oneOf",
        "noneOf",
        "gt",
        "gte",
        "lt",
        "lte",
        "isPrime",
    ];
    (value.clone(), select(operators), value)
        .prop_map(|(value, operator, operand)| json!({"$eval": value, operator: operand}))
        .boxed()
}
