//! A connector's function in JavaScript or TypeScript, as data. [`crate::javascript`] runs it.

use std::sync::Arc;

use super::Files;

/// The suffixes that an import may omit, in the order they are tried.
const SUFFIXES: [&str; 7] = [".js", ".ts", ".mjs", ".cjs", ".json", "/index.js", "/index.ts"];

/// One function: the file that exports it, and the files it can import.
#[derive(Clone, PartialEq, Eq)]
pub struct Script {
    files: Arc<Files>,
    entry: String,
    function: String,
}

impl Script {
    /// The function `function` (`getTokenData`, say), exported by the file `entry` among `files`; see [`Script::sources`].
    pub fn new(files: Arc<Files>, entry: impl Into<String>, function: impl Into<String>) -> Self {
        Self { files, entry: entry.into(), function: function.into() }
    }

    /// The files of a folder that scripts can import.
    pub fn sources(files: &Files) -> Files {
        let is_source =
            |path: &str| [".js", ".ts", ".mjs", ".cjs", ".json"].iter().any(|suffix| path.ends_with(suffix));
        files.iter().filter(|(path, _)| is_source(path)).map(|(path, text)| (path.clone(), text.clone())).collect()
    }

    /// The file that exports the function.
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// The function's name.
    pub fn function(&self) -> &str {
        &self.function
    }

    /// A file's content.
    pub fn file(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The paths of all files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Resolves a relative import (`../lib/sign`, say) in the file `base`. Files outside the folder are never found.
    pub fn resolve(&self, base: &str, specifier: &str) -> Option<&str> {
        let mut parts: Vec<&str> = base.split('/').collect();
        parts.pop();
        for part in specifier.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop()?;
                }
                name => parts.push(name),
            }
        }
        let path = parts.join("/");
        let find = |path: &str| self.files.get_key_value(path).map(|(path, _)| path.as_str());
        find(&path)
            .or_else(|| SUFFIXES.iter().find_map(|suffix| find(format!("{path}{suffix}").trim_start_matches('/'))))
            // TypeScript style: `./sign.js` imports sign.ts.
            .or_else(|| find(&format!("{}.ts", path.strip_suffix(".js")?)))
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").field("entry", &self.entry).field("function", &self.function).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(paths: &[&str]) -> Script {
        let files = paths.iter().map(|path| ((*path).to_owned(), String::new())).collect();
        Script::new(Arc::new(files), "auth/test.js", "test")
    }

    #[test]
    fn imports_resolve_with_and_without_a_suffix() {
        let script = script(&["auth/test.js", "auth/a.ts", "lib/b.mjs", "lib/c/index.js", "d.json", "index.js"]);
        for (specifier, path) in [
            ("./a", "auth/a.ts"),
            ("./a.js", "auth/a.ts"),
            ("../lib/b", "lib/b.mjs"),
            ("../lib/./c", "lib/c/index.js"),
            ("../lib/c/", "lib/c/index.js"),
            ("../d.json", "d.json"),
            ("..", "index.js"),
        ] {
            assert_eq!(script.resolve("auth/test.js", specifier), Some(path), "{specifier}");
        }
    }

    #[test]
    fn imports_cannot_leave_the_folder() {
        let script = script(&["auth/test.js", "a.js"]);
        for specifier in ["../../a", "../../../etc/passwd", "./missing", "../auth/../../a.js"] {
            assert_eq!(script.resolve("auth/test.js", specifier), None, "{specifier}");
        }
    }

    #[test]
    fn only_sources_are_kept() {
        let files =
            Files::from(["a.js", "b.ts", "c.yml", "d.json", "logo.svg"].map(|path| (path.to_owned(), String::new())));
        assert_eq!(Script::sources(&files).into_keys().collect::<Vec<_>>(), ["a.js", "b.ts", "d.json"]);
    }
}
