//! A client that `openapi-typescript` generates from `/openapi.json`. The calls are in `tests/servers/openapi-calls.ts`.

use std::fs;
use std::path::Path;

use larder_tests::{Program, Server, in_time, root};
use serde_json::{Value, json};
use tokio::process::Command;

/// Runs a script of a folder, and returns its output.
async fn node(folder: &Path, script: &str, arguments: &[&str]) -> String {
    let mut node = Command::new("node");
    node.arg(script).args(arguments).current_dir(folder).kill_on_drop(true);
    let output = in_time(node.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{script} takes too long")).expect("node starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{script}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_generated_client_is_typed_and_makes_calls() {
    let [data, folder] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let arguments = ["--data", data.path().to_str().expect("a path in UTF-8"), "--listen", "127.0.0.1:0"];
    let larder = Program::start(&arguments).await;
    let folder = folder.path();
    std::os::unix::fs::symlink(Server::folder().join("node_modules"), folder.join("node_modules")).expect("a link");
    fs::copy(root().join("tests/servers/openapi-calls.ts"), folder.join("openapi-calls.ts")).expect("a copy");
    let options = json!({
        "strict": true, "skipLibCheck": true, "target": "es2023", "module": "nodenext", "lib": ["es2023", "dom"],
        "types": [],
    });
    for (name, contents) in [
        ("package.json", json!({"type": "module"})),
        ("tsconfig.json", json!({"compilerOptions": options, "files": ["openapi-calls.ts"]})),
    ] {
        fs::write(folder.join(name), contents.to_string()).expect("a file");
    }

    let document = larder.uri("/openapi.json");
    let generator = "node_modules/openapi-typescript/bin/cli.js";
    node(folder, generator, &[&document, "--output", "larder.d.ts"]).await;
    node(folder, "node_modules/typescript/bin/tsc", &[]).await;
    let options = json!({"url": larder.base_uri, "token": larder.admin}).to_string();
    let outcomes: Value = serde_json::from_str(&node(folder, "openapi-calls.js", &[&options]).await).expect("JSON");
    let expected = json!({
        "workspace": "local",
        "stored": 201,
        "credentials": {"apiKey": "k"},
        "state": "READY",
        "names": ["Generated"],
        "cursor": null,
        "reason": "in_use",
        "flows": ["Nightly sync"],
    });
    assert_eq!(outcomes, expected);
}
