//! What a start tells people: what recovery found, in plain words, on standard error.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use owo_colors::{OwoColorize as _, Style};
use trefoil_log::EpochCause;
use trefoil_node::log::stream;
use trefoil_node::node::Node;
use trefoil_node::recovery::Report;
use trefoil_node::settings::Settings;
use trefoil_store::record::codec::TABLES;

/// Colours, if somebody looks at them.
struct Paint {
    on: bool,
}

impl Paint {
    fn new() -> Paint {
        Paint { on: std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    fn with(&self, style: Style, text: &str) -> String {
        if self.on { text.style(style).to_string() } else { text.to_string() }
    }

    fn strong(&self, text: &str) -> String {
        self.with(Style::new().green().bold(), text)
    }

    fn warning(&self, text: &str) -> String {
        self.with(Style::new().yellow(), text)
    }
}

/// Tells what was found in the data directory.
pub(crate) fn report(node: &Node, report: &Report, dir: &Path, took: Duration) {
    let paint = Paint::new();
    let keys = (0..TABLES).map(|table| node.keyspace.sum(|tally| tally.keys(table))).sum();
    eprintln!(
        "{} {} keeps its data in {}",
        paint.strong("trefoil"),
        env!("CARGO_PKG_VERSION"),
        dir.display()
    );
    if report.cause == EpochCause::FirstStart {
        eprintln!("  first start: nothing to load");
    } else {
        eprintln!("  {}", found(report, keys, took));
    }
    for rejected in &report.rejected {
        let line = format!("snapshot {} was passed over: {}", rejected.name, rejected.reason);
        eprintln!("  {}", paint.warning(&line));
    }
    if let Some(torn) = &report.log.torn {
        let line = format!(
            "the log's end was torn: {} bytes in {} from byte {} on were never synced and are cut off ({})",
            torn.bytes_cut, torn.file, torn.offset, torn.fault
        );
        eprintln!("  {}", paint.warning(&line));
    }
    let (epoch, end) = (report.epoch, report.log.end.positions.get(stream()));
    let begins = report.epochs.last().is_some_and(|last| last.first_lsn > end);
    match report.cause {
        EpochCause::CleanRestart => eprintln!("  the last stop was clean: epoch {epoch} goes on"),
        EpochCause::FirstStart => {}
        _ if begins => {
            eprintln!("  the last stop was not clean: epoch {epoch} begins");
        }
        _ => eprintln!("  the last stop was not clean; the last record is {end}, of epoch {epoch}"),
    }
}

fn found(report: &Report, keys: i64, took: Duration) -> String {
    let mut text = format!("{keys} keys loaded in {:.2} s: ", took.as_secs_f64());
    if let Some(name) = &report.snapshot_name {
        text.push_str(&format!("{} from {name}, then ", report.snapshot_keys));
    }
    let log = &report.log;
    text.push_str(&format!("{} records ({} bytes) from the log", log.records, log.bytes));
    text
}

/// Raises the limit of open files so that `maxclients` fit; if it can't be, fewer clients may come.
pub(crate) fn make_room_for_clients(settings: &Settings) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use std::sync::atomic::Ordering::Relaxed;

    let setting = &settings.maxclients;
    let wanted = setting.load(Relaxed).saturating_add(OWN_FILES);
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current else { return };
    // As far as we are allowed to, so that CONFIG SET maxclients finds room, too.
    let raised = limit.maximum.unwrap_or(wanted).max(current);
    let limits = Rlimit { current: Some(raised), maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, limits).is_ok() { raised } else { current };
    if now < wanted {
        let fits = now.saturating_sub(OWN_FILES).max(1);
        setting.store(fits, Relaxed);
        eprintln!(
            "trefoil: only {now} files may be open (`ulimit -n`), so maxclients is {fits} instead of {}",
            wanted - OWN_FILES
        );
    }
}

/// Descriptors that are no clients'.
const OWN_FILES: u64 = 64;
