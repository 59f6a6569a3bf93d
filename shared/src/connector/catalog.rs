//! All connectors by key. A folder that is broken is set aside with its problems; the others do not suffer for it.

use super::Connector;
use super::folder::{self, Files, Problem};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The connectors that can be used, and the folders that cannot.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    connectors: BTreeMap<String, Arc<Connector>>,
    broken: Vec<BrokenConnector>,
}

/// A folder that is no usable connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenConnector {
    /// The folder's name.
    pub folder: String,
    /// Where it is, for messages.
    pub location: String,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// A folder: its name, where it is for messages, and what is in it.
pub type Folder = (String, String, Files);

impl Catalog {
    /// Reads folders. Where two have the same key the later wins, so that one's own folder replaces a bundled one; a
    /// broken folder replaces nothing.
    pub fn new(folders: impl IntoIterator<Item = Folder>) -> Self {
        let mut catalog = Self::default();
        for (folder, location, files) in folders {
            match folder::parse(&folder, &files) {
                Ok(connector) => {
                    catalog.connectors.insert(connector.key.clone(), Arc::new(connector));
                }
                Err(problems) => catalog.broken.push(BrokenConnector { folder, location, problems }),
            }
        }
        catalog
    }

    /// Adds folders that could not even be read, see [`read_dirs`].
    #[must_use]
    pub fn with_broken(mut self, broken: impl IntoIterator<Item = BrokenConnector>) -> Self {
        self.broken.extend(broken);
        self
    }

    /// The connector with a key.
    pub fn get(&self, key: &str) -> Option<&Arc<Connector>> {
        self.connectors.get(key)
    }

    /// All connectors, by key.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Connector>> {
        self.connectors.values()
    }

    /// The folders that cannot be used.
    pub fn broken(&self) -> &[BrokenConnector] {
        &self.broken
    }
}

/// Reads every sub-folder of `dirs` that holds a `spec.yml`, by name within each of them; what cannot be read is
/// broken.
pub fn read_dirs(dirs: &[PathBuf]) -> (Vec<Folder>, Vec<BrokenConnector>) {
    let (mut folders, mut broken) = (Vec::new(), Vec::new());
    for dir in dirs {
        let mut paths: Vec<PathBuf> = match std::fs::read_dir(dir).and_then(|entries| entries.collect::<Result<_, _>>())
        {
            Ok(entries) => Vec::<std::fs::DirEntry>::into_iter(entries).map(|entry| entry.path()).collect(),
            Err(error) => {
                broken.push(unreadable(dir, &error));
                continue;
            }
        };
        paths.sort();
        for path in paths.iter().filter(|path| path.join("spec.yml").exists()) {
            match folder::read(path) {
                Ok(files) => folders.push((name(path), path.display().to_string(), files)),
                Err(error) => broken.push(unreadable(path, &error)),
            }
        }
    }
    (folders, broken)
}

fn unreadable(path: &Path, error: &std::io::Error) -> BrokenConnector {
    let problem = Problem {
        file: "spec.yml".to_owned(),
        line: None,
        message: format!("the folder cannot be read: {error}"),
        help: "check that it exists and who may read it".to_owned(),
    };
    BrokenConnector { folder: name(path), location: path.display().to_string(), problems: vec![problem] }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name: A\nauth:\n  type: oauth2\n  getOAuthConfig: {mapping: {clientId: x}}\n  \
                        makeApiClient: {mapping: {baseUri: 'https://a.example'}}\n";

    fn folder(name: &str, spec: &str) -> Folder {
        (name.to_owned(), format!("/connectors/{name}"), Files::from([("spec.yml".to_owned(), spec.to_owned())]))
    }

    #[test]
    fn a_broken_folder_does_not_take_the_others_down() {
        let catalog = Catalog::new([folder("a", GOOD), folder("b", "name: ["), folder("c", GOOD)]);
        assert_eq!(catalog.iter().map(|connector| connector.key.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(catalog.broken()[0].folder, "b");
        assert_eq!(catalog.broken()[0].location, "/connectors/b");
    }

    #[test]
    fn a_later_folder_replaces_an_earlier_one() {
        let renamed = format!("key: a\n{}", GOOD.replace("name: A", "name: Mine"));
        let catalog = Catalog::new([folder("a", GOOD), folder("mine", &renamed)]);
        assert_eq!(catalog.get("a").unwrap().name, "Mine");
        assert_eq!(catalog.iter().count(), 1);
    }

    #[test]
    fn a_broken_folder_replaces_nothing() {
        let catalog = Catalog::new([folder("a", GOOD), folder("a", "name: [")]);
        assert_eq!(catalog.get("a").unwrap().name, "A");
        assert_eq!(catalog.broken().len(), 1);
    }

    #[test]
    fn folders_are_found_by_their_spec_and_unreadable_ones_are_broken() {
        let root = std::env::temp_dir().join(format!("larder-catalog-{}", std::process::id()));
        for name in ["b", "a"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
            std::fs::write(root.join(name).join("spec.yml"), GOOD).unwrap();
        }
        std::fs::create_dir_all(root.join("no-connector")).unwrap();
        let (folders, broken) = read_dirs(&[root.clone(), root.join("nowhere")]);
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(folders.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(broken[0].folder, "nowhere");
        let catalog = Catalog::new(folders).with_broken(broken);
        assert_eq!((catalog.iter().count(), catalog.broken().len()), (2, 1));
    }
}
