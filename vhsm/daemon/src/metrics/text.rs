use std::fmt::{Display, Write};

/// OpenMetrics text, family by family.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
}

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Counter,
    Gauge,
    Histogram,
    Info,
}

impl Family {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

impl Text {
    /// Begins a family; its samples follow.
    pub(super) fn family(&mut self, name: &str, family: Family, help: &str) {
        let kind = family.as_str();
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "# TYPE {name} {kind}\n# HELP {name} {help}");
    }

    /// One sample, with its labels.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// A family of one sample without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Family::Gauge, help);
        self.sample(name, &[], value);
    }

    /// A counter without labels; its sample's name ends as every counter's does.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, Family::Counter, help);
        self.sample(&format!("{name}_total"), &[], value);
    }

    /// The whole.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("# EOF\n");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_quoted() {
        let mut text = Text::default();
        text.family("a", Family::Gauge, "of the test");
        text.sample("a", &[("b", "x\\\"\n"), ("c", "")], 1);
        assert_eq!(
            text.finish(),
            "# TYPE a gauge\n# HELP a of the test\na{b=\"x\\\\\\\"\\n\",c=\"\"} 1\n# EOF\n"
        );
    }
}
