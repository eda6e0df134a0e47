//! The privacy rules in the file. One is added or taken out alone: everything else stays byte for byte, comments and
//! rules that cannot be read among it.
//!
//! A rule is known by all that it says, not by its place or id: the file may have been changed by hand since somebody
//! saw it, and two rules may have been given one id there.

use super::change::change;
use super::file::{ConfigError, Reading, document, find, section, syntax, text};
use heyho_records::rules::{Action, Match, Rule, cannot_match};
use std::ops::Range;
use std::path::Path;
use toml_edit::{Document, DocumentMut, InlineTable, Item, Table, TableLike, Value};

/// The privacy rules alone, also where other settings are mistaken: rules must not stop for a typing error
/// somewhere else. An error here means that nothing may be stored.
pub fn rules(path: &Path) -> Result<Vec<Rule>, ConfigError> {
    let file = path.display().to_string();
    let document = document(&text(path)?, &file)?;
    match read_rules(&document, &file) {
        (rules, None) => Ok(rules),
        (_, Some(mistake)) => Err(mistake),
    }
}

/// One more rule, behind what stands in the file.
pub fn add_rule(path: &Path, rule: &Rule) -> Result<Reading, ConfigError> {
    let file = path.display().to_string();
    let bad = |value: &str, accepted: &str| bad(&file, value.to_owned(), accepted);
    if rule.id.is_empty() || rule.pattern.trim().is_empty() {
        return Err(bad("a rule without id or pattern", "an id, and a pattern such as *.bank.example"));
    }
    if let Some(accepted) = cannot_match(rule) {
        return Err(ConfigError::FitsNothing { pattern: rule.pattern.clone(), accepted });
    }
    change(path, |text, _| {
        let document = parse(text, &file)?;
        let entries = entries(&document).unwrap_or_default();
        if entries.iter().any(|entry| entry.text("id") == Some(&rule.id)) {
            return Err(bad(&rule.id, "an id of its own for each rule"));
        }
        let inline = match find(&document, "privacy.rules") {
            Some(Item::Value(Value::Array(array))) => {
                let last = array.iter().last();
                let at =
                    last.map_or_else(|| array.span().map(|it| it.start + 1), |it| it.span().map(|it| it.end));
                at.map(|at| (at, if last.is_some() { ", " } else { "" }))
            }
            Some(Item::ArrayOfTables(_)) | None => None,
            Some(other) => return Err(bad(&format!("({})", other.type_name()), ACCEPTED)),
        };
        Ok(match inline {
            Some((at, comma)) => format!("{}{comma}{}{}", &text[..at], inline_table(rule), &text[at..]),
            None => {
                let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
                let gap = if text.trim().is_empty() { "" } else { "\n" };
                format!("{text}{end}{gap}[[privacy.rules]]\n{}", table(rule))
            }
        })
    })
}

/// The rule that says exactly this. Its own lines go, with what is noted in them; comments above and behind it stay.
pub fn remove_rule(path: &Path, rule: &Rule) -> Result<Reading, ConfigError> {
    let file = path.display().to_string();
    change(path, |text, _| {
        let document = parse(text, &file)?;
        let entries = entries(&document).unwrap_or_default();
        let Some(entry) = entries.iter().find(|entry| entry.rule().as_ref() == Some(rule)) else {
            let pattern = rule.pattern.clone();
            return Err(ConfigError::RuleChanged { file: file.clone(), pattern });
        };
        entry.cut(text).ok_or_else(|| {
            bad(&file, entry.said(), "a rule with no table of its own in it; take it out of the file by hand")
        })
    })
}

const ACCEPTED: &str = "[[privacy.rules]] tables, each with id, match = \"host\" or \"url\", pattern, and action = \"drop\" or \"strip\"";

fn bad(file: &str, value: String, accepted: &str) -> ConfigError {
    let (key, accepted) = ("privacy.rules".to_owned(), accepted.to_owned());
    ConfigError::BadValue { file: file.to_owned(), key, value, accepted }
}

/// Those that can be read, and the first mistake. With a mistake they are to be shown, not to be gone by.
pub(super) fn read_rules(document: &DocumentMut, file: &str) -> (Vec<Rule>, Option<ConfigError>) {
    if let Some(Err(mistake)) = document.get("privacy").map(|privacy| section("privacy", privacy, file)) {
        return (Vec::new(), Some(mistake));
    }
    let Some(item) = find(document, "privacy.rules") else { return (Vec::new(), None) };
    let Some(entries) = entries(document) else {
        return (Vec::new(), Some(bad(file, item.to_string().trim().to_owned(), ACCEPTED)));
    };
    let (mut rules, mut mistake) = (Vec::new(), None);
    for entry in entries {
        match entry.rule() {
            Some(rule) => rules.push(rule),
            None => {
                mistake.get_or_insert_with(|| bad(file, entry.said(), ACCEPTED));
            }
        }
    }
    (rules, mistake)
}

/// One of the rules as it stands in the file, in either of the two ways of writing them.
enum Entry<'a> {
    Table(&'a Table),
    Value(&'a Value),
}

/// None where something else stands in their place.
fn entries(root: &Table) -> Option<Vec<Entry<'_>>> {
    match find(root, "privacy.rules") {
        None => Some(Vec::new()),
        Some(Item::ArrayOfTables(tables)) => Some(tables.iter().map(Entry::Table).collect()),
        Some(Item::Value(Value::Array(array))) => Some(array.iter().map(Entry::Value).collect()),
        Some(_) => None,
    }
}

impl Entry<'_> {
    fn table(&self) -> Option<&dyn TableLike> {
        match self {
            Entry::Table(table) => Some(*table),
            Entry::Value(value) => value.as_inline_table().map(|table| table as &dyn TableLike),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.table()?.get(key).and_then(Item::as_str)
    }

    fn rule(&self) -> Option<Rule> {
        Some(Rule {
            id: self.text("id")?.to_owned(),
            r#match: match self.text("match")? {
                "host" => Match::Host,
                "url" => Match::Url,
                _ => return None,
            },
            pattern: self.text("pattern").filter(|pattern| !pattern.is_empty())?.to_owned(),
            action: match self.text("action")? {
                "drop" => Action::Drop,
                "strip" => Action::Strip,
                _ => return None,
            },
        })
    }

    /// On one line.
    fn said(&self) -> String {
        let Some(table) = self.table() else {
            return match self {
                Entry::Table(_) => String::new(),
                Entry::Value(value) => value.to_string().trim().to_owned(),
            };
        };
        let words: Vec<_> = table
            .iter()
            .map(|(key, item)| match item.as_value() {
                Some(value) => format!("{key} = {}", value.clone().decorated("", "")),
                None => format!("{key} ({})", item.type_name()),
            })
            .collect();
        if words.is_empty() { "a rule that says nothing".to_owned() } else { words.join(", ") }
    }

    /// The text it was parsed from without it: from its header to the end of its last value; from an array with its
    /// comma. None where it is not in one piece.
    fn cut(&self, text: &str) -> Option<String> {
        let (range, comma) = match self {
            Entry::Table(table) => (table.span()?.start..end(table)?, None),
            Entry::Value(value) => {
                let Range { start, end } = value.span()?;
                match comma(text, end) {
                    Some(comma) if text[end..comma].trim().is_empty() => (start..comma + 1, None),
                    comma => (start..end, comma),
                }
            }
        };
        let Range { start, end } = lines(text, range);
        let rest = match comma {
            Some(comma) => [&text[end..comma], &text[comma + 1..]].concat(),
            None => text[end..].to_owned(),
        };
        Some(format!("{}{rest}", &text[..start]))
    }
}

/// Where the last value of a table ends.
fn end(table: &Table) -> Option<usize> {
    let mut last = table.span()?.end;
    for (_, item) in table.iter() {
        last = last.max(match item {
            Item::Value(value) => value.span()?.end,
            Item::Table(dotted) if dotted.is_dotted() => end(dotted)?,
            _ => return None,
        });
    }
    Some(last)
}

/// The comma behind a value of an array; comments may stand before it. The last value needs none.
fn comma(text: &str, mut at: usize) -> Option<usize> {
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        match text[at..].chars().next()? {
            ',' => return Some(at),
            '#' => at += text[at..].find('\n')?,
            _ => return None,
        }
    }
}

/// The range grown to whole lines where nothing else stands on them, and to one of two empty lines around it. What is
/// noted at the end of a table's last line goes with it.
fn lines(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[range.end..].find('\n').map_or(text.len(), |at| range.end + at + 1);
    let beside = text[range.end..end].trim_start();
    let whole = text[range.clone()].starts_with('[') && beside.starts_with('#') || beside.is_empty();
    if !(whole && text[start..range.start].trim().is_empty()) {
        return range;
    }
    let before = text[..start].lines().next_back().is_none_or(|line| line.trim().is_empty());
    let after = text[end..].find('\n').filter(|at| text[end..end + at].trim().is_empty());
    start..after.filter(|_| before).map_or(end, |at| end + at + 1)
}

fn parse<'a>(text: &'a str, file: &str) -> Result<Document<&'a str>, ConfigError> {
    Document::parse(text).map_err(|e| syntax(text, file, &e))
}

fn words(rule: &Rule) -> [(&'static str, &str); 4] {
    let kind = match rule.r#match {
        Match::Host => "host",
        Match::Url => "url",
    };
    let action = match rule.action {
        Action::Drop => "drop",
        Action::Strip => "strip",
    };
    [("id", &rule.id), ("match", kind), ("pattern", &rule.pattern), ("action", action)]
}

fn table(rule: &Rule) -> Table {
    let mut table = Table::new();
    for (key, value) in words(rule) {
        table.insert(key, toml_edit::value(value));
    }
    table
}

fn inline_table(rule: &Rule) -> InlineTable {
    let mut table = InlineTable::new();
    for (key, value) in words(rule) {
        table.insert(key, value.into());
    }
    table
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
