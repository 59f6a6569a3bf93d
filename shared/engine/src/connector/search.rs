//! Finds connectors by the words that people type.

use super::index::IndexEntry;
use super::spelling;

/// Shorter words are found only at the start of a word: "sap" is not in "snapchat app".
const PART: usize = 4;

/// The most connectors that are suggested.
const SUGGESTIONS: usize = 5;

/// How well a connector fits a search; better ones are less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The search is the key, the name or an alias.
    #[default]
    Name,
    /// It is a category.
    Category,
    /// The key, the name or an alias starts with it.
    Start,
    /// Each word starts one in the names or categories, in any order.
    Words,
    /// The key, the name or an alias contains it.
    Part,
}

impl Rank {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Name, Self::Category, Self::Start, Self::Words, Self::Part];
}

/// The text of a search. Case, spaces and punctuation don't matter: "git hub", "Git-Hub" and "github" are the same.
#[derive(Debug)]
pub struct Search {
    joined: String,
    words: Vec<String>,
}

impl Search {
    /// Reads a search.
    pub fn new(text: &str) -> Self {
        Self { joined: joined(text), words: words(text).collect() }
    }

    /// How well a connector fits; `None` if it doesn't.
    pub fn rank(&self, entry: &IndexEntry) -> Option<Rank> {
        if self.joined.is_empty() {
            return None;
        }
        let names: Vec<String> = names(entry).map(joined).collect();
        let has = |is_fit: &dyn Fn(&String) -> bool| names.iter().any(is_fit);
        let starts_a_word = |word: &String| {
            let mut known = names_and_categories(entry).flat_map(words);
            known.any(|known| known.starts_with(word.as_str()))
        };
        if has(&|name| *name == self.joined) {
            Some(Rank::Name)
        } else if entry.categories.iter().any(|category| joined(category) == self.joined) {
            Some(Rank::Category)
        } else if has(&|name| name.starts_with(&self.joined)) {
            Some(Rank::Start)
        } else if self.words.iter().all(starts_a_word) {
            Some(Rank::Words)
        } else {
            let is_long = self.joined.chars().count() >= PART;
            (is_long && has(&|name| name.contains(&self.joined))).then_some(Rank::Part)
        }
    }

    /// The connectors with the most similar names, for a search that finds nothing.
    pub fn nearest<'a>(&self, entries: impl IntoIterator<Item = &'a IndexEntry>) -> Vec<&'a IndexEntry> {
        let distance = |entry: &'a IndexEntry| {
            let long_words = names(entry).flat_map(words).filter(|word| word.chars().count() >= PART);
            let known = names(entry).map(joined).chain(long_words);
            Some((known.filter_map(|known| spelling::distance(&self.joined, &known)).min()?, entry))
        };
        let mut near: Vec<_> = entries.into_iter().filter_map(distance).collect();
        near.sort_by_key(|(distance, _)| *distance);
        near.into_iter().map(|(_, entry)| entry).take(SUGGESTIONS).collect()
    }
}

/// Whether two words differ only in case and punctuation.
pub fn is_same(one: &str, other: &str) -> bool {
    joined(one) == joined(other)
}

fn names(entry: &IndexEntry) -> impl Iterator<Item = &str> {
    [&entry.key, &entry.name].into_iter().chain(&entry.aliases).map(String::as_str)
}

fn names_and_categories(entry: &IndexEntry) -> impl Iterator<Item = &str> {
    names(entry).chain(entry.categories.iter().map(String::as_str))
}

/// The letters and digits, in lower case.
fn joined(text: &str) -> String {
    text.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(key: &str, name: &str, aliases: &[&str], category: &str) -> IndexEntry {
        let entry = json!({"key": key, "name": name, "aliases": aliases, "categories": [category], "type": "oauth2",
                           "file": format!("{key}.yml")});
        serde_json::from_value(entry).expect("it is one")
    }

    fn catalog() -> Vec<IndexEntry> {
        vec![
            entry("bigmailer", "BigMailer", &[], "marketing"),
            entry("crm-in-cloud", "CRM in Cloud", &[], "sales"),
            entry("github", "GitHub", &[], "dev"),
            entry("google", "Google", &["Google Calendar", "Gmail"], "productivity"),
            entry("hubspot", "HubSpot", &[], "crm"),
            entry("hugging-face", "Hugging Face", &[], "ai"),
            entry("newsapi", "News API", &[], "media"),
            entry("readwise", "Readwise", &[], "media"),
            entry("slack", "Slack", &[], "messaging"),
            entry("wise", "Wise", &["TransferWise"], "payments"),
            entry("x", "X", &["Twitter"], "social"),
            entry("xero", "Xero", &[], "accounting"),
        ]
    }

    fn found(text: &str) -> Vec<String> {
        let (search, catalog) = (Search::new(text), catalog());
        let mut found: Vec<_> = catalog.iter().filter_map(|entry| Some((search.rank(entry)?, &entry.key))).collect();
        found.sort();
        found.into_iter().map(|(_, key)| key.clone()).collect()
    }

    #[test]
    fn the_best_match_comes_first() {
        for (text, expected) in [
            ("git hub", vec!["github"]),
            ("Git-Hub", vec!["github"]),
            ("huggingface", vec!["hugging-face"]),
            ("hugging.face", vec!["hugging-face"]),
            ("calendar google", vec!["google"]),
            ("gmail", vec!["google", "bigmailer"]),
            ("x", vec!["x", "xero"]),
            ("wise", vec!["wise", "readwise"]),
            ("crm", vec!["hubspot", "crm-in-cloud"]),
            ("sap", vec![]),
            ("spot", vec!["hubspot"]),
            ("api", vec!["newsapi"]),
            ("slak", vec![]),
            ("&", vec![]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn typos_have_suggestions() {
        let catalog = catalog();
        for (text, expected) in [
            ("goggle", vec!["google"]),
            ("slak", vec!["slack"]),
            ("hubspott", vec!["hubspot"]),
            ("calender", vec!["google"]),
            ("twiter", vec!["x"]),
            ("entirely different", vec![]),
        ] {
            let near = Search::new(text).nearest(&catalog);
            assert_eq!(near.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), expected, "{text}");
        }
    }
}
