use super::report::{EndpointReport, ErrorReport, Report, ServiceReport};
use std::fmt::{self, Write};

/// A text of the report, which an agent that is not what it was may have filled with anything: nothing
/// of it moves a terminal's cursor, begins a line or turns what is read around.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| match misleads(c) {
            true => char::REPLACEMENT_CHARACTER,
            false => c,
        };
        self.0.chars().try_for_each(|c| f.write_char(plain(c)))
    }
}

/// Whether a terminal may do something else with it than show it: control characters, separators of
/// lines and paragraphs, and what is not seen or turns the direction of text (UAX 9).
pub(super) fn misleads(c: char) -> bool {
    let is_unseen = matches!(c,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
        | '\u{feff}');
    c.is_control() || is_unseen
}

/// For people: what is asked first comes first.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agent = &self.agent;
        writeln!(
            f,
            "{}, process {}, up for {}",
            Shown(&agent.version),
            agent.pid,
            Span(agent.up_ms)
        )?;
        let connection = match agent.is_connected {
            true => "connected for",
            false => "NOT CONNECTED for",
        };
        let socket = Shown(&agent.vhsmd_socket);
        writeln!(f, "vhsmd: {connection} {} ({socket})", Span(agent.for_ms))?;
        writeln!(
            f,
            "rounds: {}, {} under way",
            agent.rounds, agent.rounds_under_way
        )?;
        for warning in &self.warnings {
            writeln!(f, "WARNING: {}", Shown(warning))?;
        }
        self.services.iter().try_for_each(|service| service.fmt(f))
    }
}

impl fmt::Display for ServiceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.plaintext_courier {
            true => ", PLAINTEXT-COURIER: read by this agent, which is not blind for its keys",
            false => "",
        };
        writeln!(f, "\nservice {}{mark}", Shown(&self.name))?;
        writeln!(
            f,
            "  rounds: {}, {} not whole, {} under way",
            self.rounds, self.rounds_failed, self.rounds_under_way
        )?;
        writeln!(
            f,
            "  ordered: {} for requests, {} for prefetch, {} for leases",
            self.ordered_for_requests, self.ordered_for_prefetch, self.ordered_for_leases
        )?;
        match self.last_success_ms_ago {
            Some(ms) => writeln!(f, "  last success: {} ago", Span(ms))?,
            None => writeln!(f, "  last success: none yet")?,
        }
        match &self.last_error {
            Some(error) => writeln!(f, "  last error: {error}")?,
            None => writeln!(f, "  last error: none")?,
        }
        match self.next_try_in_ms {
            0 => writeln!(f, "  next try: with the next round")?,
            ms => writeln!(f, "  next try: in {} at the earliest", Span(ms))?,
        }
        for endpoint in &self.endpoints {
            writeln!(f, "  endpoint {endpoint}")?;
        }
        for resource in &self.resources {
            let came = Shown(resource.error.as_deref().unwrap_or("delivered"));
            let (path, ago) = (Shown(&resource.path), Span(resource.ms_ago));
            writeln!(f, "  resource {path}: {came}, {ago} ago")?;
        }
        Ok(())
    }
}

impl fmt::Display for EndpointReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, priority {}: ", Shown(&self.url), self.priority)?;
        match (self.is_healthy, self.last_answer_ms_ago) {
            (true, None) => f.write_str("not asked yet, or long ago")?,
            (true, Some(ms)) => write!(f, "healthy, answered {} ago", Span(ms))?,
            (false, _) => write!(
                f,
                "shunned for {}, failures in a row: {}",
                Span(self.shunned_for_ms),
                self.failures
            )?,
        }
        match &self.last_error {
            Some(error) => write!(f, "; last error: {error}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ErrorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ago: ", Span(self.ms_ago))?;
        if let Some(class) = &self.class {
            write!(f, "{}: ", Shown(class))?;
        }
        if let Some(resource) = &self.resource {
            write!(f, "{}: ", Shown(resource))?;
        }
        Shown(&self.reason).fmt(f)
    }
}

/// Milliseconds, in the two largest units.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, secs) = (self.0, self.0 / 1000);
        match secs {
            0 => write!(f, "{ms} ms"),
            1..=59 => write!(f, "{secs} s"),
            60..=3599 => write!(f, "{} min {} s", secs / 60, secs % 60),
            3600..=86_399 => write!(f, "{} h {} min", secs / 3600, secs / 60 % 60),
            _ => write!(f, "{} d {} h", secs / 86_400, secs / 3600 % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::{Agent, ResourceReport};
    use super::*;

    fn report() -> Report {
        let error = ErrorReport {
            ms_ago: 61_000,
            class: Some("unreachable".to_owned()),
            resource: None,
            reason: "auth: the service cannot be reached".to_owned(),
        };
        Report {
            agent: Agent {
                version: "nitride-agent 0.1.0".to_owned(),
                pid: 7,
                up_ms: 3_723_000,
                vhsmd_socket: "/run/vhsm/agent.sock".to_owned(),
                is_connected: true,
                for_ms: 3_000,
                rounds: 4,
                rounds_under_way: 1,
            },
            warnings: vec!["PLAIN HTTP".to_owned()],
            services: vec![ServiceReport {
                name: "main".to_owned(),
                plaintext_courier: true,
                rounds: 4,
                rounds_failed: 1,
                rounds_under_way: 1,
                ordered_for_requests: 2,
                ordered_for_prefetch: 1,
                ordered_for_leases: 2,
                last_success_ms_ago: Some(250),
                last_error: Some(error.clone()),
                next_try_in_ms: 2_000,
                endpoints: vec![EndpointReport {
                    url: "https://kbs.example".to_owned(),
                    priority: 1,
                    is_healthy: false,
                    shunned_for_ms: 2_000,
                    failures: 3,
                    last_answer_ms_ago: Some(90_000_000),
                    last_error: Some(ErrorReport {
                        class: None,
                        ..error
                    }),
                }],
                resources: vec![ResourceReport {
                    path: "web/secret/api-key".to_owned(),
                    ms_ago: 250,
                    error: None,
                }],
            }],
        }
    }

    #[test]
    fn a_person_sees_each_service_its_last_error_and_its_next_try() {
        let shown = report().to_string();
        assert_eq!(
            shown,
            "nitride-agent 0.1.0, process 7, up for 1 h 2 min\n\
             vhsmd: connected for 3 s (/run/vhsm/agent.sock)\n\
             rounds: 4, 1 under way\n\
             WARNING: PLAIN HTTP\n\
             \n\
             service main, PLAINTEXT-COURIER: read by this agent, which is not blind for its keys\n\
             \x20 rounds: 4, 1 not whole, 1 under way\n\
             \x20 ordered: 2 for requests, 1 for prefetch, 2 for leases\n\
             \x20 last success: 250 ms ago\n\
             \x20 last error: 1 min 1 s ago: unreachable: auth: the service cannot be reached\n\
             \x20 next try: in 2 s at the earliest\n\
             \x20 endpoint https://kbs.example, priority 1: shunned for 2 s, failures in a row: 3; \
             last error: 1 min 1 s ago: auth: the service cannot be reached\n\
             \x20 resource web/secret/api-key: delivered, 250 ms ago\n"
        );
    }

    #[test]
    fn nothing_that_a_report_says_reaches_the_terminal_but_as_text() {
        let hostile = "a\u{1b}]0;title\u{7}\u{9b}2J\r\nWARNING: b\u{202e}c\u{2028}d";
        let json = report().to_json();
        let texts = [
            "nitride-agent 0.1.0",
            "/run/vhsm/agent.sock",
            "PLAIN HTTP",
            "\"main\"",
            "unreachable",
            "auth: the service cannot be reached",
            "https://kbs.example",
            "web/secret/api-key",
        ];
        let expected = report().to_string();
        for text in texts {
            let text = text.trim_matches('"');
            assert!(json.contains(text), "{text}");
            let quoted = serde_json::to_string(hostile).unwrap();
            let replaced = json.replace(text, quoted.trim_matches('"'));
            let read = Report::from_json(replaced.as_bytes()).unwrap();
            let shown = read.to_string();
            assert_eq!(shown.lines().count(), expected.lines().count(), "{text}");
            let is_plain =
                |c: char| c == '\n' || !(c.is_control() || "\u{202e}\u{2028}".contains(c));
            assert!(shown.chars().all(is_plain), "{text}: {shown:?}");
            let json = read.to_json();
            assert!(json.chars().all(is_plain), "{text}: {json:?}");
        }
    }

    #[test]
    fn a_report_is_the_same_after_its_json() {
        let read = Report::from_json(report().to_json().as_bytes()).unwrap();
        assert_eq!(read, report());
    }
}
