//! Figures as tables, printed as they come, and as one JSON object, printed in the end.

use super::{Result, disk::Machine, say};
use serde_json::{Map, Value, json};

/// Names, with their units last, and values.
pub type Figures = Vec<(&'static str, f64)>;

/// What one part measured: a line for each subject.
pub struct Scenario {
    name: String,
    title: String,
    lines: Vec<(String, Figures)>,
}

impl Scenario {
    pub fn new(name: impl Into<String>, title: impl Into<String>) -> Scenario {
        Scenario { name: name.into(), title: title.into(), lines: Vec::new() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn add(&mut self, subject: impl Into<String>, figures: Figures) {
        self.lines.push((subject.into(), figures));
    }
}

pub struct Report {
    machine: Machine,
    seconds: u64,
    rounds: u64,
    json: bool,
    scenarios: Map<String, Value>,
}

impl Report {
    pub fn new(machine: Machine, seconds: u64, rounds: u64, json: bool) -> Report {
        Report { machine, seconds, rounds, json, scenarios: Map::new() }
    }

    /// Says what is measured on.
    pub fn begin(&self) -> Result {
        if self.json {
            return Ok(());
        }
        let Machine { cores, cpu, kernel, place } = &self.machine;
        let rounds = format!("{} rounds of {} s, medians", self.rounds, self.seconds);
        let command = command();
        Ok(say(&format!("{command}\n{cores} cores of {cpu}, Linux {kernel}, data in {place}\n{rounds}"))?)
    }

    /// Takes in what a part measured, and shows it.
    pub fn add(&mut self, scenario: Scenario) -> Result {
        if !self.json {
            say(&format!("\n{}", table(&scenario)))?;
        }
        let number = |value: f64| serde_json::Number::from_f64((value * 1e3).round() / 1e3).map(Value::from);
        let lines = scenario.lines.into_iter().map(|(subject, figures)| {
            let figures = figures.into_iter().map(|(name, value)| (name.to_owned(), number(value).into()));
            (subject.replace([' ', ','], "_"), Value::from(figures.collect::<Map<_, _>>()))
        });
        self.scenarios.insert(scenario.name, lines.collect());
        Ok(())
    }

    pub fn end(self) -> Result {
        if !self.json {
            return Ok(());
        }
        let whole = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "command": command(),
            "machine": self.machine,
            "seconds": self.seconds,
            "rounds": self.rounds,
            "scenarios": self.scenarios,
        });
        Ok(say(&whole.to_string())?)
    }
}

fn command() -> String {
    std::iter::once("angarium".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ")
}

/// The title, then lines; a new header wherever the figures are others than those of the line before.
fn table(scenario: &Scenario) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut header: Vec<&str> = Vec::new();
    for (subject, figures) in &scenario.lines {
        let names: Vec<&str> = figures.iter().map(|(name, _)| *name).collect();
        if names != header {
            rows.push(std::iter::once(String::new()).chain(names.iter().map(|name| titled(name))).collect());
            header = names;
        }
        let values = figures.iter().map(|(_, value)| shown(*value));
        rows.push(std::iter::once(subject.clone()).chain(values).collect());
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| match at {
            0 => format!("  {cell:<width$}"),
            _ => format!("  {cell:>width$}"),
        });
        cells.collect::<String>().trim_end().to_owned()
    });
    std::iter::once(scenario.title.clone()).chain(lines).collect::<Vec<_>>().join("\n")
}

/// `requests_per_s` as a column's head.
fn titled(name: &str) -> String {
    let words = name.split('_').map(|word| match word {
        "us" => "µs",
        "mb" => "MB",
        "mib" => "MiB",
        "cpu" => "CPU",
        "rss" => "RSS",
        "percent" => "%",
        other => other,
    });
    words.collect::<Vec<_>>().join(" ").replace(" per ", "/")
}

/// Three significant digits, or all digits of the whole part.
fn shown(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    match value.abs() {
        magnitude if magnitude >= 100.0 => grouped(value.round() as i64),
        magnitude if magnitude >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn grouped(value: i64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_the_same_figures_share_a_header() {
        let mut scenario = Scenario::new("x", "Title");
        scenario.add("yardstick", vec![("requests_per_s", 41_000.4), ("p50_us", 99.96)]);
        scenario.add("durable", vec![("requests_per_s", 7.25), ("p50_us", 1_234_567.0)]);
        scenario.add("ratio", vec![("median", f64::NAN)]);
        assert_eq!(
            table(&scenario),
            "Title\n             requests/s     p50 µs\n  yardstick      41,000      100.0\n  \
             durable          7.25  1,234,567\n                 median\n  ratio               –"
        );
    }
}
