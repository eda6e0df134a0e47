//! A run, as a table on the terminal, as JSON, and as the marked part of `docs/performance/README.md`.
//!
//! A run of single figures replaces theirs and leaves the others: each row carries the commit it was taken at.

use crate::figure::{By, Goal, Row, Spread};
use crate::machine::Machine;
use crate::plot::Plot;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;

const BEGIN: &str = "<!-- the newest run, written by cargo xtask bench -->";
const END: &str = "<!-- until here -->";

/// One row in words: what, ours, beside it, what they come to, the goal, and whether it is met.
fn cells(row: &Row) -> [String; 6] {
    let judged = row.judged();
    let came_to = match row.by {
        _ if judged.median.is_nan() => "–".to_owned(),
        By::Ratio => format!("{} × ({})", short(judged.median), range(judged)),
        By::Difference => format!("{} {} more ({})", short(judged.median), row.unit, range(judged)),
        By::Value => format!("{} {} ({})", short(judged.median), row.unit, range(judged)),
    };
    let unit = if row.by == By::Ratio { "×" } else { row.unit };
    let goal = match row.goal {
        Goal::AtLeast(limit) => format!("≥ {limit} {unit}"),
        Goal::AtMost(limit) => format!("≤ {limit} {unit}"),
        Goal::None => String::new(),
    };
    let median = |values: &[f64]| {
        let median = Spread::of(values).median;
        if median.is_nan() { "–".to_owned() } else { format!("{} {}", short(median), row.unit) }
    };
    let other = if row.beside.is_empty() {
        String::new()
    } else {
        format!("{}: {}", row.beside, median(&row.others))
    };
    let met = match row.met() {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    };
    let what = if row.note.is_empty() { row.what.clone() } else { format!("{} ({})", row.what, row.note) };
    [what, median(&row.ours), other, came_to, goal, met.to_owned()]
}

fn range(spread: Spread) -> String {
    format!("{} to {}", short(spread.low), short(spread.high))
}

/// Three figures that count; thousands whole.
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    match text.split_once('.') {
        None if text.trim_start_matches('-').len() > 3 => text
            .char_indices()
            .flat_map(|(n, c)| {
                let comma = n > 0 && (text.len() - n) % 3 == 0 && !text[..n].ends_with('-');
                comma.then_some(',').into_iter().chain([c])
            })
            .collect(),
        _ => text,
    }
}

pub fn terminal(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut last = "";
    for row in rows {
        if row.figure != last {
            text += &format!("\n{}\n", row.figure);
            last = &row.figure;
        }
        let [what, ours, other, came_to, goal, met] = cells(row);
        text += &format!("  {what}\n      {ours}");
        if !other.is_empty() {
            text += &format!("   |   {other}");
        }
        if row.by != By::Value || !row.ours.is_empty() {
            text += &format!("   |   {came_to}   {goal} {met}");
        }
        text.push('\n');
    }
    text
}

fn json_of(row: &Row, commit: &str) -> Value {
    let mut value = json!(row);
    value["commit"] = json!(commit);
    value["judged"] = json!(row.judged());
    value["met"] = json!(row.met());
    value["cells"] = json!(cells(row));
    value
}

/// Writes what was taken, keeping the figures of earlier runs that were not taken now. `order`: all names.
pub fn write(
    folder: &Path,
    machine: &Machine,
    commit: &str,
    order: &[&str],
    rows: &[Row],
    plots: &[Plot],
) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join("results.json");
    let before: Value = match std::fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| file.display().to_string())?,
        Err(_) => json!({"rows": []}),
    };
    let taken: Vec<&str> = rows.iter().map(|row| row.figure.as_str()).collect();
    let kept = before["rows"].as_array().cloned().unwrap_or_default();
    let kept =
        kept.into_iter().filter(|row| !row["figure"].as_str().is_some_and(|name| taken.contains(&name)));
    let mut all: Vec<Value> = kept.chain(rows.iter().map(|row| json_of(row, commit))).collect();
    all.sort_by_key(|row| order.iter().position(|name| row["figure"] == *name));
    let document = json!({"machine": machine, "commit": commit, "rows": all});
    std::fs::write(&file, serde_json::to_string_pretty(&document)? + "\n")?;
    for plot in plots {
        std::fs::write(folder.join(format!("{}.svg", plot.name)), plot.svg())?;
    }
    readme(&folder.join("README.md"), machine, &all, order)
}

/// The part between the marks; everything else of the page is people's.
fn readme(path: &Path, machine: &Machine, rows: &[Value], order: &[&str]) -> Result<()> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(()) };
    let (Some((head, rest)), true) = (text.split_once(BEGIN), text.contains(END)) else { return Ok(()) };
    let tail = rest.split_once(END).map_or("", |(_, tail)| tail);
    let mut made = format!(
        "\n{}, {} cores, {} GB; {} (kernel {}), {}; SQLite {}; load at the beginning {}.\n\n\
         | figure | | ours | beside | comes to (median; quarters) | goal | |\n|---|---|---|---|---|---|---|\n",
        machine.processor,
        machine.cores,
        machine.memory_gb,
        machine.system,
        machine.kernel,
        machine.file_system,
        machine.sqlite,
        machine.load
    );
    for row in rows {
        let cells: Vec<&str> =
            row["cells"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        made += &format!("| `{}` | {} |\n", row["figure"].as_str().unwrap_or_default(), cells.join(" | "));
    }
    made.push('\n');
    for name in order {
        if path.with_file_name(format!("{name}.svg")).exists() {
            made += &format!("![{name}]({name}.svg)\n");
        }
    }
    Ok(std::fs::write(path, format!("{head}{BEGIN}{made}{END}{tail}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown: Vec<String> = [0.04567, 1.2345, 12.345, 123.45, 12_345.6, -1_234.0].map(short).into();
        assert_eq!(shown, ["0.046", "1.23", "12.3", "123", "12,346", "-1,234"]);
    }

    #[test]
    fn a_run_of_one_figure_leaves_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine {
            processor: "p".into(),
            cores: 2,
            memory_gb: 1.0,
            kernel: "k".into(),
            system: "s".into(),
            file_system: "f".into(),
            sqlite: "3".into(),
            load: "0".into(),
        };
        let page = folder.path().join("README.md");
        std::fs::write(&page, format!("before\n{BEGIN}\nold\n{END}\nafter\n")).unwrap();
        let row = |figure: &str, ours: f64| {
            let mut row = Row::new(figure, "ms").at_most(1.0);
            row.figure = figure.to_owned();
            row.value(ours);
            row
        };
        let order = ["a", "b"];
        write(folder.path(), &machine, "1", &order, &[row("b", 2.0), row("a", 0.5)], &[]).unwrap();
        write(folder.path(), &machine, "2", &order, &[row("b", 0.25)], &[]).unwrap();
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.starts_with("before") && text.ends_with("after\n") && !text.contains("old"));
        let (a, b) = (text.find("| `a` |").unwrap(), text.find("| `b` |").unwrap());
        assert!(a < b && text.contains("0.250 ms") && !text.contains("MISSED"));
    }
}
