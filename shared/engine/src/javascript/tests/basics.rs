//! Results, errors and logs.

use super::*;

#[tokio::test]
async fn a_function_gets_arguments_and_returns_a_result() {
    let script = script("export default async function ({ a }) { console.log('hi', { a }); return { b: a + 1 } }");
    let returned = call(&script, json!({"a": 1})).await.unwrap();
    assert_eq!(returned.value, Some(json!({"b": 2})));
    assert_eq!(returned.logs, [LogLine { level: "log".to_owned(), text: "hi {a: 1}".to_owned() }]);
}

#[tokio::test]
async fn results_are_converted_by_json_stringify() {
    for (expression, expected) in [
        ("undefined", None),
        ("null", Some(json!(null))),
        ("new Date(0)", Some(json!("1970-01-01T00:00:00.000Z"))),
        ("[undefined, () => 1, NaN]", Some(json!([null, null, null]))),
        ("({ a: undefined, b: new Map(), c: 1.5, d: 'ü\\u0000' })", Some(json!({"b": {}, "c": 1.5, "d": "ü\0"}))),
        ("({ toJSON: () => 7 })", Some(json!(7))),
        ("Promise.resolve(true)", Some(json!(true))),
        ("({ then: (resolve) => resolve(3) })", Some(json!(3))),
    ] {
        assert_eq!(value(&format!("export default () => ({expression})")).await, expected, "{expression}");
    }
}

#[tokio::test]
async fn results_that_are_not_json_are_rejected() {
    for (expression, expected) in [
        ("() => 1", "function"),
        ("Symbol()", "symbol"),
        ("10n", "BigInt"),
        ("(() => { const a = {}; a.a = a; return a })()", "circular"),
    ] {
        let error = error(&format!("export default () => ({expression})")).await;
        assert!(matches!(&error, JavaScriptError::Result { message } if message.contains(expected)), "{error:?}");
    }
}

#[tokio::test]
async fn errors_have_the_location_in_the_connectors_file() {
    let error = error("\nexport default async function () {\n  null.x\n}").await;
    let JavaScriptError::Thrown(thrown) = &error else { panic!("{error:?}") };
    assert_eq!((thrown.name.as_deref(), thrown.at.as_deref()), (Some("TypeError"), Some("auth/test.js:3:3")));
    assert!(error.to_string().starts_with("auth/test.js:3:3: "), "{error}");
}

#[tokio::test]
async fn the_location_is_right_in_helpers_commonjs_and_after_an_await() {
    let helper = "exports.fail = async () => { await null; throw new RangeError('no') }";
    let script = folder(&[
        ("auth/test.js", "import { fail } from '../lib/helper'\nexport default async () => { await fail() }"),
        ("lib/helper.js", helper),
    ]);
    let error = call(&script, json!({})).await.unwrap_err().error;
    let JavaScriptError::Thrown(thrown) = &error else { panic!("{error:?}") };
    assert_eq!((thrown.message.as_str(), thrown.at.as_deref()), ("no", Some("lib/helper.js:1:52")));
}

#[tokio::test]
async fn all_thrown_values_are_reported() {
    for (thrown, message) in
        [("'text'", "text"), ("7", "7"), ("{ code: 1 }", "{\"code\":1}"), ("undefined", "undefined")]
    {
        let error = error(&format!("export default () => {{ throw {thrown} }}")).await;
        assert!(matches!(&error, JavaScriptError::Thrown(it) if it.message == message), "{error:?}");
    }
    let error = error(
        "export default () => { throw Object.assign(new Error('m'), { type: 'connection', key: 'k', data: { a: 1 } }) }",
    );
    let JavaScriptError::Thrown(thrown) = error.await else { panic!() };
    assert_eq!(type_and_key(&thrown), (Some("connection"), Some("k")));
}

#[tokio::test]
async fn credentials_never_appear_in_messages_or_logs() {
    let script = script(
        "export default ({ credentials, connectorParameters }) => {
           console.error(credentials)
           throw Object.assign(new Error('bad ' + credentials.token), { data: connectorParameters })
         }",
    );
    let arguments = json!({"credentials": {"token": "hunter2"}, "connectorParameters": {"clientSecret": "s3cret!"}});
    let failure = call(&script, arguments).await.unwrap_err();
    let all = format!("{failure:?} {failure}");
    assert!(all.contains("bad …") && !all.contains("hunter2") && !all.contains("s3cret"), "{all}");
}

#[tokio::test]
async fn timers_run_in_order_and_can_be_cleared() {
    let text = "export default async () => {
        const seen = []
        setTimeout((what) => seen.push(what), 10, 'late')
        setTimeout(() => seen.push('soon'), 1)
        clearTimeout(setTimeout(() => seen.push('never'), 2))
        let times = 0
        await new Promise((resolve) => { const id = setInterval(() => { if (++times === 3) { clearInterval(id); resolve() } }, 1) })
        await new Promise((resolve) => setTimeout(resolve, 20))
        return [seen, times]
    }";
    assert_eq!(value(text).await, Some(json!([["soon", "late"], 3])));
}

#[tokio::test]
async fn nothing_carries_over_from_one_call_to_the_next() {
    let first = "globalThis.leak = 1; Array.prototype.leak = 1; Object.freeze(Promise); export default () => 1";
    let second = "export default () => [typeof leak, typeof [].leak, Object.isFrozen(Promise)]";
    let engine = engine(Limits::default());
    for (text, expected) in [(first, json!(1)), (second, json!(["undefined", "undefined", false]))] {
        let returned = engine
            .call(ScriptCall { script: &script(text), arguments: Map::new(), client: None, exchange: Exchange::API })
            .await
            .unwrap();
        assert_eq!(returned.value, Some(expected));
    }
}

#[tokio::test]
async fn concurrent_calls_do_not_affect_each_other() {
    let script = script(
        "let own; export default async ({ n }) => { own = n; await new Promise((r) => setTimeout(r, 5)); return own }",
    );
    let calls = (0..20).map(|n| call(&script, json!({"n": n})));
    let values: Vec<_> = futures::future::join_all(calls).await.into_iter().map(|done| done.unwrap().value).collect();
    assert_eq!(values, (0..20).map(|n| Some(json!(n))).collect::<Vec<_>>());
}
