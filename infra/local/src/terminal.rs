//! Output of the commands, and questions to the person who runs them.
//!
//! Names and messages come from other people, so characters that would control the terminal are replaced.

use std::io::{self, BufRead, IsTerminal as _, Write as _};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Prints lines to stdout. It does not matter if nobody reads them any more, as in `larder connections ls | head`.
pub fn print(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}

/// Prints lines for the person who runs the command to stderr, apart from its result.
pub fn say(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// Asks a question that only `y` or `yes` affirms. Without a terminal there is nobody to ask: `None`.
pub fn confirm(question: &str) -> Option<bool> {
    io::stdin().is_terminal().then(|| {
        drop(write!(io::stderr(), "{question} [y/N] "));
        affirms(io::stdin().lock())
    })
}

fn affirms(mut input: impl BufRead) -> bool {
    let mut answer = String::new();
    input.read_line(&mut answer).is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

/// Replaces control characters, and those that change the direction of writing.
pub fn clean(text: &str) -> String {
    let is_harmful = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// A table with aligned columns.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Columns are not made narrower than this.
    const MIN_WIDTH: usize = 6;
    const GAP: &str = "  ";

    /// Creates a table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Creates a table without headings.
    pub fn untitled() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a row with as many cells as the others.
    pub fn add<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.map(clean).into());
    }

    /// Prints the table to stdout. If that is a terminal, long cells are cut so that each row fits into a line.
    pub fn print(&self) {
        let width = io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
        print(&self.to_text(width.map(|(terminal_size::Width(columns), _)| columns.into())));
    }

    /// Returns the table, at most `width` characters wide if possible.
    pub fn to_text(&self, width: Option<usize>) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.width().max(*width);
            }
        }
        let gaps = widths.len().saturating_sub(1) * Self::GAP.len();
        while width.is_some_and(|width| widths.iter().sum::<usize>() + gaps > width) {
            match widths.iter_mut().max() {
                Some(widest) if *widest > Self::MIN_WIDTH => *widest -= 1,
                _ => break,
            }
        }
        let line = |row: &Vec<String>| {
            let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width)).collect();
            cells.join(Self::GAP).trim_end().to_owned()
        };
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn padded(cell: &str, width: usize) -> String {
    if cell.width() <= width {
        return format!("{cell}{}", " ".repeat(width - cell.width()));
    }
    let mut cut = String::new();
    for c in cell.chars() {
        if cut.width() + c.width().unwrap_or(0) >= width {
            break;
        }
        cut.push(c);
    }
    let filling = " ".repeat(width.saturating_sub(cut.width() + 1));
    format!("{cut}…{filling}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "INTEGRATION", "STATE"]);
        table.add(["The shop of our friends", "shop", "READY"]);
        table.add(["日本語", "crm", "READY"]);
        table
    }

    #[test]
    fn columns_are_aligned_by_the_width_of_their_characters() {
        let expected = "NAME                     INTEGRATION  STATE\n\
                        The shop of our friends  shop         READY\n\
                        日本語                   crm          READY";
        assert_eq!(table().to_text(None), expected);
    }

    #[test]
    fn the_widest_columns_are_cut_to_fit_the_terminal() {
        let expected = "NAME        INTEGRAT…  STATE\n\
                        The shop …  shop       READY\n\
                        日本語      crm        READY";
        let text = table().to_text(Some(28));
        assert_eq!(text, expected);
        assert!(text.lines().all(|line| line.width() <= 28));
        assert!(table().to_text(Some(1)).contains("The s…"), "columns keep six characters");
    }

    #[test]
    fn names_cannot_control_the_terminal() {
        let mut table = Table::untitled();
        table.add(["\u{1b}[2Jgone\n\u{202e}", "x"]);
        assert_eq!(table.to_text(None), "\u{fffd}[2Jgone\u{fffd}\u{fffd}  x");
    }

    #[test]
    fn only_yes_affirms() {
        for (answer, expected) in [("y\n", true), ("YES\n", true), ("\n", false), ("", false), ("yeah\n", false)] {
            assert_eq!(affirms(answer.as_bytes()), expected, "{answer:?}");
        }
    }
}
