//! When a run of this family is over: nodes agreed on a leader again, in time, and it serves.

use super::super::agenda::{MS, Micros};
use super::super::process::Role;
use super::super::world::World;

/// After all faults are over, a client's write is acknowledged within this time: nodes start, elect, end
/// what was held up, and people remove what does not come back.
const HEALS_WITHIN: Micros = 15_000 * MS;

impl World {
    /// The node that leads, as the run's end needs it.
    pub(crate) fn leading_slot(&self) -> usize {
        if self.healing.is_none() {
            return self.operator.intended;
        }
        let leads = |slot: &usize| self.led_epoch(*slot).is_some();
        let leading = (0..self.nodes.len()).filter(leads);
        leading.max_by_key(|slot| self.led_epoch(*slot)).unwrap_or(0)
    }

    /// Datagrams get through again, and links go on.
    pub(crate) fn end_cuts(&mut self) {
        for row in &mut self.net.stall_until {
            row.fill(0);
        }
        if let Some(healing) = &mut self.healing {
            for row in &mut healing.mute_until {
                row.fill(0);
            }
        }
    }

    pub(crate) fn trace_heal_plan(&mut self) {
        if let Some(healing) = &self.healing {
            let plan = healing.plan.clone();
            self.trace(format_args!("{plan:?}"));
        }
    }

    /// Whether clients may end: somebody served them since everything healed.
    pub(crate) fn is_served(&mut self) -> bool {
        let Some(healing) = &self.healing else { return true };
        if healing.served {
            return true;
        }
        let since = self.now - self.plan.heals_at;
        if since > HEALS_WITHIN {
            let states: Vec<String> = (0..self.nodes.len()).map(|slot| self.tell(slot)).collect();
            let text = format!("15 s after all healed nobody is served: {}", states.join("; "));
            self.judge.broken("heals", text);
        }
        false
    }

    /// A node in a few words.
    fn tell(&self, slot: usize) -> String {
        let Some(process) = &self.nodes[slot].process else { return format!("n{slot} is down") };
        let Some(part) = &process.part else { return format!("n{slot} has no part") };
        let view = part.view.as_ref();
        let shard = view.and_then(|view| view.state.shards.get(&super::super::SHARD));
        let (end, letter) = (process.end, process.role.letter());
        let node = self.nodes[slot].disk.identity.node;
        let agreed =
            shard.map(|shard| (shard.epoch, shard.leader, shard.granted, &shard.electable));
        let stage = view.and_then(|view| view.stage);
        let voters = view.map(|view| &view.voters);
        let blocked = match &process.role {
            Role::Leading(leading) => leading.core.is_blocked(),
            _ => false,
        };
        format!(
            "n{slot} ({node}) {letter} {end:?} blocked {blocked}, agreed {agreed:?}, voters {voters:?}, \
             raft leader {:?} in term {:?}, {stage:?}",
            view.and_then(|view| view.raft_leader),
            view.map(|view| view.term)
        )
    }
}
