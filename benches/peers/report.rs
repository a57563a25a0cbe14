//! Tables for the eye, JSON lines for programs.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde_json::json;

use crate::harness::{Case, Figure, Role, Row};

/// `target/peers/<concept>.jsonl`, written anew by every run of the concept.
pub(crate) struct Lines {
    concept: &'static str,
    file: BufWriter<File>,
}

impl Lines {
    pub(crate) fn create(concept: &'static str) -> io::Result<Self> {
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
        let folder = target.join("peers");
        fs::create_dir_all(&folder)?;
        let file = File::create(folder.join(format!("{concept}.jsonl")))?;
        Ok(Self {
            concept,
            file: BufWriter::new(file),
        })
    }

    /// One line a contender; one that failed has no figure, and no line.
    pub(crate) fn write(&mut self, case: &Case, rows: &[Row]) -> io::Result<()> {
        for row in rows {
            let Ok(figure) = row.outcome else { continue };
            let mut line = json!({
                "bench": self.concept,
                "case": case.case,
                "mode": case.mode,
                "contender": row.contender,
                "role": role(row.role),
            });
            match figure {
                Figure::Time {
                    median,
                    min,
                    rounds,
                } => {
                    line["median_ns"] = json!((median * 1000.0).round() / 1000.0);
                    line["min_ns"] = json!((min * 1000.0).round() / 1000.0);
                    line["rounds"] = json!(rounds);
                }
                Figure::Bytes(bytes) => line["bytes"] = json!(bytes),
            }
            writeln!(self.file, "{line}")?;
        }
        self.file.flush()
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Ours => "ours",
        Role::Info => "info",
        Role::Glue => "glue",
        Role::Peer => "peer",
    }
}

/// The columns that share a table, until it is printed.
#[derive(Default)]
pub(crate) struct Table {
    title: String,
    columns: Vec<(String, Vec<Row>)>,
}

impl Table {
    /// Adds a column; prints what is there first when this one opens another table.
    pub(crate) fn add(&mut self, concept: &str, case: &Case, rows: Vec<Row>) {
        let title = format!("{concept}: {}", case.table);
        if title != self.title {
            self.print();
            self.title = title;
        }
        self.columns.push((case.column.clone(), rows));
    }

    /// Prints and forgets what is there.
    pub(crate) fn print(&mut self) {
        let columns = std::mem::take(&mut self.columns);
        if columns.is_empty() {
            return;
        }
        let mut names: Vec<(&str, Role)> = Vec::new();
        for row in columns.iter().flat_map(|(_, rows)| rows) {
            if !names.iter().any(|(name, _)| *name == row.contender) {
                names.push((row.contender, row.role));
            }
        }
        let bytes = columns
            .iter()
            .flat_map(|(_, rows)| rows)
            .any(|row| matches!(row.outcome, Ok(Figure::Bytes(_))));
        let unit = if bytes {
            "bytes"
        } else {
            "ns an item: median (minimum)"
        };
        println!("\n{}  [{unit}]", self.title);
        let mut grid = vec![vec![String::new()]];
        grid[0].extend(columns.iter().map(|(column, _)| column.clone()));
        for (name, role) in &names {
            let mark = if *role == Role::Info { " *" } else { "" };
            let mut line = vec![format!("{name}{mark}")];
            line.extend(columns.iter().map(|(_, rows)| cell(rows, name)));
            grid.push(line);
        }
        let all = [Role::Peer, Role::Glue];
        let ours = names.iter().filter(|(_, role)| *role == Role::Ours);
        for (index, (ours, _)) in ours.enumerate() {
            let short = if *ours == "pushpull" { "ours" } else { ours };
            let mut summary = |title: String, roles: &[Role], show: fn(&str, f64) -> String| {
                let mut line = vec![title];
                line.extend(columns.iter().map(|(_, rows)| {
                    let best = best(rows, roles, ours);
                    best.map_or_else(|| "-".to_owned(), |(name, ratio)| show(name, ratio))
                }));
                grid.push(line);
            };
            if index == 0 {
                summary("best peer".to_owned(), &all, |name, _| name.to_owned());
            }
            summary(format!("best peer / {short}"), &all, |_, ratio| {
                format!("{ratio:.2}")
            });
            if names.iter().any(|(_, role)| *role == Role::Glue) {
                summary(
                    format!("tokio glue / {short}"),
                    &[Role::Glue],
                    |_, ratio| format!("{ratio:.2}"),
                );
            }
        }
        print_grid(&grid);
        for (column, rows) in &columns {
            for row in rows {
                if let Err(failure) = &row.outcome {
                    println!("  ! {} in {column}: {failure}", row.contender);
                }
            }
        }
    }
}

fn cell(rows: &[Row], name: &str) -> String {
    let Some(row) = rows.iter().find(|row| row.contender == name) else {
        return "-".to_owned();
    };
    match row.outcome {
        Ok(Figure::Time { median, min, .. }) => format!("{median:.1} ({min:.1})"),
        Ok(Figure::Bytes(bytes)) => bytes.to_string(),
        Err(_) => "failed".to_owned(),
    }
}

/// The best of these roles, and its figure divided by that of one of ours.
fn best(rows: &[Row], roles: &[Role], ours: &str) -> Option<(&'static str, f64)> {
    let value = |row: &Row| row.outcome.as_ref().ok().map(|figure| figure.value());
    let ours = rows
        .iter()
        .find(|row| row.contender == ours)
        .and_then(value)?;
    let others = rows.iter().filter(|row| roles.contains(&row.role));
    let values = others.filter_map(|row| Some((row.contender, value(row)?)));
    let (name, best) = values.min_by(|a, b| a.1.total_cmp(&b.1))?;
    Some((name, best / ours))
}

fn print_grid(grid: &[Vec<String>]) {
    let columns = grid[0].len();
    let width = |column: usize| {
        grid.iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for line in grid {
        let mut text = format!("  {:<width$}", line[0], width = widths[0]);
        for (cell, width) in line.iter().zip(&widths).skip(1) {
            text.push_str(&format!("  {cell:>width$}"));
        }
        println!("{}", text.trim_end());
    }
}
