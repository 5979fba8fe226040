//! Where the log goes: to standard error, and where the journal reads that, as the journal wants it.

use std::fs::File;
use std::io::{self, Write, stderr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Logs from now on what is at least as grave as `level`.
pub(crate) fn start(level: LevelFilter) {
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false);
    if is_journal() {
        // It has its own clock, and takes a line's priority from the line's head (sd-daemon(3)).
        log.without_time().with_writer(Journal).init();
    } else {
        log.with_writer(stderr).init();
    }
}

/// Whether the journal reads standard error: it says which file is its own (systemd.exec(5)).
fn is_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    let ours = stderr().as_fd().try_clone_to_owned().map(File::from);
    ours.and_then(|file| file.metadata())
        .is_ok_and(|file| *stream == *format!("{}:{}", file.dev(), file.ino()))
}

/// Makes lines for the journal.
struct Journal;

impl<'a> MakeWriter<'a> for Journal {
    type Writer = Line<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Line::new(Level::INFO, stderr())
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Self::Writer {
        Line::new(*about.level(), stderr())
    }
}

/// A line with its priority.
struct Line<W> {
    head: &'static [u8],
    rest: W,
}

impl<W> Line<W> {
    fn new(level: Level, rest: W) -> Self {
        let head: &[u8] = match level {
            Level::ERROR => b"<3>",
            Level::WARN => b"<4>",
            Level::INFO => b"<6>",
            _ => b"<7>",
        };
        Self { head, rest }
    }
}

impl<W: Write> Write for Line<W> {
    /// The whole line at once: another thread's must not come between.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.rest.write_all(&[self.head, line].concat())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.rest.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_with_its_priority() {
        for (level, expected) in [
            (Level::ERROR, "<3>text\n"),
            (Level::WARN, "<4>text\n"),
            (Level::INFO, "<6>text\n"),
            (Level::TRACE, "<7>text\n"),
        ] {
            let mut line = Line::new(level, Vec::new());
            line.write_all(b"text\n").unwrap();
            assert_eq!(line.rest, expected.as_bytes());
        }
    }
}
