//! Compares `import axios from "axios"` and `import jwt from "jsonwebtoken"` in a connector with the real libraries under Node.
//!
//! Both sides run the calls of `tests/servers/axios-calls.mjs` and `jwt-calls.mjs` against the same server. The requests and
//! the outcome of each call must be equal, except for the differences listed here with their reasons. The comparison ignores
//! `User-Agent` (Larder sends its own), `Accept-Encoding` (Larder doesn't request compression) and connection headers such as
//! `Host`.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use larder::random::SystemRng;
use larder_engine::connector::Files;
use larder_engine::connector::script::Script;
use larder_engine::egress::{AddressPolicy, Egress};
use larder_engine::javascript::{JavaScript, Limits, ScriptCall};
use larder_tests::Server;
use serde_json::{Map, Value, json};

/// The calls with a different outcome, and why.
const DIFFERENT: [(&str, &str); 7] = [
    ("answer 201", "the HTTP client hides the server's reason phrase: `statusText` is the standard one"),
    ("data Uint8Array", "ours sends the bytes of the view; the real one mistakenly sends the whole underlying buffer"),
    ("responseType blob", "ours returns a `Blob`, as in a browser; the real one returns a string under Node"),
    ("connection refused", UNREACHABLE),
    ("connection closed", UNREACHABLE),
    ("connection closed in the body", UNREACHABLE),
    ("host unknown", UNREACHABLE),
];

const UNREACHABLE: &str = "the code is ERR_NETWORK, as in a browser, and the message comes from Larder's HTTP client";

/// The connector's own script: functions that run the calls.
const CONNECTOR: &str = r#"
import axios from "axios";
import jwt from "jsonwebtoken";
import * as axiosCalls from "./axios-calls.mjs";
import * as jwtCalls from "./jwt-calls.mjs";

export const axiosNames = () => Object.keys(axiosCalls.calls);
export const axiosCall = ({ base, name }) => axiosCalls.run(axios, base, name);
export const jwtCall = async ({ fixtures, name }) => {
  const outcome = await jwtCalls.run(jwt, fixtures, name);
  return { outcome, comparable: jwtCalls.comparable(outcome) };
};
export const comparable = ({ outcome }) => jwtCalls.comparable(outcome);
"#;

/// A connector that ships the real axios.
const WITH_ITS_OWN_AXIOS: &str = r#"
import axios from "./AXIOS";
import { run } from "./axios-calls.mjs";

export const axiosCall = ({ base, name }) => run(axios, base, name);
"#;

struct JsConnector {
    engine: JavaScript,
    files: Arc<Files>,
}

impl JsConnector {
    fn new(main: &str, more: &[(&str, String)]) -> Self {
        let calls = |name: &str| (name.to_owned(), read(&format!("{}/servers/{name}", env!("CARGO_MANIFEST_DIR"))));
        let mut files = Files::from_iter([
            calls("axios-calls.mjs"),
            calls("jwt-calls.mjs"),
            ("main.js".to_owned(), main.to_owned()),
        ]);
        files.extend(more.iter().map(|(name, code)| ((*name).to_owned(), code.clone())));
        let egress = Egress::new(AddressPolicy::PublicAndLoopback).expect("a client");
        Self { engine: JavaScript::new(egress, Arc::new(SystemRng), Limits::default()), files: Arc::new(files) }
    }

    async fn call(&self, function: &str, arguments: Value) -> Value {
        let script = Script::new(Arc::clone(&self.files), "main.js", function);
        let arguments: Map<String, Value> = serde_json::from_value(arguments).expect("an object");
        let returned = self
            .engine
            .call(ScriptCall { script: &script, arguments, client: None, exchange: larder_engine::egress::Limits::API })
            .await;
        returned.unwrap_or_else(|failure| panic!("{function}: {failure:?}")).value.unwrap_or(Value::Null)
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The real library's outcome of each call, by the call's name.
async fn expected(server: &Server, which: &str) -> BTreeMap<String, Value> {
    serde_json::from_value(server.ask(which).await).expect("outcomes by name")
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn our_axios_behaves_like_the_real_one() {
    let server = Server::axios().await;
    let connector = JsConnector::new(CONNECTOR, &[]);
    let expected = expected(&server, "axios").await;
    assert!(expected.len() >= 180, "{} calls", expected.len());
    let mut different = BTreeMap::new();
    for (name, real) in &expected {
        let ours = connector.call("axiosCall", json!({"base": server.uri(""), "name": name})).await;
        if ours != *real {
            different.insert(name.as_str(), format!("\n  real {real}\n  ours {ours}"));
        }
    }
    for (name, why) in DIFFERENT {
        assert!(different.remove(name).is_some(), "`{name}` no longer differs ({why})");
    }
    assert!(
        different.is_empty(),
        "{}",
        different.iter().map(|(name, how)| format!("{name}:{how}\n")).collect::<String>()
    );
}

/// Calls that behave the same whether the real axios uses `fetch`, as in browsers, or Node's sockets.
const SAME_OVER_FETCH: [&str; 12] = [
    "get",
    "post",
    "params nested",
    "headers",
    "auth",
    "data URLSearchParams",
    "data object as a form",
    "answer JSON",
    "error 400",
    "timeout",
    "request interceptors",
    "a response interceptor that heals",
];

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_real_axios_works_from_a_connectors_folder() {
    let server = Server::axios().await;
    let expected = expected(&server, "axios").await;
    for (file, built) in [("axios.cjs", "browser/axios.cjs"), ("axios.js", "esm/axios.js")] {
        let axios = read(&Server::folder().join("node_modules/axios/dist").join(built).to_string_lossy());
        let connector = JsConnector::new(&WITH_ITS_OWN_AXIOS.replace("AXIOS", file), &[(file, axios)]);
        for name in SAME_OVER_FETCH {
            let found = connector.call("axiosCall", json!({"base": server.uri(""), "name": name})).await;
            let real = &expected[name];
            assert_eq!(found["requests"], real["requests"], "{built}: {name}");
            for part in ["/result/data", "/result/status", "/error/message", "/error/response/data"] {
                assert_eq!(found.pointer(part), real.pointer(part), "{built}: {name}: {part}");
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn our_jsonwebtoken_signs_and_verifies_like_the_real_one() {
    let server = Server::axios().await;
    let connector = JsConnector::new(CONNECTOR, &[]);
    let answer = server.ask("jwt").await;
    let expected = answer["outcomes"].as_object().expect("outcomes by name");
    assert!(expected.len() >= 80, "{} calls", expected.len());
    for (name, real) in expected {
        let ours = connector.call("jwtCall", json!({"fixtures": answer["fixtures"], "name": name})).await;
        assert_eq!(ours["comparable"], connector.call("comparable", json!({"outcome": real})).await, "{name}");
        // Some signatures differ each time, so the real library verifies them instead.
        if ours["outcome"]["result"]["isRandom"] == true {
            server.tell("verify", &json!({"token": ours["outcome"]["result"]["token"]})).await;
        }
    }
}
