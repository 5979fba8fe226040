//! What was measured, for people and as JSON.

use anyhow::{Context, Result};
use serde_json::json;
use std::path::Path;

/// A bound of design.md's table.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// Everything of one run.
#[derive(Default)]
pub(crate) struct Report {
    section: &'static str,
    placements: Vec<(&'static str, String)>,
    figures: Vec<Figure>,
    budgets: Vec<Budget>,
    absent: Vec<(&'static str, String)>,
}

struct Figure {
    section: &'static str,
    name: String,
    value: f64,
    unit: &'static str,
}

struct Budget {
    name: String,
    value: f64,
    bound: Bound,
}

impl Report {
    pub(crate) fn begin(&mut self, section: &'static str) {
        self.section = section;
    }

    /// Says where the processes of this section run.
    pub(crate) fn placement(&mut self, text: String) {
        self.placements.push((self.section, text));
    }

    pub(crate) fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure {
            section: self.section,
            name: name.into(),
            value,
            unit,
        });
    }

    pub(crate) fn budget(&mut self, name: impl Into<String>, value: f64, bound: Bound) {
        self.budgets.push(Budget {
            name: name.into(),
            value,
            bound,
        });
    }

    /// Says what was not measured, and why.
    pub(crate) fn absent(&mut self, what: impl Into<String>) {
        self.absent.push((self.section, what.into()));
    }

    pub(crate) fn print(&self) {
        let mut section = "";
        for figure in &self.figures {
            if figure.section != section {
                section = figure.section;
                println!("{section}");
                for (_, text) in self.placements.iter().filter(|(of, _)| *of == section) {
                    println!("  placement: {text}");
                }
            }
            let Figure {
                name, value, unit, ..
            } = figure;
            println!("  {name:<56} {value:12.2} {unit}");
        }
        println!("budgets");
        for budget in &self.budgets {
            let (sign, bound) = budget.bound.parts();
            let verdict = if budget.is_kept() { "OK" } else { "OVER" };
            let Budget { name, value, .. } = budget;
            println!("  {verdict:<4} {name:<70} {value:9.3}  ({sign} {bound})");
        }
        for (section, what) in &self.absent {
            println!("not measured ({section}): {what}");
        }
    }

    pub(crate) fn write_json(&self, path: &Path) -> Result<()> {
        let object = json!({
            "placements": self.placements.iter()
                .map(|(section, text)| json!({"section": section, "text": text}))
                .collect::<Vec<_>>(),
            "figures": self.figures.iter()
                .map(|figure| json!({
                    "section": figure.section, "name": figure.name,
                    "value": figure.value, "unit": figure.unit,
                }))
                .collect::<Vec<_>>(),
            "budgets": self.budgets.iter()
                .map(|budget| {
                    let (sign, bound) = budget.bound.parts();
                    json!({
                        "name": budget.name, "value": budget.value,
                        "relation": sign, "bound": bound, "kept": budget.is_kept(),
                    })
                })
                .collect::<Vec<_>>(),
            "not-measured": self.absent.iter()
                .map(|(section, what)| json!({"section": section, "what": what}))
                .collect::<Vec<_>>(),
        });
        std::fs::write(path, format!("{object:#}\n"))
            .with_context(|| format!("write {}", path.display()))
    }
}

impl Bound {
    fn parts(self) -> (&'static str, f64) {
        match self {
            Self::AtMost(bound) => ("at most", bound),
            Self::AtLeast(bound) => ("at least", bound),
        }
    }
}

impl Budget {
    fn is_kept(&self) -> bool {
        match self.bound {
            Bound::AtMost(bound) => self.value <= bound,
            Bound::AtLeast(bound) => self.value >= bound,
        }
    }
}
