//! All connectors by key, each read when it is first needed. A broken folder is skipped and its problems are kept; the
//! other folders still work.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::Connector;
use super::folder::{self, Files, FolderProblem};

/// The folders of all connectors.
#[derive(Debug, Default)]
pub struct Catalog {
    folders: Vec<Folder>,
    /// Parent folders that cannot be listed.
    unlisted: Vec<BrokenConnector>,
}

/// A folder that cannot be used as a connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenConnector {
    /// The folder's name.
    pub folder: String,
    /// The location, for messages.
    pub location: String,
    /// The problems found.
    pub problems: Vec<FolderProblem>,
}

impl Catalog {
    /// A catalog of folders. When two have the same key, the later one wins, so that custom folders can replace bundled
    /// ones; a broken folder replaces nothing.
    pub fn new(folders: impl IntoIterator<Item = Folder>) -> Self {
        Self { folders: folders.into_iter().collect(), unlisted: Vec::new() }
    }

    /// Adds the folders in `dirs`; see [`find`].
    #[must_use]
    pub fn with_dirs(mut self, dirs: &[PathBuf]) -> Self {
        let (folders, unlisted) = find(dirs);
        unlisted.iter().for_each(warn);
        self.folders.extend(folders);
        self.unlisted.extend(unlisted);
        self
    }

    /// The connector with this key.
    pub fn get(&self, key: &str) -> Option<&Arc<Connector>> {
        let folders = self.folders.iter().rev().filter(|folder| folder.may_have(key));
        folders.filter_map(|folder| folder.connector().ok()).find(|connector| connector.key == key)
    }

    /// All connectors, ordered by key. Reads every folder.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Connector>> {
        let connectors = self.folders.iter().filter_map(|folder| folder.connector().ok());
        let by_key: BTreeMap<_, _> = connectors.map(|connector| (connector.key.as_str(), connector)).collect();
        by_key.into_values()
    }

    /// The folders that cannot be used. Reads every folder.
    pub fn broken(&self) -> impl Iterator<Item = &BrokenConnector> {
        self.unlisted.iter().chain(self.folders.iter().filter_map(|folder| folder.connector().err()))
    }

    /// The problems of the folder with this name, if it is broken.
    pub fn broken_folder(&self, name: &str) -> Option<&BrokenConnector> {
        self.folders.iter().filter(|folder| folder.name == name).find_map(|folder| folder.connector().err())
    }
}

/// A folder with a `spec.yml`. Its files are read once, when the connector is first needed.
#[derive(Debug)]
pub struct Folder {
    name: String,
    location: String,
    source: FolderSource,
    stated_key: OnceLock<Option<String>>,
    connector: OnceLock<Result<Arc<Connector>, BrokenConnector>>,
}

#[derive(Debug)]
enum FolderSource {
    Memory(Files),
    Disk(PathBuf),
}

impl Folder {
    /// A folder whose files are in memory. `location` is for messages.
    pub fn in_memory(name: impl Into<String>, location: impl Into<String>, files: Files) -> Self {
        Self::new(name.into(), location.into(), FolderSource::Memory(files))
    }

    fn on_disk(path: PathBuf) -> Self {
        Self::new(name(&path), path.display().to_string(), FolderSource::Disk(path))
    }

    fn new(name: String, location: String, source: FolderSource) -> Self {
        Self { name, location, source, stated_key: OnceLock::new(), connector: OnceLock::new() }
    }

    /// The folder's name, which is the connector's key unless `spec.yml` has another.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The location, for messages.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The folder's current files.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn files(&self) -> Result<Cow<'_, Files>, BrokenConnector> {
        match &self.source {
            FolderSource::Memory(files) => Ok(Cow::Borrowed(files)),
            FolderSource::Disk(path) => folder::read(path).map(Cow::Owned).map_err(|error| unreadable(path, &error)),
        }
    }

    fn connector(&self) -> Result<&Arc<Connector>, &BrokenConnector> {
        let read = || {
            let connector = folder::parse(&self.name, &*self.files()?).map_err(|problems| BrokenConnector {
                folder: self.name.clone(),
                location: self.location.clone(),
                problems,
            })?;
            Ok(Arc::new(connector))
        };
        self.connector.get_or_init(|| read().inspect_err(warn)).as_ref()
    }

    /// Whether the connector can have this key. `false` is certain, and takes only a look at `spec.yml`.
    fn may_have(&self, key: &str) -> bool {
        if let Some(read) = self.connector.get() {
            return read.as_ref().is_ok_and(|connector| connector.key == key);
        }
        let stated = self.stated_key.get_or_init(|| match &self.source {
            FolderSource::Memory(files) => stated_key(files.get("spec.yml")?),
            FolderSource::Disk(path) => stated_key(&folder::read_file(&path.join("spec.yml")).ok()??),
        });
        stated.as_ref().is_none_or(|stated| stated == key)
    }
}

/// The key in a `spec.yml`, if it can be found without parsing the YAML: on its own line, preceded only by comments and
/// plain strings like `name: Acme`. `None` means unknown.
fn stated_key(spec: &str) -> Option<String> {
    for line in spec.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line.split_once(": ")?;
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphabetic())
            && value.starts_with(|first: char| first.is_ascii_alphanumeric())
            && !value.contains([':', '#']);
        if !is_plain {
            return None;
        }
        if name == "key" {
            // YAML's null isn't a key.
            return Some(value.trim_end()).filter(|key| !key.eq_ignore_ascii_case("null")).map(ToOwned::to_owned);
        }
    }
    None
}

/// Finds every folder in `dirs` that contains a `spec.yml`, sorted by name within each. A directory that cannot be listed
/// counts as broken.
pub fn find(dirs: &[PathBuf]) -> (Vec<Folder>, Vec<BrokenConnector>) {
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
        folders.extend(paths.into_iter().filter(|path| path.join("spec.yml").exists()).map(Folder::on_disk));
    }
    (folders, broken)
}

fn unreadable(path: &Path, error: &std::io::Error) -> BrokenConnector {
    let problem = FolderProblem {
        file: "spec.yml".to_owned(),
        line: None,
        message: format!("the folder cannot be read: {error}"),
        help: "check that it exists and is readable".to_owned(),
    };
    BrokenConnector { folder: name(path), location: path.display().to_string(), problems: vec![problem] }
}

fn warn(broken: &BrokenConnector) {
    for problem in &broken.problems {
        tracing::warn!(connector = broken.folder, at = broken.location, %problem, "a connector is broken");
    }
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
        let files = Files::from([("spec.yml".to_owned(), spec.to_owned())]);
        Folder::in_memory(name, format!("/connectors/{name}"), files)
    }

    fn good(name: &str, head: &str) -> Folder {
        folder(name, &GOOD.replace("name: A\n", head))
    }

    fn keys(catalog: &Catalog) -> Vec<&str> {
        catalog.iter().map(|connector| connector.key.as_str()).collect()
    }

    /// The folders that were parsed.
    fn parsed(catalog: &Catalog) -> Vec<&str> {
        let folders = catalog.folders.iter().filter(|folder| folder.connector.get().is_some());
        folders.map(|folder| folder.name.as_str()).collect()
    }

    #[test]
    fn a_broken_folder_does_not_affect_the_others() {
        let catalog = Catalog::new([folder("a", GOOD), folder("b", "name: ["), folder("c", GOOD)]);
        assert_eq!(keys(&catalog), ["a", "c"]);
        let broken: Vec<_> = catalog.broken().collect();
        assert_eq!((broken[0].folder.as_str(), broken[0].location.as_str()), ("b", "/connectors/b"));
        assert!(catalog.get("b").is_none());
        assert_eq!((catalog.broken_folder("b"), catalog.broken_folder("a")), (Some(broken[0]), None));
    }

    #[test]
    fn a_later_folder_replaces_an_earlier_one() {
        for mine in [good("mine", "key: a\nname: Mine\n"), good("mine", "name: Mine\n\"key\": a\n")] {
            let catalog = Catalog::new([folder("a", GOOD), mine]);
            assert_eq!(catalog.get("a").unwrap().name, "Mine");
            assert_eq!(keys(&catalog), ["a"]);
            assert!(catalog.get("mine").is_none());
        }
    }

    #[test]
    fn a_broken_folder_replaces_nothing() {
        for torn in ["name: [", "key: a\nname: ["] {
            let catalog = Catalog::new([folder("a", GOOD), folder("a", torn)]);
            assert_eq!(catalog.get("a").unwrap().name, "A");
            assert_eq!(catalog.broken().count(), 1);
        }
    }

    #[test]
    fn a_lookup_parses_only_the_folder_that_states_the_key() {
        let folders =
            ["a", "b", "c"].map(|key| good(&format!("folder-{key}"), &format!("# text\nname: A\nkey: {key}\n")));
        let catalog = Catalog::new(folders);
        assert!(catalog.get("folder-b").is_none() && parsed(&catalog).is_empty());
        assert_eq!(catalog.get("b").unwrap().key, "b");
        assert_eq!(parsed(&catalog), ["folder-b"]);
        assert_eq!(keys(&catalog), ["a", "b", "c"]);
    }

    #[test]
    fn every_bundled_connector_states_its_key() {
        let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../connectors"));
        let catalog = Catalog::default().with_dirs(&[dir]);
        for folder in &catalog.folders {
            assert!(folder.may_have(&folder.name) && !folder.may_have("another"), "{}", folder.name);
        }
        assert_eq!(catalog.get("slack").unwrap().name, "Slack");
        assert_eq!(parsed(&catalog), ["slack"]);
    }

    #[test]
    fn a_key_is_read_early_only_if_it_is_unambiguous_yaml() {
        for (spec, stated) in [
            ("name: Acme (EU)\nkey: a.b-c_1  \nauth: {}", Some("a.b-c_1")),
            ("\n# key: x\nkey: a", Some("a")),
            ("name: A\nauth: {}\nkey: a", None),
            ("name: \"A\nkey: a\"\n", None),
            ("name: A\n  continued\nkey: a", None),
            ("name: >\nkey: a", None),
            ("{name: A,\nkey: a}", None),
            ("key: null", None),
            ("key: 'a'", None),
            ("key: a # b", None),
            ("key: a: b", None),
            ("name: A", None),
        ] {
            assert_eq!(stated_key(spec).as_deref(), stated, "{spec}");
        }
    }

    #[test]
    fn folders_need_a_spec_and_unreadable_ones_are_broken() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b", "a"] {
            std::fs::create_dir_all(root.path().join(name)).unwrap();
            std::fs::write(root.path().join(name).join("spec.yml"), GOOD).unwrap();
        }
        std::fs::create_dir_all(root.path().join("no-connector")).unwrap();
        let dirs = [root.path().to_owned(), root.path().join("nowhere")];
        let (folders, broken) = find(&dirs);
        assert_eq!(folders.iter().map(Folder::name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(broken[0].folder, "nowhere");
        let catalog = Catalog::default().with_dirs(&dirs);
        assert_eq!(catalog.get("a").unwrap().key, "a");
        assert_eq!((catalog.iter().count(), catalog.broken().count()), (2, 1));
    }

    #[test]
    fn a_folder_deleted_before_first_use_is_broken() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::create_dir_all(root.path().join(name)).unwrap();
            std::fs::write(root.path().join(name).join("spec.yml"), GOOD).unwrap();
        }
        let catalog = Catalog::default().with_dirs(&[root.path().to_owned()]);
        std::fs::remove_dir_all(root.path().join("b")).unwrap();
        assert_eq!(keys(&catalog), ["a"]);
        assert!(catalog.broken_folder("b").unwrap().problems[0].message.contains("cannot be read"));
    }

    #[test]
    fn many_threads_get_the_same_connector() {
        let catalog = Catalog::new([folder("a", GOOD)]);
        let connectors: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| Arc::clone(catalog.get("a").unwrap()))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(connectors.iter().all(|connector| Arc::ptr_eq(connector, &connectors[0])));
    }
}
