//! What people see: one moving line per node on a terminal, one line per change in a pipe.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use owo_colors::OwoColorize as _;

use super::layout::Layout;
use super::readiness::Readiness;

/// The progress of a start.
pub(super) struct Display {
    shown: Vec<Option<Readiness>>,
    /// On a terminal: a line per node.
    bars: Option<Vec<ProgressBar>>,
}

impl Display {
    pub(super) fn new(layout: &Layout) -> Display {
        let bars = std::io::stdout().is_terminal().then(|| {
            let lines = MultiProgress::new();
            let style = ProgressStyle::with_template("{spinner:.green} {prefix}  {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = |node: u16| {
                let bar = lines.add(ProgressBar::new_spinner().with_style(style.clone()));
                bar.set_prefix(format!("node {node} on port {}", layout.client_port(node)));
                bar.enable_steady_tick(Duration::from_millis(100));
                bar
            };
            layout.nodes().map(bar).collect()
        });
        Display { shown: vec![None; layout.nodes().len()], bars }
    }

    /// Shows a node's state, if it is a new one.
    pub(super) fn show(&mut self, node: u16, state: &Readiness) {
        let shown = &mut self.shown[usize::from(node)];
        if shown.as_ref() == Some(state) {
            return;
        }
        *shown = Some(state.clone());
        match &self.bars {
            Some(bars) => {
                let bar = &bars[usize::from(node)];
                if state.is_final() {
                    bar.set_style(
                        ProgressStyle::with_template("  {prefix}  {msg}")
                            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
                    );
                    bar.finish_with_message(paint(state));
                } else {
                    bar.set_message(state.to_string());
                }
            }
            None => println!("node {node}: {state}"),
        }
    }

    /// Leaves the lines as they are.
    pub(super) fn finish(self) {
        for bar in self.bars.into_iter().flatten() {
            bar.abandon();
        }
    }
}

fn paint(state: &Readiness) -> String {
    match state {
        _ if std::env::var_os("NO_COLOR").is_some() => state.to_string(),
        Readiness::Ended(_) => state.red().to_string(),
        _ => state.green().to_string(),
    }
}

/// How to use a cluster that is up: `nodes` are those that run, with their process ids and states.
pub(super) fn greeting(layout: &Layout, nodes: &[(u16, u32, Readiness)]) -> String {
    let mut text =
        format!("\nThe cluster is up: {} of {} nodes.\n\n", nodes.len(), layout.nodes().len());
    for (node, pid, state) in nodes {
        let (port, dir) = (layout.client_port(*node), layout.node_dir(*node));
        text.push_str(&format!(
            "  node {node}  redis-cli -p {port:<5}  process {pid:<7}  {}  {state}\n",
            dir.display()
        ));
    }
    let leader = nodes.iter().find(|(_, _, state)| *state == Readiness::Leads);
    let follower = nodes.iter().find(|(_, _, state)| *state == Readiness::CaughtUp);
    text.push_str("\nEach node's output is in output.log in its directory.");
    if let (Some((leader, ..)), Some((follower, ..))) = (leader, follower) {
        let (write, read) = (layout.client_port(*leader), layout.client_port(*follower));
        text.push_str(&format!(
            " A write is acknowledged as `{}` says. Try:\n\n  \
             redis-cli -p {write} SET greeting hello\n  \
             redis-cli -p {read} GET greeting\n  \
             redis-cli -p {write} REPLICATION LAG\n",
            layout.acks()
        ));
    }
    text.push_str("\nCtrl-C stops all nodes.");
    text
}
