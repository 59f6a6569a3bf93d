//! Environment variables, routes, files and flags that the documents show as code exist. The changelog is exempt: it may
//! mention removed ones.

use std::collections::BTreeSet;
use std::fs;

use larder::routes::ROUTES;
use larder_tests::document::read;
use larder_tests::program::run;
use larder_tests::root;

use crate::markdown::{BlockKind, blocks, code_and_prose, documents, files};

/// Names that belong to other software, by owner.
type Foreign = &'static [(&'static str, &'static [&'static str])];

const FOREIGN_VARIABLES: Foreign = &[("rustc", &["RUSTC_BOOTSTRAP"])];

const FOREIGN_ROUTES: Foreign =
    &[("a folder in Lambda", &["/opt/connectors"]), ("the demo of cargo run", &["/demo/app", "/welcome"])];

const FOREIGN_FILES: Foreign = &[];

const FOREIGN_FLAGS: Foreign = &[
    (
        "aws dynamodb",
        &[
            "--attribute-definitions",
            "--deletion-protection-enabled",
            "--global-secondary-index-updates",
            "--point-in-time-recovery-specification",
            "--restore-date-time",
            "--source-table-name",
            "--table-name",
            "--target-table-name",
            "--time-to-live-specification",
        ],
    ),
    ("aws secretsmanager", &["--output", "--query", "--secret-id"]),
    ("biome", &["--write"]),
    ("cargo", &["--features", "--lib", "--package", "--quiet", "--test", "--workspace"]),
    (
        "cargo lambda",
        &[
            "--data-ascii",
            "--data-file",
            "--disable-cors",
            "--env-file",
            "--invoke-address",
            "--invoke-port",
            "--output-format",
            "--release",
            "--remote",
        ],
    ),
    ("sam", &["--event", "--parameter-overrides", "--stack-name"]),
    ("test binaries", &["--include-ignored"]),
];

/// A line of code in a document.
struct Code {
    place: String,
    text: String,
}

/// The lines of code blocks, and inline code, in all documents except the changelog.
fn code() -> Vec<Code> {
    let documents = documents().into_iter().filter(|(path, _)| path != "CHANGELOG.md");
    documents.flat_map(|(path, document)| code_of(&path, &document)).collect()
}

fn code_of(path: &str, document: &str) -> Vec<Code> {
    let mut found = Vec::new();
    for block in blocks(document) {
        let place = format!("{path}:{}", block.line);
        let lines: Vec<&str> = match block.kind {
            BlockKind::Code => block.text.lines().collect(),
            _ => code_and_prose(&block.text).0,
        };
        found.extend(lines.into_iter().map(|line| Code { place: place.clone(), text: line.to_owned() }));
    }
    found
}

/// Names in upper case with an underscore, such as `BASE_URI`.
fn variables(code: &str) -> Vec<&str> {
    let words = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_constant = |word: &&str| {
        word.trim_matches('_').contains('_')
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && !word.ends_with('_')
            && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    words.filter(is_constant).collect()
}

/// Requests such as `GET /connections` or `curl -X PUT http://127.0.0.1:9000/integrations/crm`, as method and path. A URL alone
/// has no method.
fn requests(code: &str) -> Vec<(Option<&str>, &str)> {
    let words: Vec<_> = code.split_whitespace().map(|word| word.trim_matches(['\'', '"', ',', '.'])).collect();
    let mut requests = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let here = ["http://127.0.0.1:9000", "http://127.0.0.1:9100"];
        let path = here.iter().find_map(|uri| word.strip_prefix(uri)).filter(|path| path.starts_with('/'));
        let method = at.checked_sub(1).map(|before| words[before]);
        let method = method.filter(|method| ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(method));
        let is_path = word.starts_with('/') && word[1..].starts_with(|c: char| c.is_ascii_lowercase());
        let path = path.or_else(|| Some(*word).filter(|_| is_path && (method.is_some() || words.len() == 1)));
        requests.extend(path.map(|path| (method, path.split('?').next().unwrap_or_default())));
    }
    requests
}

/// Whether a path matches a route, in which a segment may be a parameter.
fn matches(route: &str, path: &str) -> bool {
    let segments = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (route, path) = (segments(route), segments(path));
    route.len() == path.len()
        && route.iter().zip(path).all(|(route, path)| *route == path || (route.starts_with('{') && !path.is_empty()))
}

/// Paths of files and folders in this repository: they start with a top-level folder or have a source file's extension.
fn paths<'a>(code: &'a str, top: &BTreeSet<&str>) -> Vec<&'a str> {
    let words = code.split(|c: char| c.is_whitespace() || "'\"`=,;()[]".contains(c));
    let words = words.map(|word| word.split("::").next().unwrap_or_default().trim_end_matches(['.', ':', '/']));
    let words = words.map(|word| word.trim_start_matches("../").trim_start_matches("./"));
    let is_ours = |word: &&str| {
        let first = word.split('/').next().unwrap_or_default();
        let is_source = [".rs", ".md", ".toml"].iter().any(|end| word.ends_with(end) && word.len() > end.len());
        let mut parts = word.trim_end_matches("README.md").split(['/', '.']);
        let is_placeholder = word.contains(['<', '{', '*', '$', '…', '|'])
            || (word.contains('/') && parts.any(|part| part.len() > 2 && part.chars().all(|c| c.is_ascii_uppercase())));
        ((word.contains('/') && top.contains(first)) || is_source) && !is_placeholder && !word.contains("://")
    };
    words.filter(is_ours).collect()
}

/// The flags of a command line.
fn flags(code: &str) -> Vec<&str> {
    let words = code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words
        .filter(|word| word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase())))
        .collect()
}

/// The program that receives a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Larder,
    Tests,
    Mutations,
    Cargo,
    /// A flag without its command, or the command of another program.
    Anybody,
}

/// Splits a command line into parts, each with the program that receives it.
fn commands(line: &str) -> Vec<(Owner, &str)> {
    if line.contains("tests/mutations/run") {
        return vec![(Owner::Mutations, line)];
    }
    if line.contains("tests/run") {
        return vec![(Owner::Tests, line)];
    }
    match line.split_once(" -- ") {
        Some((cargo, own)) if cargo.contains("cargo run") => vec![(Owner::Cargo, cargo), (Owner::Larder, own)],
        _ => vec![(Owner::Anybody, line)],
    }
}

/// The flags in the comment at the head of a script.
fn usage(script: &str) -> BTreeSet<String> {
    let head = read(script);
    let head: Vec<_> = head.lines().take_while(|line| line.starts_with('#')).collect();
    flags(&head.join("\n")).into_iter().map(str::to_owned).collect()
}

/// The commands and flags of `cargo run`, from its help.
async fn larder_help() -> BTreeSet<String> {
    let commands = ["token", "sign-in", "check", "try", "connector", "connections", "connect", "import"];
    let mut help = BTreeSet::from(commands.map(str::to_owned));
    let of_connections = ["ls", "show", "test", "refresh", "rm"].map(|command| vec!["connections", command]);
    let deeper = of_connections.into_iter().chain([vec!["connector", "new"], vec![]]);
    for command in commands.into_iter().map(|command| vec![command]).chain(deeper) {
        let arguments = [&command[..], &["--help"]].concat();
        let output = run(&arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        help.extend(flags(&String::from_utf8(output.stdout).unwrap()).into_iter().map(str::to_owned));
    }
    help
}

/// Fails if names do not exist, or if no document needs an exception.
fn verify(unknown: &[(String, String)], foreign: Foreign) {
    let exceptions: BTreeSet<_> = foreign.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let missing: BTreeSet<_> = unknown.iter().filter(|(name, _)| !exceptions.contains(name.as_str())).collect();
    let missing: Vec<_> = missing.into_iter().map(|(name, place)| format!("{place}: {name}")).collect();
    assert!(missing.is_empty(), "these do not exist:\n{}", missing.join("\n"));
    let unneeded: Vec<_> = exceptions.iter().filter(|it| unknown.iter().all(|(name, _)| name != **it)).collect();
    assert!(unneeded.is_empty(), "no document needs these exceptions: {unneeded:?}");
}

#[test]
fn every_variable_is_in_the_sources() {
    let is_source = |path: &String| !path.ends_with(".md") && path != "tests/tests/documents/names.rs";
    let sources = files().into_iter().filter(is_source).map(|path| fs::read(root().join(path)).unwrap());
    let sources: String = sources.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
    let mut unknown = Vec::new();
    for Code { place, text } in code() {
        let missing = variables(&text).into_iter().filter(|name| !sources.contains(name));
        unknown.extend(missing.map(|name| (name.to_owned(), place.clone())));
    }
    verify(&unknown, FOREIGN_VARIABLES);
}

#[test]
fn every_route_is_in_the_table() {
    let mut unknown = Vec::new();
    for Code { place, text } in code() {
        for (method, path) in requests(&text) {
            let is_route = ROUTES
                .iter()
                .filter(|route| !route.is_preflight())
                .any(|route| matches(route.path, path) && method.is_none_or(|method| method == route.method.as_str()));
            if !is_route {
                let name = method.map_or_else(|| path.to_owned(), |method| format!("{method} {path}"));
                unknown.push((name, place.clone()));
            }
        }
    }
    verify(&unknown, FOREIGN_ROUTES);
}

#[test]
fn every_file_is_in_the_tree() {
    let files = files();
    let top: BTreeSet<_> = files.iter().filter_map(|path| Some(path.split_once('/')?.0)).collect();
    let mut unknown = Vec::new();
    for Code { place, text } in code() {
        for path in paths(&text, &top) {
            let is_end = || files.iter().any(|file| file == path || file.ends_with(&format!("/{path}")));
            if !root().join(path).exists() && !is_end() {
                unknown.push((path.to_owned(), place.clone()));
            }
        }
    }
    verify(&unknown, FOREIGN_FILES);
}

#[tokio::test]
async fn every_flag_belongs_to_its_program() {
    let (larder, tests, mutations) = (larder_help().await, usage("tests/run"), usage("tests/mutations/run"));
    let anybodys = [&larder, &tests, &mutations].into_iter().flatten().cloned().collect();
    let none = BTreeSet::new();
    let mut unknown = Vec::new();
    for Code { place, text } in code() {
        for (owner, arguments) in commands(&text) {
            let known = match owner {
                Owner::Larder => &larder,
                Owner::Tests => &tests,
                Owner::Mutations => &mutations,
                Owner::Cargo => &none,
                Owner::Anybody => &anybodys,
            };
            let command =
                arguments.split_whitespace().next().filter(|it| owner == Owner::Larder && !it.starts_with('-'));
            let names = flags(arguments).into_iter().chain(command);
            unknown.extend(names.filter(|name| !known.contains(*name)).map(|name| (name.to_owned(), place.clone())));
        }
    }
    verify(&unknown, FOREIGN_FLAGS);
}

#[test]
fn variables_are_in_upper_case_with_an_underscore() {
    let code = "BASE_URI={X} AWS_LC_SYS_2 A lower_case YOUR-CLIENT-ID fooBAR_BAZ `KMS_KEY_ID`, PREFIX_";
    assert_eq!(variables(code), ["BASE_URI", "AWS_LC_SYS_2", "KMS_KEY_ID"]);
}

#[test]
fn requests_are_found_by_method_or_address() {
    assert_eq!(requests("GET /credentials?connectionId=ID"), [(Some("GET"), "/credentials")]);
    assert_eq!(requests("curl -X PUT 'http://127.0.0.1:9000/connections/a?b'"), [(Some("PUT"), "/connections/a")]);
    assert_eq!(requests("echo \"http://127.0.0.1:9100/connect?token=x\""), [(None, "/connect")]);
    assert_eq!(requests("/oauth-callback"), [(None, "/oauth-callback")]);
    assert_eq!(requests("cd /tmp && GET it"), []);
    assert_eq!(requests("//!"), []);
}

#[test]
fn a_parameter_is_one_segment() {
    assert!(matches("/connections/{id}", "/connections/ID") && matches("/connect", "/connect"));
    assert!(!matches("/connections/{id}", "/connections/a/b") && !matches("/connect", "/connects"));
    assert!(!matches("/connections/{id}", "/connections/"));
}

#[test]
fn paths_are_ours_by_their_first_folder_or_their_end() {
    let top = BTreeSet::from(["shared", "tests"]);
    let code = "seal/mod.rs tests/run, `../tests/x.json` shared/a.rs::name shared/*/x tests/providers/KEY.yml README.md \
                auth/test.js https://a.example/shared/x.rs target/x shared";
    assert_eq!(paths(code, &top), ["seal/mod.rs", "tests/run", "tests/x.json", "shared/a.rs", "README.md"]);
}

#[test]
fn flags_go_to_the_program_that_gets_them() {
    assert_eq!(flags("tests/run --lives 10 -x ---- --no-demo, [--json]"), ["--lives", "--no-demo", "--json"]);
    let cargo = "T=$(cargo run --quiet -- token --admin)";
    assert_eq!(commands(cargo), [(Owner::Cargo, "T=$(cargo run --quiet"), (Owner::Larder, "token --admin)")]);
    assert_eq!(commands("tests/run --bench"), [(Owner::Tests, "tests/run --bench")]);
    assert_eq!(commands("tests/mutations/run --check"), [(Owner::Mutations, "tests/mutations/run --check")]);
    assert_eq!(commands("--json"), [(Owner::Anybody, "--json")]);
}

#[test]
fn the_usage_of_a_script_is_its_head() {
    let usage = usage("tests/run");
    assert!(usage.contains("--lives") && !usage.contains("--locked"), "{usage:?}");
}

#[test]
fn code_is_in_blocks_and_between_backquotes() {
    let found = code_of("a.md", "A `b`.\n\n```sh\nc\nd\n```\n| `e` | f |\n");
    let found: Vec<_> = found.iter().map(|it| (it.place.as_str(), it.text.as_str())).collect();
    assert_eq!(found, [("a.md:1", "b"), ("a.md:4", "c"), ("a.md:4", "d"), ("a.md:7", "e")]);
}

#[test]
#[should_panic(expected = "a.md:1: gone")]
fn a_name_that_does_not_exist_fails() {
    verify(&[("gone".to_owned(), "a.md:1".to_owned())], &[]);
}

#[test]
#[should_panic(expected = "no document needs these exceptions")]
fn an_exception_that_nothing_needs_fails() {
    verify(&[], &[("a program", &["--old"])]);
}
