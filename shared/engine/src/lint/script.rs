//! Checks on JavaScript tokens: which files are imported, and whether a `test` mistakes a body for a response.

use std::collections::BTreeSet;

use super::sources::{Content, FunctionSource};
use super::{Findings, Severity};
use crate::connector::FunctionName;

/// Reports a `test` that reads the status from the API client's result, which is only the body.
pub(super) fn check(source: &FunctionSource<'_>, findings: &mut Findings) {
    let (Content::Text(text, lines_before), FunctionName::Test) = (&source.content, source.name) else { return };
    let tokens = tokens(text);
    // An author who requests full responses knows about this.
    if tokens.iter().any(|token| token.text == "returnFullResponse") {
        return;
    }
    for (line, what) in status_of_bodies(&tokens) {
        findings.add(
            Severity::Warning,
            source.file.unwrap_or("spec.yml"),
            Some(line + lines_before),
            format!("`{what}` is read from a body: the API client returns only the body"),
            "return true, since an error status throws; or pass `{ returnFullResponse: true }` as options".to_owned(),
        );
    }
}

/// The relative paths in a script's strings.
pub(super) fn imports(text: &str) -> Vec<&str> {
    let texts = tokens(text).into_iter().filter(|token| token.kind == TokenKind::Text).map(|token| token.text);
    texts.filter(|path| path.starts_with("./") || path.starts_with("../")).collect()
}

/// Finds the lines where `.status` or `.statusCode` is read from a body, with the expression.
fn status_of_bodies(tokens: &[ScriptToken<'_>]) -> Vec<(u64, String)> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let is_status = |at: usize| matches!(text(at), "status" | "statusCode");
    let mut bodies = BTreeSet::new();
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let before = at.checked_sub(1).map_or("", |before| text(before));
        if tokens[at].kind == TokenKind::Word && text(at + 1) == "=" && before != "." {
            if is_call(&tokens[at + 2..]) {
                bodies.insert(text(at));
            } else {
                bodies.remove(text(at));
            }
        }
        // const { status } = await apiClient.get(…)
        if text(at) == "}" && text(at + 1) == "=" && is_call(&tokens[at + 2..]) {
            let names = tokens[..at].iter().rev().take_while(|token| token.text != "{");
            let named = names.filter(|token| matches!(token.text, "status" | "statusCode"));
            found.extend(named.map(|token| (token.line, token.text.to_owned())));
        }
        let is_read = matches!(text(at + 1), "." | "?.") && is_status(at + 2);
        // Compared with a string, it is a field of the body that happens to have this name.
        let is_word = matches!(text(at + 3), "==" | "===" | "!=" | "!==")
            && tokens.get(at + 4).is_some_and(|token| token.kind == TokenKind::Text);
        if is_read && !is_word {
            if bodies.contains(text(at)) && before != "." && before != "?." {
                found.push((tokens[at].line, format!("{}.{}", text(at), text(at + 2))));
            }
            // (await apiClient.get(…)).status
            if text(at) == ")" && opening(tokens, at).is_some_and(|open| is_call(&tokens[open + 1..at])) {
                found.push((tokens[at].line, text(at + 2).to_owned()));
            }
        }
    }
    found
}

/// Whether the tokens start with a request through the API client: `await args.apiClient.get(`.
fn is_call(tokens: &[ScriptToken<'_>]) -> bool {
    let mut rest = tokens.iter().skip_while(|token| token.text == "await").peekable();
    let mut names = Vec::new();
    while let Some(name) = rest.next_if(|token| token.kind == TokenKind::Word) {
        names.push(name.text);
        if rest.next_if(|token| matches!(token.text, "." | "?.")).is_none() {
            break;
        }
    }
    // TypeScript may add a type: apiClient.get<User>(
    rest.next().is_some_and(|token| matches!(token.text, "(" | "<"))
        && matches!(names[..], [.., "apiClient" | "externalApiClient", "get" | "post" | "put" | "patch" | "delete"])
}

/// The opening parenthesis for a closing one.
fn opening(tokens: &[ScriptToken<'_>], closing: usize) -> Option<usize> {
    let mut depth = 0_usize;
    (0..=closing).rev().find(|&at| {
        match tokens[at].text {
            ")" => depth += 1,
            "(" => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenKind {
    /// A name, a keyword or a number.
    Word,
    /// A string, without its quotes.
    Text,
    Sign,
}

#[derive(Clone, Copy, Debug)]
struct ScriptToken<'a> {
    kind: TokenKind,
    text: &'a str,
    line: u64,
}

/// The multi-character signs that matter here, because those with `=` are not assignments.
const SIGNS: [&str; 13] = ["===", "!==", "==", "!=", "<=", ">=", "=>", "?.", "+=", "-=", "&&", "||", "??"];

/// Splits a script into words, strings, and signs. Comments are dropped; template literals are strings.
fn tokens(program: &str) -> Vec<ScriptToken<'_>> {
    let mut tokens: Vec<ScriptToken<'_>> = Vec::new();
    let (mut rest, mut line) = (program, 1_u64);
    while let Some(first) = rest.chars().next() {
        let (kind, length) = if first.is_whitespace() {
            (None, first.len_utf8())
        } else if rest.starts_with("//") {
            (None, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (None, rest.find("*/").map_or(rest.len(), |end| end + 2))
        } else if matches!(first, '"' | '\'' | '`') {
            (Some(TokenKind::Text), quoted(rest, first))
        } else if first == '/' && is_regex(tokens.last()) {
            (Some(TokenKind::Text), quoted(rest, '/'))
        } else if is_word(first) {
            (Some(TokenKind::Word), rest.find(|char| !is_word(char)).unwrap_or(rest.len()))
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            (Some(TokenKind::Sign), sign.map_or(first.len_utf8(), |sign| sign.len()))
        };
        let (token, after) = rest.split_at(length);
        if let Some(kind) = kind {
            let text = if kind == TokenKind::Text { token.trim_matches(first) } else { token };
            tokens.push(ScriptToken { kind, text, line });
        }
        line += token.matches('\n').count() as u64;
        rest = after;
    }
    tokens
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '$')
}

/// The length of a string with its quotes. In a regular expression, a class may contain a slash.
fn quoted(text: &str, quote: char) -> usize {
    let (mut is_escaped, mut is_class) = (false, false);
    for (at, char) in text.char_indices().skip(1) {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '[' if quote == '/' => is_class = true,
            ']' if quote == '/' => is_class = false,
            '\n' if quote != '`' => return at,
            char if char == quote && !is_class => return at + char.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Whether a slash starts a regular expression; after a value, it divides.
fn is_regex(before: Option<&ScriptToken<'_>>) -> bool {
    before.is_none_or(|before| match before.kind {
        TokenKind::Word => matches!(before.text, "return" | "typeof" | "case" | "in" | "of" | "await"),
        TokenKind::Text => false,
        TokenKind::Sign => !matches!(before.text, ")" | "]" | "}"),
    })
}
