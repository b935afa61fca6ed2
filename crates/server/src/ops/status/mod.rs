//! `trefoil status`: one page about a cluster, and whether it is well.
//!
//! Every member is asked, so that the page shows what each one says of itself, not only what the asked
//! one has heard. The exit code is that of the page's first line.

mod alerts;
mod gather;
mod members;
mod model;
mod page;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::Args;

use super::paint::{Look, Tone};
use super::target::Target;
use super::{Reader, print};
use gather::gather;
pub(in crate::ops) use gather::nodes;
use model::{Health, Status};

/// A page about a cluster.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct StatusOptions {
    #[command(flatten)]
    target: Target,
    /// Show it again every so many seconds, until Ctrl-C.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,
    /// For programs: all of it as JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
The exit code tells the health, as monitoring plug-ins do:
  0  healthy
  1  degraded: it serves, and something wants to be looked at
  2  down: nobody leads, or writes are refused
  3  unknown: no node answers

Examples:
  trefoil status                               the cluster of the node on 127.0.0.1:6379
  trefoil status --host db-2 --port 6380       any of its nodes will do
  trefoil status --watch                       once more every two seconds
  trefoil status --json | jq .alerts           what wants to be looked at";

/// The code of `unknown`.
const UNKNOWN: u8 = 3;

/// Shows the page, once or again and again.
pub(crate) fn run(options: &StatusOptions) -> Result<ExitCode> {
    let look = Look::of_stdout();
    let Some(seconds) = options.watch else {
        return match look_once(options, look) {
            Ok((health, text)) => {
                print(&text)?;
                Ok(ExitCode::from(health.code()))
            }
            Err(error) => {
                eprintln!("trefoil: {error:#}");
                Ok(ExitCode::from(UNKNOWN))
            }
        };
    };
    loop {
        let (code, text) = match look_once(options, look) {
            Ok((health, text)) => (health.code(), text),
            Err(error) => (UNKNOWN, format!("{}\n", look.paint(Tone::Bad, &format!("{error:#}")))),
        };
        if print(&framed(look, &text))? == Reader::Gone {
            return Ok(ExitCode::from(code));
        }
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

fn look_once(options: &StatusOptions, look: Look) -> Result<(Health, String)> {
    let answers = gather(&options.target)?;
    let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let status = Status::of(&answers, at_ms);
    let text = match options.json {
        true => format!("{}\n", serde_json::to_string_pretty(&status)?),
        false => page::page(&status, look),
    };
    Ok((status.health, text))
}

/// A page that takes the place of the one before it, or follows it in a pipe.
fn framed(look: Look, text: &str) -> String {
    if look == Look::Plain {
        return format!("{text}\n");
    }
    // Each line ends the old one that it covers, and the rest of the screen is cleared: no flicker.
    format!("\u{1b}[H{}\u{1b}[J", text.replace('\n', "\u{1b}[K\n"))
}
