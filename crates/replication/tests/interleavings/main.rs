//! A leader and three followers, in any order of events: messages late, links that break, nodes that
//! lose what they had not synced, a log that is cut at its front.
//!
//! Whatever happens, nothing is committed without the members that the rule asks for, who streams has a
//! prefix of the leader's log, and once everything is delivered everybody has everything.

mod node;
mod world;

use proptest::prelude::*;

use world::World;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_interleaving_breaks_an_invariant_and_all_come_to_rest(
        steps in proptest::collection::vec((0..16_u8, 0..3_usize, any::<u8>()), 0..400)
    ) {
        let mut world = World::new();
        for (kind, who, dice) in steps {
            world.step(kind, who, dice);
            world.check();
        }
        world.come_to_rest();
    }
}
