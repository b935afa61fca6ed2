//! The end of a run: faults stop, everything must come together again, then the last judgement.

use trefoil_clock::Position;

use super::agenda::{MS, Micros};
use super::process::Role;
use super::world::World;
use crate::invariants::Archive;

/// After the faults are over, the cluster has this long to come together.
const PATIENCE: Micros = 40_000 * MS;

impl World {
    /// Faults are over; clients go on for a while.
    pub(crate) fn heal(&mut self) {
        self.trace(format_args!("everything heals"));
        self.healed = true;
        for row in &mut self.net.stuck_until {
            row.fill(0);
        }
        for row in &mut self.net.delay {
            row.fill(200);
        }
        self.end_cuts();
        for slot in 0..self.nodes.len() {
            let node = &mut self.nodes[slot];
            (node.paused_until, node.full_until, node.unseen_until) = (0, 0, 0);
            if node.process.is_none() {
                self.start_later(slot);
            }
        }
    }

    /// Whether the run is over: all came together, or had time enough.
    pub(crate) fn is_over(&mut self) -> bool {
        if !self.healed {
            return false;
        }
        let since = self.now - self.plan.heals_at;
        if since > 300 * MS && self.is_served() {
            self.asking = false;
        }
        if since > PATIENCE {
            let why = self.apart().unwrap_or_else(|| "a client still waits".to_owned());
            self.judge.broken("convergence", format!("40 s after all healed: {why}"));
            return true;
        }
        since > 2_000 * MS
            && self.clients.iter().all(|c| c.open.is_none())
            && self.apart().is_none()
    }

    /// What is still missing until all nodes are one.
    fn apart(&self) -> Option<String> {
        let intended = self.leading_slot();
        let leading = &self.nodes[intended];
        let Some(leader) = leading.process.as_ref() else {
            return Some(format!("node {intended} is down"));
        };
        let Role::Leading(leading) = &leader.role else {
            return Some(format!("node {intended} does not lead"));
        };
        if leading.commit != leader.end.lsn || leading.released != leader.end.lsn {
            let Position { epoch, lsn } = leader.end;
            let (commit, released) = (leading.commit, leading.released);
            return Some(format!("end {epoch}:{lsn}, commit {commit}, released {released}"));
        }
        for (slot, node) in self.nodes.iter().enumerate() {
            let Some(process) = &node.process else { return Some(format!("n{slot} is down")) };
            let together = match &process.role {
                Role::Following(following) => following.core.is_ready(),
                Role::Leading(_) => slot == intended,
                Role::Recovering { .. } | Role::Fenced => false,
            };
            let level = process.end == leader.end
                && process.store.applied == leader.end.lsn
                && node.disk.log.durable == leader.end.lsn;
            if !together || !level {
                let state = match &process.role {
                    Role::Following(following) => format!("{:?}", following.core.state()),
                    other => other.letter().to_string(),
                };
                return Some(format!(
                    "n{slot} ({state}) is at {:?} of {:?}",
                    process.end, leader.end
                ));
            }
        }
        None
    }

    /// Every promise is looked at once more, with hindsight.
    pub(crate) fn judge_the_end(&mut self) {
        let slot = self.leading_slot();
        let leader = self.nodes[slot].process.as_ref().expect("runs end with a leader");
        // Careless people may have made the history of an emptied node everybody's.
        let cluster = self.nodes[slot].disk.identity.cluster;
        let id = self.judge.id_at(cluster, &leader.epochs, leader.end.lsn);
        let digest = leader.store.digest();
        for other in 0..self.nodes.len() {
            self.check_store(other);
            let epochs = self.history(slot);
            let process = self.process(other);
            if process.store.digest() != digest || process.epochs != epochs {
                self.judge
                    .broken("convergence", format!("n{other} differs from the leader n{slot}"));
            }
        }
        let archives: Vec<Archive> = self
            .nodes
            .iter()
            .map(|node| Archive {
                node: node.disk.identity.node,
                records: node.disk.archive.clone(),
                snapshots: node.disk.archived_snapshots.clone(),
            })
            .collect();
        self.met.event(if id > 0 { "runs to the end" } else { "runs without a record" });
        self.judge.the_end(id, &archives);
        let lost = self.judge.lost_count();
        for _ in 0..lost {
            self.met.event("acknowledged writes lost where that is allowed");
        }
    }
}
