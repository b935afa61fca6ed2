//! FAILOVER PLAN: what would happen if the leader were gone, and why.

use std::fmt;

use serde::{Deserialize, Serialize};
use trefoil_clock::{Epoch, NodeId, Position};

use super::{Lack, Stage};

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The present epoch.
    pub epoch: Epoch,
    /// Whose it is.
    pub leader: NodeId,
    /// What the raft leader is doing.
    pub stage: Stage,
    /// Where the leader's log ended when it was last heard.
    pub leader_end: Position,
    /// So many of the electable nodes have to report.
    pub reports_needed: usize,
    /// One for each member that holds data.
    pub rows: Vec<PlanRow>,
    /// What would happen.
    pub outcome: Outcome,
}

/// A member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlanRow {
    /// Who.
    pub node: NodeId,
    /// Where its log ended when it was last heard. None: it was not heard.
    pub end: Option<Position>,
    /// Records that it lacks, of those that the leader had when it was last heard.
    pub lacks: Option<u64>,
    /// When it was last heard.
    pub silent_ms: Option<u64>,
    /// Whether it may be elected.
    pub fitness: Fitness,
}

/// Whether a member may be elected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Fitness {
    /// It may.
    Fit,
    /// It leads now.
    Leads,
    /// It has not caught up since it is there, so it may lack what was acknowledged.
    NotElectable,
    /// A person has to say so.
    OtherRegion,
    /// Its data is incomplete: it loads a snapshot, or lost a part.
    NotWhole,
    /// Its power went before all was synced, and it has not caught up since: it is elected only if others
    /// prove that it has everything.
    Doubtful,
    /// Its disk or loop is sick. It is elected for want of another one only.
    Sick,
    /// It was not heard lately.
    Silent,
}

/// What would happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// This one would lead, with everything that was acknowledged.
    Leads(NodeId),
    /// This one would lead after a while, and may lack some.
    LeadsLacking(NodeId),
    /// Nobody.
    Nobody(Lack),
}

impl fmt::Display for Fitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fitness::Fit => "may be elected",
            Fitness::Leads => "leads",
            Fitness::NotElectable => "not electable: it has not caught up yet",
            Fitness::OtherRegion => "not by itself: it is in another region",
            Fitness::NotWhole => "not now: its data is incomplete",
            Fitness::Doubtful => {
                "only if others prove that it has everything: its power went, and it has not caught up since"
            }
            Fitness::Sick => "for want of another one only: its disk or loop is sick",
            Fitness::Silent => "not now: it is not heard",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Leads(node) => {
                write!(f, "node {node} would lead, lacking nothing acknowledged")
            }
            Outcome::LeadsLacking(node) => {
                write!(f, "node {node} would lead, and may lack what was acknowledged last")
            }
            Outcome::Nobody(lack) => write!(f, "nobody would lead: {lack}"),
        }
    }
}

impl fmt::Display for PlanRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}: ", self.node)?;
        if let Some(end) = self.end {
            write!(f, "ends at {}:{}, ", end.epoch, end.lsn)?;
        }
        if let Some(lacks) = self.lacks {
            write!(f, "lacks {lacks} records, ")?;
        }
        if let Some(silent_ms) = self.silent_ms {
            write!(f, "heard {silent_ms} ms ago, ")?;
        }
        self.fitness.fmt(f)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "epoch {}, led by node {}: {}", self.epoch, self.leader, self.outcome)?;
        let end = self.leader_end;
        writeln!(f, "its log ended at {}:{} when it was last heard", end.epoch, end.lsn)?;
        writeln!(f, "{} electable nodes have to report", self.reports_needed)?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}
