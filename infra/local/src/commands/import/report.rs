//! The result of each connection, and of an import as a whole.

use std::fmt;

use serde::Serialize;

use crate::terminal::{self, Table};

/// The result of one connection.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    pub(super) outcome: Outcome,
    /// The connection's origin: `PROVIDER_CONFIG_KEY/CONNECTION_ID`, or `line N`.
    pub(super) source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) integration_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connection_id: Option<String>,
    /// The reason why it was not imported, or a remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

/// How an import of a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// It would be imported, in a dry run.
    Importable,
    /// It was imported.
    Imported,
    /// It had been imported before.
    Present,
    /// It cannot be imported.
    Skipped,
    /// It was not imported, but may be the next time.
    Failed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Importable => "importable",
            Self::Imported => "imported",
            Self::Present => "present",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        })
    }
}

/// Prints results and counts them.
pub(super) struct Report {
    json: bool,
    /// The rows of a dry run, which are printed at the end.
    table: Option<Table>,
    counts: Vec<(Outcome, usize)>,
}

impl Report {
    pub(super) fn new(json: bool, is_dry_run: bool) -> Self {
        let table = Table::new(&["OUTCOME", "SOURCE", "TENANT", "INTEGRATION", "REASON"]);
        let outcomes = [Outcome::Importable, Outcome::Imported, Outcome::Present, Outcome::Skipped, Outcome::Failed];
        let counts = outcomes.map(|outcome| (outcome, 0)).into();
        Self { json, table: Some(table).filter(|_| is_dry_run && !json), counts }
    }

    /// Adds a result, and prints it unless a table is to come.
    pub(super) fn add(&mut self, item: &Item) {
        for (outcome, count) in &mut self.counts {
            *count += usize::from(*outcome == item.outcome);
        }
        let show = |text: &Option<String>| text.clone().unwrap_or_default();
        let [tenant, integration, reason] = [&item.tenant_key, &item.integration_key, &item.reason].map(show);
        if self.json {
            match serde_json::to_string(item) {
                Ok(line) => terminal::print(&line),
                Err(error) => terminal::say(&error.to_string()),
            }
        } else if let Some(table) = &mut self.table {
            table.add([&item.outcome.to_string(), &item.source, &tenant, &integration, &reason]);
        } else {
            let line = format!("{:<9} {}  {reason}", item.outcome, item.source);
            terminal::print(&terminal::clean(line.trim_end()));
        }
    }

    /// Prints the table and the numbers. Returns how many failed.
    pub(super) fn finish(&self) -> usize {
        if let Some(table) = &self.table {
            table.print();
        }
        let happened = self.counts.iter().filter(|(_, count)| *count > 0);
        let numbers: Vec<_> = happened.map(|(outcome, count)| format!("{count} {outcome}")).collect();
        let numbers = if numbers.is_empty() { "nothing to import".to_owned() } else { numbers.join(", ") };
        terminal::say(&numbers);
        self.counts.iter().filter(|(outcome, _)| *outcome == Outcome::Failed).map(|(_, count)| count).sum()
    }
}
