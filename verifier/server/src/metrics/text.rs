//! OpenMetrics text, family by family.

use std::fmt::{Display, Write};

/// What is written so far.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a family of a kind (`counter`, `gauge`, `histogram`, `info`); its samples follow.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "# TYPE {name} {kind}\n# HELP {name} {help}");
    }

    /// One sample.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        let mut before = '{';
        for (label, text) in labels {
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
            before = ',';
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// A gauge of one sample.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// A counter of one sample, whose name ends as every counter's does.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(&format!("{name}_total"), &[], value);
    }

    /// The whole.
    pub(super) fn finish(mut self) -> String {
        self.0.push_str("# EOF\n");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_quoted_and_the_end_is_said() {
        let mut text = Text::default();
        text.family("a", "gauge", "Of the test.");
        text.sample("a", &[("b", "x\\\"\n"), ("c", "")], 1);
        text.counter("d", "More.", 2);
        assert_eq!(
            text.finish(),
            "# TYPE a gauge\n# HELP a Of the test.\na{b=\"x\\\\\\\"\\n\",c=\"\"} 1\n\
             # TYPE d counter\n# HELP d More.\nd_total 2\n# EOF\n"
        );
    }
}
