//! Starts the nodes, watches them, and stops them.
//!
//! A node that dies is reported with its last lines; the others go on, that is what they are for. It is
//! not started again: people who kill a node want to see what happens without it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::ask::{self, Role};
use super::child::{NodeProcess, describe};
use super::display::{Display, greeting};
use super::layout::Layout;
use super::readiness::Readiness;

/// Between two looks at the nodes.
const PACE: Duration = Duration::from_millis(100);
/// After so long the start goes on without those that have not caught up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The nodes and the signals that end them.
pub(super) struct Supervisor<'a> {
    layout: &'a Layout,
    nodes: Vec<Watched>,
    signals: Signals,
    stop_asked: bool,
}

struct Watched {
    number: u16,
    process: NodeProcess,
    /// Its end was told.
    reported: bool,
}

impl Watched {
    fn start(layout: &Layout, number: u16) -> Result<Watched> {
        let process = NodeProcess::start(layout.command(number), &layout.output(number))
            .with_context(|| format!("node {number}"))?;
        Ok(Watched { number, process, reported: false })
    }
}

impl<'a> Supervisor<'a> {
    /// Starts all nodes and returns when they have caught up, or have had the time to.
    pub(super) fn start(layout: &'a Layout) -> Result<Supervisor<'a>> {
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let mut supervisor = Supervisor { layout, nodes: Vec::new(), signals, stop_asked: false };
        let mut display = Display::new(layout);
        supervisor.nodes.push(Watched::start(layout, 0)?);
        let answers = |state: &Readiness| !matches!(state, Readiness::Started | Readiness::Busy(_));
        if supervisor.wait(&mut display, None, answers)? {
            for number in layout.nodes().skip(1) {
                supervisor.nodes.push(Watched::start(layout, number)?);
            }
            supervisor.wait(&mut display, Some(PATIENCE), Readiness::is_final)?;
        }
        display.finish();
        Ok(supervisor)
    }

    /// Waits until all nodes that were started are in a state that will do. False: a signal came, or
    /// time is up.
    fn wait(
        &mut self,
        display: &mut Display,
        patience: Option<Duration>,
        will_do: impl Fn(&Readiness) -> bool,
    ) -> Result<bool> {
        let begun = Instant::now();
        let mut leader_end = None;
        loop {
            let mut all = true;
            for node in 0..self.nodes.len() {
                let state = self.look(node, &mut leader_end);
                display.show(self.nodes[node].number, &state);
                all &= will_do(&state);
            }
            if let [first] = &mut self.nodes[..]
                && let Some(status) = first.process.ended()
            {
                let lines = first.process.last_lines().join("\n  ");
                bail!("the first node {}; its last lines:\n  {lines}", describe(status));
            }
            if all {
                return Ok(true);
            }
            if patience.is_some_and(|most| begun.elapsed() > most) || self.is_stop_asked() {
                return Ok(false);
            }
            thread::sleep(PACE);
        }
    }

    /// A node's state. The end of the leader's log is remembered for those that follow.
    fn look(&mut self, node: usize, leader_end: &mut Option<i64>) -> Readiness {
        let Watched { number, process, .. } = &mut self.nodes[node];
        if let Some(status) = process.ended() {
            return Readiness::Ended(describe(status));
        }
        let answer = ask::role(self.layout.client_port(*number));
        if let Ok(Role::Leads { end }) = &answer {
            leader_end.get_or_insert(*end);
        }
        Readiness::of(answer, *leader_end)
    }

    /// Says how to use the cluster, then watches it until it is told to stop.
    pub(super) fn run(mut self) -> Result<()> {
        if !self.is_stop_asked() {
            println!("{}", self.greeting());
        }
        while !self.is_stop_asked() {
            self.report_ends();
            if self.nodes.iter().all(|node| node.reported) {
                bail!("no node is left");
            }
            thread::sleep(PACE);
        }
        self.stop()
    }

    fn greeting(&mut self) -> String {
        let mut leader_end = None;
        let mut running = Vec::new();
        for node in 0..self.nodes.len() {
            let state = self.look(node, &mut leader_end);
            if !matches!(state, Readiness::Ended(_)) {
                running.push((self.nodes[node].number, self.nodes[node].process.pid(), state));
            }
        }
        greeting(self.layout, &running)
    }

    /// Reports nodes that have ended since the last look.
    fn report_ends(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| !node.reported) {
            let Some(status) = node.process.ended() else { continue };
            node.reported = true;
            eprintln!("node {} {}; its last lines:", node.number, describe(status));
            for line in node.process.last_lines() {
                eprintln!("  {line}");
            }
        }
    }

    /// Whether somebody asked us to stop.
    fn is_stop_asked(&mut self) -> bool {
        self.stop_asked |= self.signals.pending().next().is_some();
        self.stop_asked
    }

    /// Stops all nodes that run: first kindly, at a second signal at once.
    fn stop(mut self) -> Result<()> {
        println!("\nstopping; a second Ctrl-C kills");
        for node in self.nodes.iter_mut().filter(|node| !node.reported) {
            node.process.terminate();
        }
        let mut unclean = 0;
        while let Some(left) = self.nodes.iter().position(|node| !node.reported) {
            if self.signals.pending().next().is_some() {
                self.nodes.iter_mut().for_each(|node| node.process.kill());
            }
            match self.nodes[left].process.ended() {
                Some(status) => {
                    unclean += u32::from(!status.success());
                    self.nodes[left].reported = true;
                    println!("node {} {}", self.nodes[left].number, describe(status));
                }
                None => thread::sleep(PACE),
            }
        }
        if unclean > 0 {
            bail!("{unclean} nodes did not stop cleanly");
        }
        Ok(())
    }
}
