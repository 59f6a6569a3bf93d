//! Splits the repository's documents and doc comments into paragraphs, table rows, headings and code.

use std::fs;

use larder_tests::root;

/// Folders of generated or installed files.
const SKIPPED: [&str; 6] = [".git", ".larder", ".aws-sam", "__pycache__", "node_modules", "target"];

/// A part of a document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) kind: BlockKind,
    /// The number of its first line.
    pub(crate) line: usize,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockKind {
    Heading,
    /// A paragraph or a list item, on one line.
    Paragraph,
    TableRow,
    /// A fenced block, without its fences.
    Code,
}

/// The sorted paths of all files in the repository, without links.
pub(crate) fn files() -> Vec<String> {
    let (mut files, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                folders.push(path);
            } else if kind.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The Markdown documents with their paths.
pub(crate) fn documents() -> Vec<(String, String)> {
    with_extension(".md")
}

/// All files with this suffix, with their paths.
pub(crate) fn with_extension(extension: &str) -> Vec<(String, String)> {
    let files = files().into_iter().filter(|path| path.ends_with(extension));
    files.map(|path| (path.clone(), fs::read_to_string(root().join(path)).unwrap())).collect()
}

/// Splits a document into its parts.
pub(crate) fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_code = false;
    // Whether the last block continues on the next line.
    let mut is_open = false;
    for (at, raw) in document.lines().enumerate() {
        let line = raw.trim();
        if line.starts_with("```") {
            is_code = !is_code;
            is_open = false;
            if is_code {
                blocks.push(Block { kind: BlockKind::Code, line: at + 2, text: String::new() });
            }
            continue;
        }
        if is_code {
            if let Some(code) = blocks.last_mut() {
                code.text += raw;
                code.text.push('\n');
            }
            continue;
        }
        let (kind, text) = if line.is_empty() || line.starts_with("<!--") {
            is_open = false;
            continue;
        } else if line.starts_with('#') {
            (BlockKind::Heading, line.trim_start_matches('#').trim())
        } else if line.starts_with('|') {
            (BlockKind::TableRow, line)
        } else {
            (BlockKind::Paragraph, without_marker(line))
        };
        match blocks.last_mut() {
            Some(last) if is_open && kind == BlockKind::Paragraph && text == line => {
                last.text.push(' ');
                last.text += text;
            }
            _ => blocks.push(Block { kind, line: at + 1, text: text.to_owned() }),
        }
        is_open = kind == BlockKind::Paragraph;
    }
    blocks
}

/// A line without the marker of a list or a quotation.
fn without_marker(line: &str) -> &str {
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    match number.strip_prefix(". ") {
        Some(rest) if number.len() < line.len() => rest,
        _ => ["- ", "* ", "> "].iter().find_map(|marker| line.strip_prefix(marker)).unwrap_or(line),
    }
}

/// Splits a paragraph into sentences, each with its final punctuation.
pub(crate) fn sentences(paragraph: &str) -> Vec<String> {
    let mut sentences = vec![String::new()];
    for word in paragraph.split_whitespace() {
        let sentence = sentences.last_mut().unwrap();
        if !sentence.is_empty() {
            sentence.push(' ');
        }
        *sentence += word;
        if word.trim_end_matches(['*', '_', ')', ']', '"', '`']).ends_with(['.', '!', '?', ':']) {
            sentences.push(String::new());
        }
    }
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

/// The doc comments of a source file as documents, each with the number of its first line.
pub(crate) fn doc_comments(source: &str) -> Vec<(usize, String)> {
    let mut comments: Vec<(usize, String)> = Vec::new();
    let mut last = None;
    for (at, line) in source.lines().map(str::trim_start).enumerate() {
        let Some(text) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else { continue };
        if last.is_none_or(|last| last + 1 != at) {
            comments.push((at + 1, String::new()));
        }
        let comment = &mut comments.last_mut().unwrap().1;
        *comment += text.strip_prefix(' ').unwrap_or(text);
        comment.push('\n');
        last = Some(at);
    }
    comments
}

/// Splits a paragraph into its code and everything else.
pub(crate) fn code_and_prose(paragraph: &str) -> (Vec<&str>, String) {
    let parts: Vec<_> = paragraph.split('`').collect();
    let code = parts.iter().skip(1).step_by(2).copied().collect();
    (code, parts.into_iter().step_by(2).collect())
}

#[test]
fn a_document_is_split_into_its_parts() {
    let document = "# A `b`\n\nOne\ntwo.\n- three\n  four\n1. five\n\n| x |\n```sh\na\n\n# b\n```\n<!-- c -->\n";
    let found: Vec<_> = blocks(document).into_iter().map(|it| (it.kind, it.line, it.text)).collect();
    let expected = [
        (BlockKind::Heading, 1, "A `b`"),
        (BlockKind::Paragraph, 3, "One two."),
        (BlockKind::Paragraph, 5, "three four"),
        (BlockKind::Paragraph, 7, "five"),
        (BlockKind::TableRow, 9, "| x |"),
        (BlockKind::Code, 11, "a\n\n# b\n"),
    ];
    assert_eq!(found, expected.map(|(kind, line, text)| (kind, line, text.to_owned())));
}

#[test]
fn sentences_end_with_their_marks() {
    assert_eq!(sentences("**One.** Two (three?) Four: five"), ["**One.**", "Two (three?)", "Four:", "five"]);
}

#[test]
fn doc_comments_are_joined_by_lines() {
    let source = ["//! A", "//! b.", "", "    /// C", "fn d() {} // e"].join("\n");
    assert_eq!(doc_comments(&source), [(1, "A\nb.\n".to_owned()), (4, "C\n".to_owned())]);
}

#[test]
fn code_is_separated_from_prose() {
    assert_eq!(code_and_prose("a `b` c `d`"), (vec!["b", "d"], "a  c ".to_owned()));
}
