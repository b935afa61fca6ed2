//! The steps of `cargo xtask test`, in their order.

use std::fmt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::tally::{self, Tally};
use crate::workspace::{self, cargo};
use crate::{chaos, peers, tidy};

/// Where `cargo build --profile ci` puts the server.
const SERVER: &str = "target/ci/trefoil";

/// One step.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Step {
    Tidy,
    Fmt,
    Clippy,
    Docs,
    Test,
    Shuttle,
    Build,
    Peers,
    Clients,
    Chaos,
}

/// The server under the client tests.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Against {
    Trefoil,
    Valkey,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no step is hidden from the command line");
        f.write_str(value.get_name())
    }
}

impl Step {
    /// In the order of running.
    pub(super) const ALL: [Step; 10] = [
        Step::Tidy,
        Step::Fmt,
        Step::Clippy,
        Step::Docs,
        Step::Test,
        Step::Shuttle,
        Step::Build,
        Step::Peers,
        Step::Clients,
        Step::Chaos,
    ];

    /// What the step does, for its heading.
    pub(super) fn summary(self) -> &'static str {
        match self {
            Step::Tidy => "lengths, crate arrows, words, dead files",
            Step::Fmt => "cargo fmt --check",
            Step::Clippy => "cargo clippy, warnings denied",
            Step::Docs => "cargo doc, warnings denied",
            Step::Test => "cargo test of the whole workspace",
            Step::Shuttle => "protocols between workers under many interleavings",
            Step::Build => "the server, profile ci",
            Step::Peers => "the clients and servers that others wrote",
            Step::Clients => "redis-py in RESP2 and RESP3 against the built server",
            Step::Chaos => "a real cluster under faults for half a minute, judged",
        }
    }

    /// Runs the step; steps that run tests say how many.
    pub(super) fn run(self, against: Against) -> Result<Option<Tally>> {
        match self {
            Step::Tidy => tidy::run()?,
            Step::Fmt => {
                require_component("fmt", "rustfmt")?;
                workspace::run(&mut cargo(&["fmt", "--all", "--check"]))?;
            }
            Step::Clippy => {
                require_component("clippy", "clippy")?;
                let arguments = ["clippy", "--locked", "--workspace", "--all-targets", "--"];
                workspace::run(cargo(&arguments).args(["-D", "warnings"]))?;
            }
            Step::Docs => {
                let mut docs = cargo(&["doc", "--locked", "--workspace", "--no-deps"]);
                docs.args(["--document-private-items", "--quiet"]);
                workspace::run(docs.env("RUSTDOCFLAGS", "-D warnings"))?;
            }
            Step::Test => return cargo_test().map(Some),
            Step::Shuttle => return shuttle().map(Some),
            Step::Build => {
                let build = ["build", "--locked", "--profile", "ci", "--bin", "trefoil"];
                workspace::run(&mut cargo(&build))?;
            }
            Step::Peers => peers::run(&peers::Options::default())?,
            Step::Clients => return clients(against).map(Some),
            Step::Chaos => {
                chaos::run(&chaos::Options::brief(workspace::root().join(SERVER)))?;
            }
        }
        Ok(None)
    }
}

fn require_component(subcommand: &str, component: &str) -> Result<()> {
    workspace::output_of(&mut cargo(&[subcommand, "--version"]))
        .map(drop)
        .with_context(|| format!("missing tool: `rustup component add {component}`"))
}

fn cargo_test() -> Result<Tally> {
    let mut command = cargo(&["test", "--locked", "--workspace", "--no-fail-fast"]);
    let (succeeded, text) = tally::run_and_read(&mut command)?;
    let tally = Tally::of_cargo_test(&text);
    accept(&command, succeeded, tally)
}

/// Another configuration of the whole crate, so it has a target directory of its own.
fn shuttle() -> Result<Tally> {
    let arguments = ["test", "--locked", "-p", "trefoil-node", "--lib"];
    let mut command = cargo(&arguments);
    command.args(["--target-dir", "target/shuttle", "--", "shuttle"]);
    command.env("RUSTFLAGS", "--cfg shuttle");
    let (succeeded, text) = tally::run_and_read(&mut command)?;
    let tally = Tally::of_cargo_test(&text);
    accept(&command, succeeded, tally)
}

fn clients(against: Against) -> Result<Tally> {
    let mut command = Command::new(peers::python()?);
    command
        .args(["-m", "pytest", "-p", "no:cacheprovider", "--tb=short", "-ra", "tests/clients"])
        // Nodes reserve space for their logs: what passed leaves nothing behind.
        .args(["-o", "tmp_path_retention_policy=failed", "-o", "tmp_path_retention_count=1"])
        .current_dir(workspace::root())
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    match against {
        Against::Trefoil => {
            let server = workspace::root().join(SERVER);
            if !server.is_file() {
                bail!("{SERVER} is missing: `cargo xtask test --only build`");
            }
            command.env("SERVER_UNDER_TEST", server).env("SERVER_KIND", "trefoil");
        }
        Against::Valkey => {
            println!("NOT Trefoil: these are the client tests against Valkey, as asked");
            let server = peers::valkey_server()?;
            command.env("SERVER_UNDER_TEST", server).env("SERVER_KIND", "valkey");
        }
    }
    let (succeeded, text) = tally::run_and_read(&mut command)?;
    let tally = Tally::of_pytest(&text);
    accept(&command, succeeded, tally)
}

fn accept(command: &Command, succeeded: bool, tally: Tally) -> Result<Tally> {
    let shown = workspace::show(command);
    if !succeeded {
        bail!("`{shown}` failed: {tally}");
    }
    if tally.is_empty() {
        bail!("`{shown}` ran no test");
    }
    Ok(tally)
}
