//! Tables for people, or the same as JSON.

use std::io::Write;

use serde_json::{Map, Value, json};

/// One cell: a text, or a number with so many digits after the point.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Text(String),
    Number(f64, usize),
}

impl Cell {
    /// `value` with its least and greatest: what the machine's noise makes of it.
    pub(crate) fn spread(sorted: &[f64], digits: usize) -> Self {
        match sorted {
            [first, .., last] => Self::Text(format!("{first:.digits$}–{last:.digits$}")),
            _ => Self::Text("–".to_owned()),
        }
    }

    fn text(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Number(value, digits) => format!("{value:.digits$}"),
        }
    }

    fn json(&self) -> Value {
        match self {
            Cell::Text(text) => text.as_str().into(),
            Cell::Number(value, _) => (*value).into(),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Cell {
    fn from(value: u64) -> Self {
        Self::Number(value as f64, 0)
    }
}

/// Rows under one title.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self { title: title.into(), columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(Cell::text).collect()).collect();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
            cells.chain([self.columns[column]]).map(|text| text.chars().count()).max().unwrap_or(0)
        };
        writeln!(out, "\n{}\n", self.title)?;
        let heads = self.columns.iter().map(ToString::to_string).collect();
        for row in [&heads].into_iter().chain(&rows) {
            for (column, text) in row.iter().enumerate() {
                let width = width(column);
                match column {
                    0 => write!(out, "  {text:<width$}")?,
                    _ => write!(out, "  {text:>width$}")?,
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let object = |row: &Vec<Cell>| -> Map<String, Value> {
            self.columns.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), cell.json())).collect()
        };
        json!({"title": self.title, "rows": self.rows.iter().map(object).collect::<Vec<_>>()})
    }
}

/// Prints the tables, and below them how busy the machine was.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn print(name: &str, tables: &[Table], json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let cores = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cores.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']);
    let count = cores.lines().filter(|line| line.starts_with("processor")).count();
    if json {
        let tables: Vec<Value> = tables.iter().map(Table::json).collect();
        writeln!(out, "{}", json!({"benchmark": name, "cores": count, "model": model, "tables": tables}))?;
        return Ok(());
    }
    for table in tables {
        table.write(&mut out)?;
    }
    writeln!(out, "\n  {name} on {count} cores ({model})\n")?;
    Ok(())
}
