//! What a seed decides of a run in which nodes agree on the leader.

use trefoil_cluster::control::ControlOptions;
use trefoil_replication::Acks;

use crate::cluster::agenda::{MS, Micros};
use crate::cluster::plan::{Care, Plan};
use crate::cluster::sabotage::Defect;
use crate::dice::Dice;

/// What a clock may be off by, millionths: two of them differ by 25 ms over a lease of 350 ms and the
/// wait after it, less what is lost by counting whole milliseconds.
const DRIFT_PPM_MAX: i64 = 33_000;
/// What clocks usually are off by.
const DRIFT_PPM: i64 = 200;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct HealPlan {
    /// How many are to vote.
    pub(crate) voters: u8,
    /// Each node's clock.
    pub(crate) drift_ppm: Vec<i64>,
    /// Of a thousand datagrams so many are lost, and as many come twice.
    pub(crate) losses: u64,
    /// People take losses upon them now and then.
    pub(crate) forces: bool,
    /// About how long from one thing that people do to the next.
    pub(crate) whim_gap: Micros,
    pub(crate) options: ControlOptions,
}

impl HealPlan {
    /// Draws both parts of the plan.
    pub(crate) fn draw(dice: &mut Dice, defect: Defect) -> (Plan, HealPlan) {
        let mut plan = Plan::draw(dice);
        plan.nodes = [3, 3, 3, 4, 5][dice.below(5) as usize];
        plan.care = Care::Careful;
        plan.policy.acks = match dice.below(5) {
            0 => Acks::Async,
            1..=3 => Acks::SemiSync(if plan.nodes > 3 && dice.one_in(3) { 2 } else { 1 }),
            _ => Acks::Sync,
        };
        plan.losses_max = match plan.policy.acks {
            Acks::SemiSync(k) => u64::from(k),
            Acks::Sync | Acks::Async => 1,
        };
        plan.steady = !dice.one_in(4);
        plan.heals_at = (6_000 + dice.below(4_000)) * MS;
        plan.fault_gap = (150 + dice.below(900)) * MS;
        plan.restart_after = (20 + dice.below(1_500)) * MS;
        let at_bound = dice.one_in(2);
        let drift_ppm = (0..plan.nodes)
            .map(|_| match dice.below(3) {
                0 if at_bound => DRIFT_PPM_MAX,
                1 if at_bound => -DRIFT_PPM_MAX,
                _ => dice.below(2 * DRIFT_PPM as u64) as i64 - DRIFT_PPM,
            })
            .collect();
        let heal = HealPlan {
            voters: if plan.nodes == 5 && dice.one_in(2) { 5 } else { 3 },
            drift_ppm,
            losses: [0, 5, 20, 50][dice.below(4) as usize],
            forces: dice.one_in(4) || defect == Defect::GrantWithoutWait,
            whim_gap: (200 + dice.below(2_500)) * MS,
            options: options(dice, defect),
        };
        (plan, heal)
    }

    /// What two clocks may differ by over a time.
    pub(crate) fn slack_ms(&self, over_ms: u64) -> u64 {
        let most = self.drift_ppm.iter().map(|ppm| ppm.unsigned_abs()).max().unwrap_or(0);
        4 + over_ms * 2 * most / 1_000_000
    }
}

/// Times are those of real clusters, but for what people would have to wait for.
fn options(dice: &mut Dice, defect: Defect) -> ControlOptions {
    let compact_entries = [8, 64, 512][dice.below(3) as usize];
    let mut options =
        ControlOptions { request_ms: 3_000, compact_entries, ..ControlOptions::default() };
    let controller = &mut options.controller;
    controller.handover_ms = 200 + dice.below(800);
    controller.handover_slack_ms = 100;
    controller.transfer_ms = 1_000;
    controller.dead_ms = 2_000 + dice.below(4_000);
    controller.flaps_free = 3 + dice.below(6) as usize;
    controller.flap_hold_ms = 300;
    controller.flap_hold_max_ms = 1_500;
    controller.flap_window_ms = 5_000;
    if defect == Defect::GrantWithoutWait {
        // The gate adds what is missing here: see there.
        options.lease_ms = 1;
        options.controller.drift_ms = 0;
    }
    options
}
