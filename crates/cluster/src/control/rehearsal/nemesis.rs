//! What goes wrong, and how badly.

use trefoil_clock::NodeId;

use super::dice::Dice;
use super::world::World;
use crate::control::{Force, Request};
use crate::controller::ControllerOptions;
use crate::state::ResignReason;

/// How a run is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Temper {
    pub(super) gap_max_ms: u64,
    pub(super) loss_percent: u64,
    pub(super) doubled_percent: u64,
    late_percent: u64,
    slow_sync_percent: u64,
    pub(super) controller: ControllerOptions,
}

#[derive(Clone, Copy, Debug)]
enum Blow {
    Crash,
    Restart,
    Cut,
    CutLeader,
    Heal,
    Pause,
    Failover,
    StepDown,
}

const BLOWS: [Blow; 11] = [
    Blow::Crash,
    Blow::Restart,
    Blow::Restart,
    Blow::Cut,
    Blow::CutLeader,
    Blow::Heal,
    Blow::Heal,
    Blow::Pause,
    Blow::Pause,
    Blow::Failover,
    Blow::StepDown,
];

impl Temper {
    pub(super) fn new(dice: &mut Dice) -> Temper {
        Temper {
            gap_max_ms: dice.pick(&[400, 1_000, 2_500]).expect("some"),
            loss_percent: dice.pick(&[0, 1, 5, 15]).expect("some"),
            doubled_percent: dice.pick(&[0, 2, 20]).expect("some"),
            late_percent: dice.pick(&[0, 2, 20]).expect("some"),
            slow_sync_percent: dice.pick(&[0, 5, 30]).expect("some"),
            controller: ControllerOptions {
                failover_ms: dice.pick(&[100, 300, 300]).expect("some"),
                settle_ms: dice.pick(&[0, 100]).expect("some"),
                // How failovers are held up is tried elsewhere.
                flaps_free: usize::MAX,
                ..ControllerOptions::default()
            },
        }
    }

    /// Nothing goes wrong, and nothing takes long.
    pub(super) fn quiet() -> Temper {
        Temper {
            gap_max_ms: 1,
            loss_percent: 0,
            doubled_percent: 0,
            late_percent: 0,
            slow_sync_percent: 0,
            controller: ControllerOptions::default(),
        }
    }

    pub(super) fn calm(&mut self) {
        (self.loss_percent, self.doubled_percent, self.late_percent) = (0, 0, 0);
    }

    pub(super) fn delay_ms(&self, dice: &mut Dice) -> u64 {
        if dice.percent(self.late_percent) { dice.between(20, 330) } else { dice.between(0, 6) }
    }

    pub(super) fn sync_ms(&self, dice: &mut Dice) -> u64 {
        if dice.percent(self.slow_sync_percent) {
            dice.between(20, 150)
        } else {
            dice.between(0, 4)
        }
    }
}

impl World {
    /// Something goes wrong.
    pub(super) fn strike(&mut self) -> Result<(), String> {
        let blow = self.dice.pick(&BLOWS).expect("some");
        let all = self.nodes();
        let node = self.dice.pick(&all).expect("some");
        match blow {
            Blow::Crash => {
                let machine = self.machines.get_mut(&node).expect("it exists");
                if machine.control.is_some() {
                    let waiting = u64::try_from(machine.unsynced()).expect("few");
                    let survive = usize::try_from(self.dice.between(0, waiting)).expect("few");
                    machine.crash(survive);
                    self.tally.crashes += 1;
                    if self.dice.percent(50) {
                        self.start(node)?;
                    }
                }
            }
            Blow::Restart => {
                if self.machines[&node].control.is_none() {
                    self.start(node)?;
                }
            }
            Blow::Cut => self.cut(|dice, _| dice.percent(50)),
            Blow::CutLeader => {
                let leads = |node: &NodeId| self.machines[node].replica.reign.is_some();
                let leaders: Vec<NodeId> = all.iter().copied().filter(leads).collect();
                // Cut off from all, or with somebody.
                let company = self.dice.percent(40);
                self.cut(|dice, node| leaders.contains(&node) || company && dice.percent(30));
            }
            Blow::Heal => self.cuts.clear(),
            Blow::Pause => {
                let until_ms = self.now_ms + self.dice.between(20, 900);
                let machine = self.machines.get_mut(&node).expect("it exists");
                machine.paused_until_ms = until_ms;
            }
            Blow::Failover => {
                let request = Request::Failover { to: None, force: Force::No };
                self.with(node, |control, clock_ms, out| {
                    control.request(clock_ms, request, out);
                })?;
            }
            Blow::StepDown => {
                if let Some(epoch) = self.machines[&node].replica.led()
                    && self.machines[&node].paused_until_ms <= self.now_ms
                {
                    self.resign(node, epoch, None, ResignReason::SickDisk)?;
                }
            }
        }
        Ok(())
    }

    fn cut(&mut self, is_left: impl Fn(&mut Dice, NodeId) -> bool) {
        let one_way = self.dice.percent(25);
        let nodes = self.nodes();
        let (left, right): (Vec<NodeId>, Vec<NodeId>) =
            nodes.into_iter().partition(|&node| is_left(&mut self.dice, node));
        for &a in &left {
            for &b in &right {
                self.cuts.insert((a, b));
                if !one_way {
                    self.cuts.insert((b, a));
                }
            }
        }
    }
}
