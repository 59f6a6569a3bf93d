//! The prose of documents, doc comments and the OpenAPI document: how sentences begin, and how long documents are.

use larder_tests::document::read;
use serde_json::Value;

use crate::markdown::{BlockKind, blocks, doc_comments, documents, sentences, with_extension};

const OPEN_API: &str = "functions/connections/openapi.json";

/// First words of sentences whose subject is a free relative, such as "Whoever writes outside".
const OPENERS: [&str; 4] = ["What", "Who", "Whoever", "Whatever"];

/// The size limits of documents, in bytes.
const SIZES: [(&str, usize); 4] =
    [("README.md", 12_000), ("ARCHITECTURE.md", 22_000), ("CONTRIBUTING.md", 8_000), ("BENCHMARKS.md", 8_000)];

/// The sentences of a document that open with a free relative, with their lines, except headings, table rows, code and
/// questions.
fn stilted(document: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for block in blocks(document).into_iter().filter(|block| block.kind == BlockKind::Paragraph) {
        let stilted = sentences(&block.text).into_iter().filter(|sentence| {
            let first: String = sentence
                .chars()
                .skip_while(|c| !c.is_alphanumeric() && *c != '`')
                .take_while(|c| c.is_alphanumeric() || *c == '`')
                .collect();
            let is_question = sentence.trim_end_matches(|c: char| c != '?' && !c.is_alphanumeric()).ends_with('?');
            OPENERS.contains(&first.as_str()) && !is_question
        });
        found.extend(stilted.map(|sentence| (block.line, sentence)));
    }
    found
}

/// The descriptions anywhere in a value.
fn descriptions(value: &Value) -> Vec<&str> {
    let within: Vec<_> = match value {
        Value::Object(members) => members.values().flat_map(descriptions).collect(),
        Value::Array(items) => items.iter().flat_map(descriptions).collect(),
        _ => Vec::new(),
    };
    value.get("description").and_then(Value::as_str).into_iter().chain(within).collect()
}

#[test]
fn no_sentence_opens_with_what_or_who() {
    let mut found = Vec::new();
    for (path, document) in documents() {
        found.extend(stilted(&document).into_iter().map(|(line, sentence)| format!("{path}:{line}: {sentence}")));
    }
    let open_api = serde_json::from_str(&read(OPEN_API)).unwrap();
    for description in descriptions(&open_api) {
        found.extend(stilted(description).into_iter().map(|(_, sentence)| format!("{OPEN_API}: {sentence}")));
    }
    for (path, source) in with_extension(".rs") {
        for (start, comment) in doc_comments(&source) {
            let stilted = stilted(&comment).into_iter();
            found.extend(stilted.map(|(line, sentence)| format!("{path}:{}: {sentence}", start + line - 1)));
        }
    }
    assert!(
        found.is_empty(),
        "name the subject (CONTRIBUTING.md, \"Language\") in {}:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn documents_keep_their_sizes() {
    for (path, most) in SIZES {
        let bytes = read(path).len();
        assert!(bytes <= most, "{path} has {bytes} bytes; for its readers' sake, the limit is {most}");
    }
}

#[test]
fn free_relatives_are_found_wherever_a_sentence_begins() {
    let document = "What is stored is sealed. It holds. Whoever asks waits.\n\n- **Who knows the key** reads: Whatever\n  is there.\n";
    let found: Vec<_> = stilted(document).into_iter().map(|(line, sentence)| format!("{line} {sentence}")).collect();
    let expected = [
        "1 What is stored is sealed.",
        "1 Whoever asks waits.",
        "3 **Who knows the key** reads:",
        "3 Whatever is there.",
    ];
    assert_eq!(found, expected);
}

#[test]
fn headings_tables_code_and_questions_are_exempt() {
    let document = "# What is promised\n\n| Who may | x |\n\n```\nWhat is code.\n```\n\nWho can do what? Whose it is. `What` is a word. It is what it is.\n";
    assert_eq!(stilted(document), []);
}
