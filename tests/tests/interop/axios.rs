//! `import axios from "axios"` and `import jwt from "jsonwebtoken"` in a connector, beside the real ones under Node.
//!
//! Both sides run the same calls, of `tests/servers/axios-calls.mjs` and `jwt-calls.mjs`, against the same server. What the
//! server was sent and what came of each call must be the same, but for what is listed here with its reason. Left aside for
//! all calls are `User-Agent` (Larder names itself), `Accept-Encoding` (Larder asks for no compression), and headers of the
//! connection, such as `Host`.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use larder::random::SystemRng;
use larder_engine::connector::Files;
use larder_engine::connector::script::Script;
use larder_engine::egress::{Egress, Reach};
use larder_engine::javascript::{Call, JavaScript, Limits};
use larder_tests::Server;
use serde_json::{Map, Value, json};

/// The calls that come out otherwise, and why.
const DIFFERENT: [(&str, &str); 7] = [
    ("answer 201", "the HTTP client does not tell a server's own reason phrase: `statusText` is the usual one"),
    ("data Uint8Array", "the bytes of the view are sent; the real one sends the whole buffer below it, a mistake"),
    ("responseType blob", "there is a `Blob`, as in a browser; the real one gives text under Node"),
    ("connection refused", UNREACHABLE),
    ("connection closed", UNREACHABLE),
    ("connection closed in the body", UNREACHABLE),
    ("host unknown", UNREACHABLE),
];

const UNREACHABLE: &str = "the code is ERR_NETWORK, as in a browser, and the message is that of Larder's HTTP client";

/// What a connector's folder has besides the calls: the functions that run them.
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

/// A connector that brings the real axios along.
const WITH_ITS_OWN_AXIOS: &str = r#"
import axios from "./AXIOS";
import { run } from "./axios-calls.mjs";

export const axiosCall = ({ base, name }) => run(axios, base, name);
"#;

struct Connector {
    engine: JavaScript,
    files: Arc<Files>,
}

impl Connector {
    fn new(main: &str, more: &[(&str, String)]) -> Self {
        let calls = |name: &str| (name.to_owned(), read(&format!("{}/servers/{name}", env!("CARGO_MANIFEST_DIR"))));
        let mut files = Files::from_iter([
            calls("axios-calls.mjs"),
            calls("jwt-calls.mjs"),
            ("main.js".to_owned(), main.to_owned()),
        ]);
        files.extend(more.iter().map(|(name, text)| ((*name).to_owned(), text.clone())));
        let egress = Egress::new(Reach::PublicAndLoopback).expect("a client");
        Self { engine: JavaScript::new(egress, Arc::new(SystemRng), Limits::default()), files: Arc::new(files) }
    }

    async fn call(&self, function: &str, arguments: Value) -> Value {
        let script = Script::new(Arc::clone(&self.files), "main.js", function);
        let arguments: Map<String, Value> = serde_json::from_value(arguments).expect("an object");
        let returned = self
            .engine
            .call(Call { script: &script, arguments, client: None, exchange: larder_engine::egress::Limits::API })
            .await;
        returned.unwrap_or_else(|failure| panic!("{function}: {failure:?}")).value.unwrap_or(Value::Null)
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What the real one makes of each call, by name.
async fn expected(server: &Server, which: &str) -> BTreeMap<String, Value> {
    serde_json::from_value(server.get_control(which).await).expect("outcomes by name")
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn our_axios_sends_and_returns_what_the_real_one_does() {
    let server = Server::axios().await;
    let connector = Connector::new(CONNECTOR, &[]);
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
        assert!(different.remove(name).is_some(), "`{name}` does not differ any more ({why})");
    }
    assert!(
        different.is_empty(),
        "{}",
        different.iter().map(|(name, how)| format!("{name}:{how}\n")).collect::<String>()
    );
}

/// Calls that the real axios makes over `fetch`, as it does in browsers, the way it does over Node's sockets.
const ALSO_OF_THE_REAL_ONE: [&str; 12] = [
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
async fn the_real_axios_in_a_connectors_folder_works() {
    let server = Server::axios().await;
    let expected = expected(&server, "axios").await;
    for (file, built) in [("axios.cjs", "browser/axios.cjs"), ("axios.js", "esm/axios.js")] {
        let axios = read(&Server::folder().join("node_modules/axios/dist").join(built).to_string_lossy());
        let connector = Connector::new(&WITH_ITS_OWN_AXIOS.replace("AXIOS", file), &[(file, axios)]);
        for name in ALSO_OF_THE_REAL_ONE {
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
async fn our_jsonwebtoken_makes_and_judges_tokens_as_the_real_one_does() {
    let server = Server::axios().await;
    let connector = Connector::new(CONNECTOR, &[]);
    let answer = server.get_control("jwt").await;
    let expected = answer["outcomes"].as_object().expect("outcomes by name");
    assert!(expected.len() >= 80, "{} calls", expected.len());
    for (name, real) in expected {
        let ours = connector.call("jwtCall", json!({"fixtures": answer["fixtures"], "name": name})).await;
        assert_eq!(ours["comparable"], connector.call("comparable", json!({"outcome": real})).await, "{name}");
        // A signature that is another each time: the real one must verify it.
        if ours["outcome"]["result"]["isRandom"] == true {
            server.post_control("verify", &json!({"token": ours["outcome"]["result"]["token"]})).await;
        }
    }
}
