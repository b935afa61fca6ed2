//! What the program prints for people.

use std::process::Command;
use std::time::Duration;

use trefoil_sim::cluster::Family;

/// A seed failed: what, where, and the one command that shows it again.
pub(crate) fn failure(seed: u64, place: &str, broken: &str) {
    println!("\nseed {seed}, commit {}: {broken}", commit());
    println!(
        "again: cargo run --release -p trefoil-sim -- {place} --seed {seed}{}",
        if place.contains("--family") { " --trace" } else { "" }
    );
}

/// Where to look for a seed again.
pub(crate) fn place(family: Family) -> &'static str {
    match family {
        Family::ByHand => "--family by-hand",
        Family::Healing => "--family healing",
    }
}

/// All seeds kept their promises.
pub(crate) fn success(first: u64, done: u64, took: Duration) {
    let each_ms = took.as_secs_f64() * 1e3 / done as f64;
    println!("seeds {first} to {} kept every promise; {each_ms:.2} ms each", first + done - 1);
}

/// One line that is written over.
pub(crate) fn progress(seed: u64, done: u64, took: Duration, states: usize) {
    eprint!("\r{done} seeds in {:.0} s, now {seed}; {states} distinct states ", took.as_secs_f64());
}

/// The commit that the working directory is at.
fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let text = output.ok().filter(|o| o.status.success()).map(|o| o.stdout);
    text.map_or("unknown".to_owned(), |text| String::from_utf8_lossy(&text).trim().to_owned())
}
