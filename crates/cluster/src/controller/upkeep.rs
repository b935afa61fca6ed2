//! Who votes, and who leads the control plane: looked after one change at a time.
//!
//! Voters are members that are reachable and know nearly everything, up to the number that is wanted.
//! An even number survives no more than the odd one below it, so one more voter is taken only if a
//! second one is at hand, and a number that has become even is lowered after a while.

use std::collections::BTreeMap;

use trefoil_clock::NodeId;

use super::{Controller, Decision, Purpose, Sight, Stage};
use crate::control::RequestId;
use crate::raft::{Config, ProgressRow, Supply};
use crate::state::{Command, Granted, MemberKind};

/// Entries that a voter may lack and still take over.
const LACKS_MAX: u64 = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Upkeep {
    next_ms: u64,
    /// Since when the number of voters is even.
    even_since_ms: Option<u64>,
    transferred_ms: Option<u64>,
    /// Members that are to go, and who asked for it.
    pub(super) leaving: BTreeMap<NodeId, RequestId>,
}

impl Upkeep {
    pub(super) fn new(now_ms: u64, transferred_ms: Option<u64>) -> Upkeep {
        let leaving = BTreeMap::new();
        Upkeep { next_ms: now_ms, even_since_ms: None, transferred_ms, leaving }
    }

    pub(super) fn on_transferring(&mut self, now_ms: u64) {
        self.transferred_ms = Some(now_ms);
    }
}

impl Controller {
    pub(super) fn keep_up(&mut self, sight: &Sight<'_>, out: &mut Vec<Decision>) {
        self.let_go(sight, out);
        if sight.may_reconfigure
            && let Some(config) = self.fit_members(sight)
        {
            out.push(Decision::Reconfigure { config, asker: None });
            return;
        }
        if !sight.state.is_managed() {
            return;
        }
        if sight.now_ms < self.upkeep.next_ms {
            self.wake(self.upkeep.next_ms);
            return;
        }
        self.upkeep.next_ms = sight.now_ms.saturating_add(self.options.maintain_ms);
        self.wake(self.upkeep.next_ms);
        if sight.config.voters.len().is_multiple_of(2) {
            self.upkeep.even_since_ms.get_or_insert(sight.now_ms);
        } else {
            self.upkeep.even_since_ms = None;
        }
        if let Some(to) = self.must_transfer(sight) {
            out.push(Decision::Transfer(to));
        } else if sight.may_reconfigure
            && let Some(config) = self.fit_voters(sight)
        {
            out.push(Decision::Reconfigure { config, asker: None });
        }
    }

    /// Members that take part no more leave the agreed state, too.
    fn let_go(&mut self, sight: &Sight<'_>, out: &mut Vec<Decision>) {
        let takes_part = |node: &NodeId| sight.config.members().any(|member| member == *node);
        let gone = |node: &&NodeId| sight.may_reconfigure && !takes_part(node);
        let gone: Vec<NodeId> = self.upkeep.leaving.keys().filter(gone).copied().collect();
        for node in gone {
            if let Some(id) = self.upkeep.leaving.remove(&node) {
                let command = Command::Leave(node);
                out.push(Decision::Propose { command, purpose: Purpose::Asked(id) });
            }
        }
    }

    /// Whoever is a member takes part, and nobody else.
    fn fit_members(&self, sight: &Sight<'_>) -> Option<Config> {
        let stays = |node: &NodeId| {
            sight.state.members.contains_key(node) && !self.upkeep.leaving.contains_key(node)
        };
        let mut config = sight.config.clone();
        config.learners.retain(|node| stays(node));
        let leaves = config.voters.iter().copied().find(|node| !stays(node) && *node != self.own);
        if let Some(node) = leaves {
            config.voters.remove(&node);
        }
        for &node in sight.state.members.keys().filter(|node| stays(node)) {
            if !config.is_voter(node) && leaves != Some(node) {
                config.learners.insert(node);
            }
        }
        (config != *sight.config).then_some(config)
    }

    /// Members that could vote and do not.
    pub(super) fn candidates<'a>(
        &'a self,
        sight: &'a Sight<'_>,
    ) -> impl Iterator<Item = NodeId> + 'a {
        let fit = |row: &&ProgressRow| {
            let (state, config) = (sight.state, sight.config);
            config.learners.contains(&row.node)
                && state.members.contains_key(&row.node)
                && !state.barred.contains(&row.node)
                && !self.upkeep.leaving.contains_key(&row.node)
                && self.is_close(sight, row)
        };
        sight.progress.iter().filter(fit).map(|row| row.node)
    }

    fn is_close(&self, sight: &Sight<'_>, row: &ProgressRow) -> bool {
        self.is_alive(sight, row)
            && row.supply == Supply::Streaming
            && row.matched.0.saturating_add(LACKS_MAX) >= sight.committed.0
    }

    fn is_alive(&self, sight: &Sight<'_>, row: &ProgressRow) -> bool {
        row.heard_ms.is_some_and(|at_ms| sight.now_ms.saturating_sub(at_ms) < self.options.alive_ms)
    }

    fn is_dead(&self, sight: &Sight<'_>, node: NodeId) -> bool {
        let row = sight.progress.iter().find(|row| row.node == node);
        let heard_ms = row.and_then(|row| row.heard_ms).unwrap_or(self.since_ms);
        node != self.own && sight.now_ms.saturating_sub(heard_ms) >= self.options.dead_ms
    }

    /// Whether the voters that are alive are a majority also without that one.
    pub(super) fn can_do_without(&self, sight: &Sight<'_>, node: NodeId) -> bool {
        let left = sight.config.voters.iter().filter(|&&voter| voter != node).count();
        let alive = |row: &&ProgressRow| {
            row.node != node && sight.config.is_voter(row.node) && self.is_alive(sight, row)
        };
        let own = usize::from(node != self.own && sight.config.is_voter(self.own));
        left > 0 && sight.progress.iter().filter(alive).count() + own > left / 2
    }

    /// The next change of voters, if one is due.
    fn fit_voters(&self, sight: &Sight<'_>) -> Option<Config> {
        let wanted = usize::from(sight.state.voters);
        let voters = sight.config.voters.len();
        let barred = |node: &NodeId| sight.state.barred.contains(node);
        // A witness is there to vote.
        let rank = |node: &NodeId| (!self.is_witness(sight, *node), *node);
        let candidate = self.candidates(sight).min_by_key(rank);
        let spare = |node: &&NodeId| **node != self.own && self.can_do_without(sight, **node);
        let mut spares = sight.config.voters.iter().filter(spare).copied();
        if let Some(node) = spares.clone().find(barred) {
            return Some(without(sight.config, node));
        }
        if let Some(node) = spares.clone().find(|&node| self.is_dead(sight, node))
            && (candidate.is_some() || voters > wanted)
        {
            return Some(without(sight.config, node));
        }
        let step = if voters.is_multiple_of(2) { 1 } else { 2 };
        if voters + step <= wanted && self.candidates(sight).count() >= step {
            return candidate.map(|node| with(sight.config, node));
        }
        let even_ms = self.options.even_ms;
        let is_even_long =
            self.upkeep.even_since_ms.is_some_and(|ms| sight.now_ms.saturating_sub(ms) >= even_ms);
        if voters > wanted || is_even_long {
            let leads =
                |node: NodeId| sight.state.shards.values().any(|shard| shard.leader == node);
            let last = spares.clone().rfind(|&node| !leads(node));
            return last.or_else(|| spares.next()).map(|node| without(sight.config, node));
        }
        None
    }

    fn is_witness(&self, sight: &Sight<'_>, node: NodeId) -> bool {
        sight.state.members.get(&node).is_some_and(|member| member.kind == MemberKind::Witness)
    }

    /// To whom leadership of the control plane would go.
    pub(super) fn successor(&self, sight: &Sight<'_>) -> Option<NodeId> {
        let leads = |node: NodeId| sight.state.shards.values().any(|shard| shard.leader == node);
        let fit =
            |row: &&ProgressRow| row.is_voter && row.node != self.own && self.is_close(sight, row);
        let nodes = sight.progress.iter().filter(fit).map(|row| row.node);
        nodes.min_by_key(|&node| (leads(node), !self.is_witness(sight, node), node))
    }

    /// A node that leads the shard should not also decide about it: its death would cost two elections.
    fn must_transfer(&self, sight: &Sight<'_>) -> Option<NodeId> {
        let leads = sight
            .state
            .shards
            .values()
            .any(|shard| shard.leader == self.own && shard.granted == Granted::Yes);
        let leaves = !sight.config.is_voter(self.own) || sight.state.barred.contains(&self.own);
        let quiet = self.stage == Stage::Watching && sight.may_reconfigure;
        let rested = self
            .upkeep
            .transferred_ms
            .is_none_or(|at_ms| sight.now_ms.saturating_sub(at_ms) >= self.options.transfer_ms);
        if !(leads || leaves) || !quiet || !rested {
            return None;
        }
        let other = |node: &NodeId| {
            leaves || !sight.state.shards.values().any(|shard| shard.leader == *node)
        };
        self.successor(sight).filter(other)
    }
}

fn with(config: &Config, node: NodeId) -> Config {
    let mut config = config.clone();
    config.learners.remove(&node);
    config.voters.insert(node);
    config
}

fn without(config: &Config, node: NodeId) -> Config {
    let mut config = config.clone();
    config.voters.remove(&node);
    config.learners.insert(node);
    config
}
