//! Exports and imports, and how `check` reports their problems.

use super::*;

async fn result_of(files: &[(&str, &str)]) -> Option<Value> {
    call(&folder(files), json!({"a": 1})).await.unwrap().value
}

#[tokio::test]
async fn every_style_of_export_works() {
    for text in [
        "export default function ({ a }) { return a + 1 }",
        "export default async ({ a }) => a + 1",
        "module.exports = async function ({ a }) { return a + 1 }",
        "exports.default = ({ a }) => a + 1",
        "exports.test = ({ a }) => a + 1; exports.other = () => 0",
        "exports.whatever = ({ a }) => a + 1; exports.version = 2",
        "export const test = ({ a }) => a + 1; export const other = () => 0",
        "export function whatever({ a }) { return a + 1 }",
        "module.exports = { test: ({ a }) => a + 1, other() {} }",
        "export default { test: ({ a }) => a + 1, other() {} }",
        "Object.defineProperty(exports, '__esModule', { value: true }); exports.default = ({ a }) => a + 1",
        "function main({ a }) { return a + 1 }\nexport { main as default }",
    ] {
        assert_eq!(result_of(&[("auth/test.js", text)]).await, Some(json!(2)), "{text}");
        assert_eq!(crate::javascript::check(&script(text)), Ok(()), "{text}");
    }
}

#[tokio::test]
async fn es_modules_and_commonjs_can_import_each_other() {
    let common = "let count = 0; module.exports = { next: () => ++count, name: 'common' }";
    let module = "export const name = 'module'; export default (x) => x * 2";
    for (entry, expected) in [
        (
            "import c, { next } from '../lib/c'; import d from '../lib/m.mjs'; next(); export default () => d(c.next())",
            json!(4),
        ),
        (
            "const c = require('../lib/c.js'); const { default: d, name } = require('../lib/m'); c.next(); module.exports = () => d(c.next()) + name",
            json!("4module"),
        ),
        ("import { next } from '../lib/c'; module.exports = () => next()", json!(1)),
        (
            "import * as m from '../lib/m'; const c = require('../lib/c'); export default () => m.name + c.name",
            json!("modulecommon"),
        ),
        ("export default async () => (await import('../lib/m')).default((await import('../lib/c')).next())", json!(2)),
        ("import data, { list } from '../data.json'; export default () => [data.list.length, list[0]]", json!([2, 5])),
        ("module.exports = () => require('../data').list[1]", json!(6)),
        ("import mixed from '../lib/mixed'; export default () => mixed()", json!("mixed")),
        ("import old from '../lib/transpiled'; export default () => old()", json!("transpiled")),
    ] {
        let files = [
            ("auth/test.js", entry),
            ("lib/c.js", common),
            ("lib/m.mjs", module),
            ("lib/mixed.js", "import { name } from './m'\nmodule.exports = () => 'mixed'"),
            ("lib/transpiled.js", "exports.__esModule = true; exports.default = () => 'transpiled'"),
            ("data.json", r#"{"list": [5, 6]}"#),
        ];
        assert_eq!(result_of(&files).await, Some(expected), "{entry}");
        assert_eq!(crate::javascript::check(&folder(&files)), Ok(()), "{entry}");
    }
}

#[tokio::test]
async fn circular_requires_see_partial_exports() {
    let files = [
        ("auth/test.js", "const a = require('./a'); module.exports = () => a.early + a.late"),
        ("auth/a.js", "exports.early = 1; exports.late = require('./b').seen + 1"),
        ("auth/b.js", "exports.seen = require('./a').early"),
    ];
    assert_eq!(result_of(&files).await, Some(json!(3)));
}

#[tokio::test]
async fn sloppy_code_runs_as_commonjs() {
    let text =
        "undeclared = 5; var that = this; module.exports = function () { return undeclared + (that === exports) }";
    assert_eq!(result_of(&[("auth/test.js", text)]).await, Some(json!(6)));
}

#[tokio::test]
async fn errors_for_missing_modules_list_the_available_ones() {
    for (text, at) in [
        ("import fs from 'fs'\nexport default () => 1", "auth/test.js:1:16"),
        ("import * as std from 'std'\nexport default () => 1", "auth/test.js:1:22"),
        ("const os = require('os')\nmodule.exports = () => 1", "auth/test.js:1:20"),
        ("export default () => 1\nexport * from 'larder:prelude/index.js'", "auth/test.js:2:15"),
        ("export default () => 1\nexport * from 'node:child_process'", "auth/test.js:2:15"),
    ] {
        let error = call(&script(text), json!({})).await.unwrap_err().error;
        let JavaScriptError::Load { message, at: found } = &error else { panic!("{error:?}") };
        assert!(message.contains("there is no module") && message.contains("import axios, "), "{message}");
        assert_eq!(found.as_deref(), Some(at));
        let problems = crate::javascript::check(&script(text)).unwrap_err();
        assert_eq!(
            (problems.len(), &problems[0].message, problems[0].line),
            (1, message, at.split(':').nth(1).map(|line| line.parse().unwrap()))
        );
    }
}

#[tokio::test]
async fn files_outside_the_folder_cannot_be_imported() {
    for specifier in ["../../etc/passwd", "./missing", "/etc/passwd", "file:///etc/passwd"] {
        let error = error(&format!("import x from '{specifier}'; export default () => x")).await;
        assert!(matches!(error, JavaScriptError::Load { .. }), "{specifier}: {error:?}");
    }
}

#[tokio::test]
async fn failed_imports_can_be_caught() {
    let text = "export default async () => { try { await import('nope') } catch (error) { return 'caught' } }";
    assert_eq!(value(text).await, Some(json!("caught")));
}

#[test]
fn check_reports_file_line_and_column() {
    let check = |files: &[(&str, &str)]| {
        let problem = crate::javascript::check(&folder(files)).unwrap_err().remove(0);
        (problem.file, problem.line, problem.column, problem.message)
    };
    let place = |file: &str, line, column| (file.to_owned(), Some(line), Some(column));
    for (files, expected) in [
        (vec![("auth/test.js", "export default () => {\n  const = 1\n}")], place("auth/test.js", 2, 9)),
        (vec![("auth/test.js", "module.exports = () => {\n  const = 1\n}")], place("auth/test.js", 2, 9)),
        (vec![("auth/test.js", "module.exports = ( => 1")], place("auth/test.js", 1, 20)),
        (
            vec![("auth/test.js", "import './b'\nexport default () => 1"), ("auth/b.js", "export const a = ]")],
            place("auth/b.js", 1, 18),
        ),
        (vec![("auth/test.js", "export default () => 1\nthrow new Error('x')")], place("auth/test.js", 2, 11)),
        (vec![("auth/test.js", "export default () =>\n  require('lodash')")], place("auth/test.js", 2, 3)),
    ] {
        let (file, line, column, message) = check(&files);
        assert_eq!((file, line, column), expected, "{files:?} {message}");
    }
    let (_, _, _, message) = check(&[("auth/test.js", "export const a = () => 1; export const b = () => 2")]);
    assert!(message.contains("exports no function") && message.contains("`test`"), "{message}");
    let (_, _, _, message) =
        check(&[("auth/test.js", "import { a } from './b'\nexport default () => a"), ("auth/b.js", "export {}")]);
    assert!(message.contains("'a'"), "{message}");
}

#[test]
fn comments_and_other_functions_are_not_imports() {
    assert_eq!(crate::javascript::check(&script("// require('lodash')\nexport default () => my.require('x')")), Ok(()));
}

const TYPED: &str = "interface Arguments<T extends object> { a: number; more?: T }
type Result = { b: number }
import { double } from './double'
import type { Nothing } from './nothing'
export default async function <T extends object>({ a }: Arguments<T>): Promise<Result> {
  class Box<V> { private readonly v: V; constructor(v: V) { this.v = v } get(): V { return this.v! } }
  return { b: double(new Box<number>(a as number).get()) } satisfies Result
}
";

#[tokio::test]
async fn typescript_runs_with_types_stripped() {
    let double = "export const double = (n: number): number => { if (n > 1) throw new Error(`no`); return n * 2 }";
    let files = [("auth/test.ts", TYPED), ("auth/double.ts", double)];
    assert_eq!(result_of(&files).await, Some(json!({"b": 2})));
    assert_eq!(crate::javascript::check(&folder(&files)), Ok(()));
    let error = call(&folder(&files), json!({"a": 2})).await.unwrap_err().error;
    assert!(error.to_string().starts_with("auth/double.ts:1:69: no"), "{error}");
}

#[tokio::test]
async fn typescript_beyond_types_is_rejected_with_its_location() {
    for (text, place) in [
        ("export default () => 1\nenum A { B }", "auth/test.ts:2:1"),
        ("export default (a: ) => 1", "auth/test.ts:1:20"),
    ] {
        let error = call(&folder(&[("auth/test.ts", text)]), json!({})).await.unwrap_err().error;
        assert!(matches!(&error, JavaScriptError::Load { at: Some(at), .. } if at == place), "{error:?}");
    }
    for part in ["(", "!", "a?", "a=>", "1+", "type A=keyof ", "`${"] {
        let text = part.repeat(100_000);
        let error = call(&folder(&[("auth/test.ts", &text)]), json!({})).await.unwrap_err().error;
        assert!(matches!(&error, JavaScriptError::Load { .. }), "{part}: {error:?}");
    }
}
