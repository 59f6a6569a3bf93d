//! All connectors by key, each read when it is first needed. A broken one is skipped and its problems are kept; the others
//! still work.
//!
//! # Decisions
//!
//! In a directory with an [index], a key leads to its file by name: `KEY.yml` or `KEY/spec.yml`. Nothing else is read, neither
//! the directory nor the index, so a thousand connectors cost a cold start as much as one. The index is for lists.
//!
//! A directory without an index is listed when the process starts. A preset's key is its file's name. To find a folder's
//! key, the head of its `spec.yml` is enough if the key is a plain line before anything but comments and plain strings.
//! Otherwise the folder is parsed. So the order of folders, and keys that differ from folder names, mean the same as if
//! all were read. Problems are logged when a connector is first read.
//!
//! `cargo run` watches its directories: at each look-up, it compares the names, times and sizes of their files with those of
//! the last one, and opens a directory again if they differ. The Lambda functions don't, as their files never change.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::Connector;
use super::folder::{self, FileStamps, Files, FolderProblem};
use super::index::{self, IndexEntry};
use super::preset::{FindGeneric, GenericConnector};

/// The directories of all connectors.
#[derive(Debug, Default)]
pub struct Catalog {
    directories: Vec<Source>,
}

/// Leads to a directory.
#[derive(Debug)]
enum Source {
    /// One that stays as it was opened.
    Opened(Arc<Directory>),
    /// One that is opened again after each change.
    Watched(Watched),
}

/// A folder or preset that cannot be used as a connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenConnector {
    /// The folder's name, or the preset's without its extension.
    pub folder: String,
    /// The location, for messages.
    pub location: String,
    /// The problems found.
    pub problems: Vec<FolderProblem>,
}

impl Catalog {
    /// A catalog of folders in one directory. When two have the same key, the later one wins; a broken folder replaces
    /// nothing.
    pub fn new(folders: impl IntoIterator<Item = Folder>) -> Self {
        let folders = folders.into_iter().map(Arc::new).collect();
        Self::of(Directory::Listed(folders))
    }

    /// A catalog of the files of one directory with an index. `location` is for messages.
    pub fn in_memory(location: &str, files: Files) -> Self {
        Self::of(Directory::indexed(Root::Memory(location.to_owned(), files)))
    }

    fn of(directory: Directory) -> Self {
        Self { directories: vec![Source::Opened(Arc::new(directory))] }
    }

    /// Adds directories, whose connectors replace those with the same keys in earlier ones.
    #[must_use]
    pub fn with_dirs(mut self, dirs: &[PathBuf]) -> Self {
        self.directories.extend(dirs.iter().map(|dir| Source::Opened(Arc::new(Directory::open(dir)))));
        self
    }

    /// Adds directories as [`Self::with_dirs`] does. Their files may change later.
    #[must_use]
    pub fn watching(mut self, dirs: &[PathBuf]) -> Self {
        self.directories.extend(dirs.iter().map(|dir| Source::Watched(Watched::new(dir.clone()))));
        self
    }

    fn directories(&self) -> Vec<Arc<Directory>> {
        let opened = |source: &Source| match source {
            Source::Opened(directory) => Arc::clone(directory),
            Source::Watched(watched) => watched.current(),
        };
        self.directories.iter().map(opened).collect()
    }

    /// The connector with this key.
    pub fn get(&self, key: &str) -> Option<Arc<Connector>> {
        let directories = self.directories();
        (0..directories.len()).rev().find_map(|at| {
            let connectors = directories[at].candidates(key).into_iter();
            let mut connectors = connectors.filter_map(|folder| connector(&directories[..=at], &folder).ok().cloned());
            connectors.find(|connector| connector.key == key)
        })
    }

    /// All connectors, ordered by key, without the files of indexed directories being read.
    pub fn entries(&self) -> Vec<IndexEntry> {
        let mut by_key = BTreeMap::new();
        let directories = self.directories();
        for (at, directory) in directories.iter().enumerate() {
            let found: Vec<IndexEntry> = match &**directory {
                Directory::Listed(folders) => {
                    let entry = |folder: &Arc<Folder>| {
                        let connector = connector(&directories[..=at], folder).ok()?;
                        Some(IndexEntry::of(connector, &folder.file()))
                    };
                    folders.iter().filter_map(entry).collect()
                }
                Directory::Unlisted(_) => Vec::new(),
                Directory::Indexed(directory) => directory.index().as_ref().cloned().unwrap_or_default(),
            };
            by_key.extend(found.into_iter().map(|entry| (entry.key.clone(), entry)));
        }
        by_key.into_values().collect()
    }

    /// The connectors that cannot be used: all of directories without an index, which are read for this, and those of
    /// others that were read before.
    pub fn broken(&self) -> Vec<BrokenConnector> {
        let mut broken = Vec::new();
        let directories = self.directories();
        for (at, directory) in directories.iter().enumerate() {
            let folders = match &**directory {
                Directory::Listed(folders) => folders.clone(),
                Directory::Unlisted(unlisted) => {
                    broken.push(unlisted.clone());
                    continue;
                }
                Directory::Indexed(directory) => {
                    broken.extend(directory.index().as_ref().err().cloned());
                    // Some were opened only because a preset extends them.
                    directory.opened().into_iter().filter(|folder| folder.is_read()).collect()
                }
            };
            broken.extend(folders.iter().filter_map(|folder| connector(&directories[..=at], folder).err().cloned()));
        }
        broken
    }

    /// The problems of the folder or preset with this name, if it is broken.
    pub fn broken_folder(&self, name: &str) -> Option<BrokenConnector> {
        let directories = self.directories();
        directories.iter().enumerate().find_map(|(at, directory)| {
            let folders = match &**directory {
                Directory::Listed(folders) => folders.iter().filter(|folder| folder.name == name).cloned().collect(),
                Directory::Indexed(_) | Directory::Unlisted(_) => directory.candidates(name),
            };
            folders.iter().find_map(|folder| connector(&directories[..=at], folder).err().cloned())
        })
    }

    /// The generic connector with this key that presets of the last directory extend.
    ///
    /// # Errors
    /// When there is none, or it cannot be extended.
    pub fn generic_connector(&self, key: &str) -> Result<Arc<GenericConnector>, String> {
        generic(&self.directories(), key)
    }
}

/// The generic connector with this key that presets of the last of these directories extend: of it, or of an earlier one.
///
/// # Errors
/// When there is none, or it cannot be extended.
fn generic(directories: &[Arc<Directory>], key: &str) -> Result<Arc<GenericConnector>, String> {
    let folders = directories.iter().rev().flat_map(|directory| directory.candidates(key));
    let mut folders = folders.filter(|folder| !folder.is_preset() && folder.name == key);
    let folder = folders.next().ok_or_else(|| format!("there is no generic connector `{key}`"))?;
    folder.generic()
}

/// The connector of a folder in the last of these directories.
fn connector<'a>(
    directories: &[Arc<Directory>],
    folder: &'a Folder,
) -> Result<&'a Arc<Connector>, &'a BrokenConnector> {
    folder.connector(&|key| generic(directories, key))
}

/// A directory whose files may change.
#[derive(Debug)]
struct Watched {
    dir: PathBuf,
    current: RwLock<(FileStamps, Arc<Directory>)>,
}

impl Watched {
    fn new(dir: PathBuf) -> Self {
        let current = RwLock::new((folder::stamps(&dir), Arc::new(Directory::open(&dir))));
        Self { dir, current }
    }

    fn current(&self) -> Arc<Directory> {
        let stamps = folder::stamps(&self.dir);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.0 != stamps {
            *current = (stamps, Arc::new(Directory::open(&self.dir)));
        }
        Arc::clone(&current.1)
    }
}

/// A directory of connectors.
#[derive(Debug)]
enum Directory {
    /// One that was listed.
    Listed(Vec<Arc<Folder>>),
    /// One with an index.
    Indexed(IndexedDirectory),
    /// One that cannot be listed.
    Unlisted(BrokenConnector),
}

/// A directory with an index, whose connectors are found by their names.
#[derive(Debug)]
struct IndexedDirectory {
    root: Root,
    index: OnceLock<Result<Vec<IndexEntry>, BrokenConnector>>,
    opened: RwLock<BTreeMap<String, Arc<Folder>>>,
}

#[derive(Debug)]
enum Root {
    /// The location, for messages, and all files.
    Memory(String, Files),
    Disk(PathBuf),
}

impl Directory {
    fn open(dir: &Path) -> Self {
        if dir.join(index::FILE).exists() {
            return Self::indexed(Root::Disk(dir.to_owned()));
        }
        match list(dir) {
            Ok(folders) => Self::Listed(folders.into_iter().map(Arc::new).collect()),
            Err(broken) => {
                warn(&broken);
                Self::Unlisted(broken)
            }
        }
    }

    fn indexed(root: Root) -> Self {
        Self::Indexed(IndexedDirectory { root, index: OnceLock::new(), opened: RwLock::default() })
    }

    /// The folders and presets that may have this key, the one that wins first.
    fn candidates(&self, key: &str) -> Vec<Arc<Folder>> {
        match self {
            Self::Listed(folders) => folders.iter().rev().filter(|folder| folder.may_have(key)).cloned().collect(),
            Self::Indexed(directory) => directory.open(key).into_iter().collect(),
            Self::Unlisted(_) => Vec::new(),
        }
    }
}

impl IndexedDirectory {
    /// The connector named after this key, unread.
    fn open(&self, key: &str) -> Option<Arc<Folder>> {
        if !folder::is_key(key) {
            return None;
        }
        if let Some(folder) = self.opened.read().ok()?.get(key) {
            return Some(Arc::clone(folder));
        }
        let folder = Arc::new(self.root.folder(key)?);
        let mut opened = self.opened.write().ok()?;
        Some(Arc::clone(opened.entry(key.to_owned()).or_insert(folder)))
    }

    fn opened(&self) -> Vec<Arc<Folder>> {
        self.opened.read().map(|opened| opened.values().cloned().collect()).unwrap_or_default()
    }

    fn index(&self) -> &Result<Vec<IndexEntry>, BrokenConnector> {
        self.index.get_or_init(|| self.root.index().inspect_err(warn))
    }
}

impl Root {
    fn folder(&self, key: &str) -> Option<Folder> {
        let preset = format!("{key}.yml");
        match self {
            Self::Memory(location, files) => {
                if let Some(text) = files.get(&preset) {
                    return Some(Folder::preset_in_memory(key, format!("{location} {preset}"), text));
                }
                let inside = format!("{key}/");
                let files = files.range(inside.clone()..).take_while(|(path, _)| path.starts_with(&inside));
                let files: Files = files.map(|(path, text)| (path[inside.len()..].to_owned(), text.clone())).collect();
                (!files.is_empty()).then(|| Folder::in_memory(key, format!("{location} {key}"), files))
            }
            Self::Disk(dir) => {
                let paths = [dir.join(preset), dir.join(key)];
                let [preset, folder] = paths;
                if preset.is_file() {
                    return Some(Folder::on_disk(preset));
                }
                folder.join("spec.yml").is_file().then(|| Folder::on_disk(folder))
            }
        }
    }

    fn index(&self) -> Result<Vec<IndexEntry>, BrokenConnector> {
        let (location, text) = match self {
            Self::Memory(location, files) => (PathBuf::from(location), Ok(files.get(index::FILE).cloned())),
            Self::Disk(dir) => (dir.clone(), std::fs::read_to_string(dir.join(index::FILE)).map(Some)),
        };
        text.and_then(|text| index::read(&text.unwrap_or_default())).map_err(|error| {
            let problem = FolderProblem {
                file: index::FILE.to_owned(),
                line: None,
                message: format!("the index cannot be read: {error}"),
                help: format!("make it again with `larder check {} --write-index`", location.display()),
            };
            BrokenConnector {
                folder: name(&location),
                location: location.display().to_string(),
                problems: vec![problem],
            }
        })
    }
}

/// A folder with a `spec.yml`, or a preset. Its files are read once, when the connector is first needed.
#[derive(Debug)]
pub struct Folder {
    name: String,
    location: String,
    source: FolderSource,
    stated_key: OnceLock<Option<String>>,
    connector: OnceLock<Result<Arc<Connector>, BrokenConnector>>,
    generic: OnceLock<Result<Arc<GenericConnector>, String>>,
}

#[derive(Debug)]
enum FolderSource {
    Memory(Files),
    Disk(PathBuf),
    /// A preset, in memory or on disk.
    Preset(PresetSource),
    /// A preset whose folder has the same key, which is an error.
    Rivaled,
}

#[derive(Debug)]
enum PresetSource {
    Memory(String),
    Disk(PathBuf),
}

impl Folder {
    /// A folder whose files are in memory. `location` is for messages.
    pub fn in_memory(name: impl Into<String>, location: impl Into<String>, files: Files) -> Self {
        Self::new(name.into(), location.into(), FolderSource::Memory(files))
    }

    /// A preset in memory.
    pub fn preset_in_memory(key: &str, location: impl Into<String>, text: &str) -> Self {
        let source = FolderSource::Preset(PresetSource::Memory(text.to_owned()));
        Self::new(key.to_owned(), location.into(), source)
    }

    /// A folder on disk, or a preset if the path leads to a file.
    pub fn on_disk(path: PathBuf) -> Self {
        let location = path.display().to_string();
        if path.is_file() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            return Self::new(name, location, FolderSource::Preset(PresetSource::Disk(path)));
        }
        Self::new(name(&path), location, FolderSource::Disk(path))
    }

    fn new(name: String, location: String, source: FolderSource) -> Self {
        let (stated_key, connector, generic) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { name, location, source, stated_key, connector, generic }
    }

    /// The name, which is the connector's key unless the `spec.yml` of a folder has another.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The location, for messages.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Whether it is a preset.
    pub fn is_preset(&self) -> bool {
        matches!(self.source, FolderSource::Preset(_) | FolderSource::Rivaled)
    }

    /// The file or folder in its directory.
    pub fn file(&self) -> String {
        if self.is_preset() { format!("{}.yml", self.name) } else { self.name.clone() }
    }

    /// The current files: those of the folder, or the preset alone.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn files(&self) -> Result<Cow<'_, Files>, BrokenConnector> {
        match &self.source {
            FolderSource::Memory(files) => Ok(Cow::Borrowed(files)),
            FolderSource::Disk(path) => folder::read(path).map(Cow::Owned).map_err(|error| unreadable(path, &error)),
            FolderSource::Preset(preset) => {
                let text = match preset {
                    PresetSource::Memory(text) => text.clone(),
                    PresetSource::Disk(path) => preset_text(path).map_err(|error| unreadable(path, &error))?,
                };
                Ok(Cow::Owned(Files::from([(self.file(), text)])))
            }
            FolderSource::Rivaled => {
                let message = format!("the folder `{}` has the same key", self.name);
                Err(self.broken(vec![self.problem(None, message, "remove one of them")]))
            }
        }
    }

    /// Parses the connector from its current files.
    ///
    /// # Errors
    /// Everything that keeps it from being used.
    pub fn parse(&self, find: FindGeneric<'_>) -> Result<Connector, BrokenConnector> {
        let files = self.files()?;
        if !self.is_preset() {
            return folder::parse(&self.name, &files).map_err(|problems| self.broken(problems));
        }
        let file = self.file();
        let text = files.get(&file).map(String::as_str).unwrap_or_default();
        folder::parse_preset(&self.name, &file, text, find).map_err(|problems| self.broken(problems))
    }

    /// This folder as a connector that presets extend.
    fn generic(&self) -> Result<Arc<GenericConnector>, String> {
        let read = || {
            let files = self.files().map_err(|_| format!("`{}` cannot be read", self.name))?;
            GenericConnector::read(&self.name, &files).map(Arc::new)
        };
        self.generic.get_or_init(read).clone()
    }

    fn connector(&self, find: FindGeneric<'_>) -> Result<&Arc<Connector>, &BrokenConnector> {
        let read = || self.parse(find).map(Arc::new).inspect_err(warn);
        self.connector.get_or_init(read).as_ref()
    }

    fn is_read(&self) -> bool {
        self.connector.get().is_some()
    }

    /// Whether the connector can have this key. `false` is certain, and takes at most a look at `spec.yml`.
    fn may_have(&self, key: &str) -> bool {
        if let Some(read) = self.connector.get() {
            return read.as_ref().is_ok_and(|connector| connector.key == key);
        }
        let stated = self.stated_key.get_or_init(|| match &self.source {
            FolderSource::Memory(files) => stated_key(files.get("spec.yml")?),
            FolderSource::Disk(path) => stated_key(&folder::read_file(&path.join("spec.yml")).ok()??),
            FolderSource::Preset(_) | FolderSource::Rivaled => Some(self.name.clone()),
        });
        stated.as_ref().is_none_or(|stated| stated == key)
    }

    fn broken(&self, problems: Vec<FolderProblem>) -> BrokenConnector {
        BrokenConnector { folder: self.name.clone(), location: self.location.clone(), problems }
    }

    fn problem(&self, line: Option<u64>, message: String, help: &str) -> FolderProblem {
        FolderProblem { file: self.file(), line, message, help: help.to_owned() }
    }
}

fn preset_text(path: &Path) -> std::io::Result<String> {
    let skipped = || std::io::Error::other("it is too large, or not UTF-8");
    folder::read_file(path)?.ok_or_else(skipped)
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

/// Lists the connectors in a directory, sorted by name: its folders with a `spec.yml`, and its `.yml` files, which are
/// presets. A preset beside a folder of the same name is broken.
///
/// # Errors
/// When the directory cannot be listed.
pub fn list(dir: &Path) -> Result<Vec<Folder>, BrokenConnector> {
    let entries = std::fs::read_dir(dir).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(|error| unreadable(dir, &error))?;
    let mut paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
    paths.sort();
    let is_hidden = |path: &Path| name(path).starts_with('.');
    let is_preset = |path: &PathBuf| path.extension().is_some_and(|it| it == "yml") && !is_hidden(path);
    let (presets, others): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| is_preset(path) && path.is_file());
    let mut folders: Vec<Folder> =
        others.into_iter().filter(|path| path.join("spec.yml").exists()).map(Folder::on_disk).collect();
    for path in presets {
        let mut preset = Folder::on_disk(path);
        if folders.iter().any(|folder| folder.name == preset.name && !folder.is_preset()) {
            preset.source = FolderSource::Rivaled;
        }
        folders.push(preset);
    }
    Ok(folders)
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

    fn keys(catalog: &Catalog) -> Vec<String> {
        catalog.entries().into_iter().map(|entry| entry.key).collect()
    }

    /// The folders that were parsed.
    fn parsed(catalog: &Catalog) -> Vec<String> {
        let directories = catalog.directories();
        let folders = directories.iter().flat_map(|directory| match &**directory {
            Directory::Listed(folders) => folders.clone(),
            Directory::Indexed(directory) => directory.opened(),
            Directory::Unlisted(_) => Vec::new(),
        });
        folders.filter(|folder| folder.connector.get().is_some()).map(|folder| folder.name.clone()).collect()
    }

    #[test]
    fn a_broken_folder_does_not_affect_the_others() {
        let catalog = Catalog::new([folder("a", GOOD), folder("b", "name: ["), folder("c", GOOD)]);
        assert_eq!(keys(&catalog), ["a", "c"]);
        let broken = catalog.broken();
        assert_eq!((broken[0].folder.as_str(), broken[0].location.as_str()), ("b", "/connectors/b"));
        assert!(catalog.get("b").is_none());
        assert_eq!((catalog.broken_folder("b"), catalog.broken_folder("a")), (Some(broken[0].clone()), None));
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
            assert_eq!(catalog.broken().len(), 1);
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
    fn a_watched_directory_is_opened_again_after_changes() {
        let root = tempfile::tempdir().expect("a folder");
        let dir = [root.path().to_owned()];
        let (fixed, watched) = (Catalog::default().with_dirs(&dir), Catalog::default().watching(&dir));
        let spec = root.path().join("a/spec.yml");
        let write = |text: &str| std::fs::write(&spec, text).expect("is written");
        let name = || watched.get("a").map(|connector| connector.name.clone());
        assert_eq!(name(), None);
        std::fs::create_dir(root.path().join("a")).expect("is created");
        for name in ["One", "Another"] {
            write(&format!("name: {name}\nauth: {{type: membrane-token, makeApiClient: {{mapping: {{}}}}}}\n"));
            assert_eq!(watched.get("a").map(|connector| connector.name.clone()).as_deref(), Some(name));
        }
        assert!(Arc::ptr_eq(&watched.get("a").unwrap(), &watched.get("a").unwrap()));
        write("name: [");
        assert_eq!((name(), watched.broken().len()), (None, 1));
        std::fs::remove_dir_all(root.path().join("a")).expect("is removed");
        assert!(watched.broken().is_empty() && fixed.get("a").is_none());
    }

    #[test]
    fn every_bundled_connector_states_its_key() {
        let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../connectors"));
        for folder in list(&dir).expect("is listed") {
            assert!(folder.may_have(&folder.name) && !folder.may_have("another"), "{}", folder.name);
        }
        let catalog = Catalog::default().with_dirs(&[dir]);
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
        let folders = list(&dirs[0]).expect("is listed");
        assert_eq!(folders.iter().map(Folder::name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(list(&dirs[1]).expect_err("does not exist").folder, "nowhere");
        let catalog = Catalog::default().with_dirs(&dirs);
        assert_eq!(catalog.get("a").unwrap().key, "a");
        assert_eq!((keys(&catalog).len(), catalog.broken().len()), (2, 1));
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
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| catalog.get("a").unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(connectors.iter().all(|connector| Arc::ptr_eq(connector, &connectors[0])));
    }

    const GENERIC: &str = "name: Key\nkey: generic\nparametersSchema:\n  properties:\n    testUri: {type: string}\n    name: {}\n  \
                           required: [testUri]\nauth:\n  type: client-credentials\n  makeApiClient: {}\npresets: {}\n";

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn with_generic(root: &Path) {
        write(root, "generic/spec.yml", GENERIC);
        write(root, "generic/auth/make-api-client.map.yml", "baseUri: {$var: connectorParameters.testUri}\n");
    }

    const PRESET: &str = "extends: generic\nname: Acme\nbaseUri: https://acme.example\ntest: none\n";

    #[test]
    fn presets_are_found_by_their_file_names() {
        let root = tempfile::tempdir().unwrap();
        with_generic(root.path());
        write(root.path(), "acme.yml", PRESET);
        let catalog = Catalog::default().with_dirs(&[root.path().to_owned()]);
        assert_eq!(catalog.get("acme").unwrap().name, "Acme");
        assert_eq!(parsed(&catalog), ["acme"]);
        assert_eq!(keys(&catalog), ["acme", "generic"]);
        assert_eq!(catalog.entries()[0].file, "acme.yml");
    }

    #[test]
    fn an_indexed_directory_is_neither_listed_nor_read() {
        let root = tempfile::tempdir().unwrap();
        with_generic(root.path());
        write(root.path(), "acme.yml", PRESET);
        let found = Catalog::default().with_dirs(&[root.path().to_owned()]).entries();
        write(root.path(), "index.json", &index::write(&found));
        write(root.path(), "torn.yml", "extends: [");
        let catalog = Catalog::default().with_dirs(&[root.path().to_owned()]);
        assert_eq!(catalog.entries(), found);
        assert_eq!(parsed(&catalog), [""; 0]);
        assert_eq!((catalog.get("acme").unwrap().key.as_str(), catalog.broken().len()), ("acme", 0));
        assert_eq!(parsed(&catalog), ["acme"]);
        assert!(["../acme", "..", ".", "", "acme.yml", "acme/"].iter().all(|key| catalog.get(key).is_none()));
        assert!(catalog.get("torn").is_none());
        assert_eq!(catalog.broken_folder("torn").unwrap().problems[0].file, "torn.yml");
    }

    #[test]
    fn an_unreadable_index_is_reported_and_keys_still_work() {
        let root = tempfile::tempdir().unwrap();
        with_generic(root.path());
        write(root.path(), "index.json", "{");
        let catalog = Catalog::default().with_dirs(&[root.path().to_owned()]);
        assert!(catalog.get("generic").is_some() && catalog.entries().is_empty());
        assert_eq!(catalog.broken()[0].problems[0].file, "index.json");
    }

    #[test]
    fn a_folder_and_a_preset_of_one_key_are_an_error() {
        let root = tempfile::tempdir().unwrap();
        with_generic(root.path());
        write(root.path(), "generic.yml", PRESET);
        let catalog = Catalog::default().with_dirs(&[root.path().to_owned()]);
        let broken = catalog.broken();
        assert!(broken[0].problems[0].message.contains("same key"), "{broken:?}");
    }

    #[test]
    fn a_later_directory_replaces_keys_but_not_what_earlier_presets_extend() {
        let roots = [(); 2].map(|()| tempfile::tempdir().unwrap());
        for root in &roots {
            with_generic(root.path());
        }
        write(roots[0].path(), "acme.yml", PRESET);
        write(roots[0].path(), "other.yml", PRESET);
        write(roots[1].path(), "acme.yml", &PRESET.replace("Acme", "Mine"));
        let theirs = "baseUri: https://other.example\n";
        write(roots[1].path(), "generic/auth/make-api-client.map.yml", theirs);
        let catalog = Catalog::default().with_dirs(&roots.each_ref().map(|root| root.path().to_owned()));
        assert_eq!(catalog.get("acme").unwrap().name, "Mine");
        let client = |key: &str| {
            let connector = catalog.get(key).unwrap();
            let function = connector.options[0].function(crate::connector::FunctionName::MakeApiClient).cloned();
            let Some(crate::connector::Function::Mapping(mapping)) = function else { panic!("{key}") };
            mapping.evaluate(&serde_json::json!({})).unwrap()["baseUri"].clone()
        };
        assert_eq!((client("other"), client("acme")), ("https://acme.example".into(), "https://other.example".into()));
    }

    #[test]
    fn only_generic_connectors_can_be_extended() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "plain/spec.yml", GOOD);
        for (key, extends, message) in [
            ("a", "extends: plain\n", "`plain` is not a generic connector"),
            ("b", "extends: nothing\n", "there is no generic connector `nothing`"),
            ("c", "name: C\n", "`extends` is missing"),
            ("d", "- 1\n", "must contain an object"),
        ] {
            write(root.path(), &format!("{key}.yml"), extends);
            let catalog = Catalog::default().with_dirs(&[root.path().to_owned()]);
            let broken = catalog.broken_folder(key).unwrap();
            assert!(broken.problems[0].message.contains(message), "{broken:?}");
        }
    }
}
