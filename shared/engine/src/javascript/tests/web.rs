//! The web's and Node's APIs, compared with Node's results for the same expressions in web.json.

use super::*;

fn web() -> Value {
    serde_json::from_str(include_str!("web.json")).unwrap()
}

/// Returns web.js with a group's expressions.
fn text(keys: &Value, group: &Map<String, Value>) -> String {
    let runs: Vec<String> = group.keys().map(|expression| format!("async () => ({expression}\n)")).collect();
    include_str!("web.js").replace("/* RUNS */", &runs.join(",\n")).replace("\"KEYS\"", &keys.to_string())
}

#[tokio::test]
async fn expressions_have_the_same_results_as_in_node() {
    let web = web();
    let mut differences = String::new();
    for (name, group) in web["groups"].as_object().unwrap() {
        let group = group.as_object().unwrap();
        let answers = match call(&script(&text(&web["keys"], group)), json!({})).await {
            Ok(returned) => returned.value.unwrap(),
            Err(failure) => panic!("{name}: {failure:?}"),
        };
        for ((expression, expected), answer) in group.iter().zip(answers.as_array().unwrap()) {
            if expected != answer {
                differences += &format!("{name}: {expression}\n  node: {expected}\n  ours: {answer}\n");
            }
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

/// Records all values that pass through the functions that a script can replace.
const SPY: &str = r#"
const seen = new Set();
const note = (...values) => values.flat().forEach((value) => typeof value === "function" && seen.add(value));
for (const [owner, name] of [
  [Function.prototype, "call"], [Function.prototype, "apply"], [Function.prototype, "bind"], [Reflect, "apply"],
  [Promise.prototype, "then"], [Array.prototype, "map"], [Array.prototype, "filter"], [Uint8Array.prototype, "toBase64"],
  [Object, "defineProperty"], [Object, "assign"], [Object, "keys"], [String.prototype, "toWellFormed"],
]) {
  const original = owner[name];
  owner[name] = function (...values) {
    note(this, values);
    return new.target ? new original(...values) : run(original, this, values);
  };
}
"#;

#[tokio::test]
async fn replaced_prototypes_never_see_a_native_host_function() {
    let text = format!(
        r#"
        const {{ apply: run }} = Reflect;
        const isNative = (value) => /\[native code\]/.test(text(value));
        const source = Function.prototype.toString;
        const text = (value) => run(source, value, []);
        const known = new Set();
        for (const name of Object.getOwnPropertyNames(globalThis)) {{
          for (const owner of [globalThis[name], globalThis[name]?.prototype]) {{
            if (owner === null || owner === undefined) continue;
            for (const {{ value, get, set }} of Object.values(Object.getOwnPropertyDescriptors(Object(owner)))) {{
              for (const one of [value, get, set]) known.add(one);
            }}
            known.add(owner);
          }}
        }}
        {SPY}
        export default async function () {{
          new URL("https://a.example/?a=b").searchParams.append("c", "d");
          new TextDecoder().decode(new TextEncoder().encode("x"));
          Buffer.from("abc").toString("hex");
          await crypto.subtle.digest("SHA-256", new Uint8Array(3));
          crypto.randomUUID();
          await fetch("http://127.0.0.1:1/").catch(() => {{}});
          structuredClone(new Map([[1, 2]]));
          setTimeout(() => {{}}, 1);
          return {{ seen: seen.size, leaked: [...seen].filter((one) => isNative(one) && !known.has(one) && one.name).map((one) => one.name) }};
        }}"#
    );
    let answer = value(&text).await.unwrap();
    assert!(answer["seen"].as_u64().unwrap() > 0, "{answer}");
    assert_eq!(answer["leaked"], json!([]));
}

#[tokio::test]
async fn unsupported_web_crypto_errors_list_the_alternatives() {
    let text = "export default () => crypto.subtle.encrypt({ name: 'AES-GCM' }, {}, new Uint8Array())";
    let error = error(text).await.to_string();
    assert!(error.contains("NotSupportedError") || error.contains("is not supported; use digest"), "{error}");
}
