//! `trefoil log show | verify | repair`: the log of a node that is stopped, for people.
//!
//! `show` and `verify` never change a file and need no lock; `repair` takes the directory's lock, so
//! it refuses while a node runs, and archives what it cuts off.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use trefoil_log::{Frame, FrameBody, FsDisk, LogScan, Note, Verdict, repair, verify};
use trefoil_store::record::Effect;

use crate::identity;

/// Bytes of a key or value that are shown.
const SHOWN_BYTES: usize = 60;

#[derive(Subcommand, Debug)]
pub(crate) enum LogCommand {
    /// Print the records of a log, one effect a line.
    Show(ShowOptions),
    /// Read and check a whole log, and say what is in it.
    Verify(LogOptions),
    /// Cut a damaged log at its first damage. What is cut off is kept in `.cut` files beside it.
    Repair(LogOptions),
}

#[derive(Args, Debug)]
pub(crate) struct LogOptions {
    /// The data directory of a node that is stopped.
    #[arg(long, default_value = "trefoil-data")]
    data_dir: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct ShowOptions {
    #[command(flatten)]
    log: LogOptions,
    /// The first LSN to show.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Lines at most; 0: all.
    #[arg(long, default_value_t = 100)]
    limit: u64,
}

/// Runs a subcommand.
pub(crate) fn run(command: LogCommand) -> Result<()> {
    match command {
        LogCommand::Show(options) => {
            let out = BufWriter::new(io::stdout().lock());
            match show(&options, out) {
                // A pager or `head` that has seen enough.
                Err(error) if is_broken_pipe(&error) => Ok(()),
                other => other,
            }
        }
        LogCommand::Verify(options) => print_verification(&options),
        LogCommand::Repair(options) => run_repair(&options),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

impl LogOptions {
    /// The directory as it is, without the lock and without creating it.
    fn open(&self) -> Result<FsDisk> {
        if !self.data_dir.is_dir() {
            bail!("there is no directory {}", self.data_dir.display());
        }
        Ok(FsDisk::open_unlocked(&self.data_dir)?)
    }
}

fn show(options: &ShowOptions, mut out: impl Write) -> Result<()> {
    let disk = options.log.open()?;
    let mut scan = LogScan::open(&disk).context("can't list the log's files")?;
    let mut left = if options.limit == 0 { u64::MAX } else { options.limit };
    while let Some(frame) = scan.next()? {
        for line in lines(&frame, options.from) {
            if left == 0 {
                writeln!(out, "... (more with --limit)")?;
                return Ok(out.flush()?);
            }
            writeln!(out, "{line}")?;
            left -= 1;
        }
    }
    writeln!(out, "end of the valid frames; `trefoil log verify` says what stands behind them")?;
    Ok(out.flush()?)
}

/// What a frame says, from this LSN on.
fn lines(frame: &Frame<'_>, from: u64) -> Vec<String> {
    let runs = match &frame.body {
        FrameBody::Note(note) => {
            return vec![format!("frame {:>8}  {}", frame.header.seq, note_line(note))];
        }
        FrameBody::Runs(runs) => runs,
    };
    let mut lines = Vec::new();
    for run in runs.iter() {
        let epoch = run.header.epoch;
        for record in run.records() {
            let record = match record {
                Ok(record) if record.lsn.0 >= from => record,
                Ok(_) => continue,
                Err(error) => {
                    lines.push(format!("a record that can't be read: {error}"));
                    break;
                }
            };
            let mut effects = record.effects;
            let mut head = format!("{epoch}/{:<10}", record.lsn);
            while !effects.is_empty() {
                let text = match Effect::decode(&mut effects) {
                    Ok(effect) => effect_line(&effect),
                    Err(error) => {
                        effects = &[];
                        error.to_string()
                    }
                };
                lines.push(format!("{head}  {text}"));
                // Further effects of one record stand below its first.
                head = " ".repeat(head.len());
            }
        }
    }
    lines
}

fn note_line(note: &Note) -> String {
    match note {
        Note::EpochStart { entry, cause, .. } => {
            format!("epoch {} begins at record {} ({cause:?})", entry.epoch, entry.first_lsn)
        }
        Note::CleanStop { .. } => "clean stop".into(),
        Note::Truncate { lsn, .. } => format!("records after {lsn} are void"),
        Note::SnapshotMark { start_lsn, end_lsn, .. } => {
            format!("a snapshot from record {start_lsn} to {end_lsn} is valid")
        }
    }
}

fn effect_line(effect: &Effect<'_>) -> String {
    match *effect {
        Effect::PutString { table, key, value, deadline, .. } => {
            let until = deadline.map_or(String::new(), |ms| format!(" until {ms}"));
            format!("put {table} {} = {}{until}", shown(key), shown(value))
        }
        Effect::Delete { table, key, cause } => {
            format!("delete {table} {} ({cause:?})", shown(key))
        }
        Effect::SetDeadline { table, key, deadline: Some(ms) } => {
            format!("expire {table} {} at {ms}", shown(key))
        }
        Effect::SetDeadline { table, key, deadline: None } => {
            format!("persist {table} {}", shown(key))
        }
        Effect::Append { table, key, suffix } => {
            format!("append {table} {} + {}", shown(key), shown(suffix))
        }
        Effect::SetRange { table, key, offset, bytes } => {
            format!("set range {table} {} at {offset} = {}", shown(key), shown(bytes))
        }
        Effect::Flush { table } => format!("flush {table}"),
        Effect::Swap { a, b } => format!("swap databases {a} and {b}"),
    }
}

/// Bytes in quotes, the beginning of them if they are many.
fn shown(bytes: &[u8]) -> String {
    let begin = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let mut text = format!("\"{}\"", begin.escape_ascii());
    if bytes.len() > begin.len() {
        let _ = write!(text, "... ({} bytes)", bytes.len());
    }
    text
}

fn print_verification(options: &LogOptions) -> Result<()> {
    let disk = options.open()?;
    let report = verify(&disk, identity::of_dir(&options.data_dir))?;
    let tally = &report.tally;
    println!("{:<12} {:>12} {:>12} {:>12}", "segment", "first frame", "last frame", "bytes");
    for segment in &tally.segments {
        let (number, first, last) = (segment.number, segment.first_seq, segment.last_seq);
        println!("{number:<12} {first:>12} {last:>12} {:>12}", segment.bytes);
    }
    println!("{} frames, {} records, {} bytes", tally.frames, tally.records, tally.bytes);
    for (stream, lsn) in tally.positions.iter() {
        println!("{stream}: the last record is {lsn}");
    }
    if tally.clean_stop {
        println!("the last stop was clean");
    }
    if !report.spares.is_empty() {
        println!("{} files are prepared for segments to come", report.spares.len());
    }
    for archive in &report.archives {
        println!("{archive}: cut off by an earlier repair");
    }
    match report.verdict {
        Verdict::End => println!("the log is whole"),
        Verdict::Torn(torn) => println!(
            "the log ends in {} at byte {} with a frame that was being written ({}); the next start cuts \
             {} bytes off, none of them was ever acknowledged as durable",
            torn.file, torn.offset, torn.fault, torn.bytes_cut
        ),
        Verdict::Damaged(damage) => bail!("{damage}"),
    }
    Ok(())
}

fn run_repair(options: &LogOptions) -> Result<()> {
    if !options.data_dir.is_dir() {
        bail!("there is no directory {}", options.data_dir.display());
    }
    let disk = FsDisk::open(&options.data_dir)?;
    let report = repair(&disk, identity::of_dir(&options.data_dir))?;
    match &report.verdict {
        Verdict::End => println!("the log is whole, nothing was changed"),
        Verdict::Torn(torn) => {
            println!("cut a frame that was being written in {} at byte {}", torn.file, torn.offset);
        }
        Verdict::Damaged(damage) => {
            println!("cut {} at byte {}: {}", damage.file, damage.offset, damage.fault);
            for lost in &damage.lost {
                println!("no longer in the log: {lost}");
            }
        }
    }
    println!("the log ends with frame {}", report.last_good);
    if !report.archives.is_empty() {
        println!("{} bytes were archived; nothing was discarded:", report.bytes_archived);
    }
    for archive in &report.archives {
        println!("  {}", options.data_dir.join(archive).display());
    }
    Ok(())
}
