//! `maxmemory`: keys are evicted, or writes refused, before a command takes its locks.
//!
//! Work per command is bounded: what is still above the limit then is left to the next one, and the
//! command runs, as in Redis.

use std::sync::atomic::Ordering::Relaxed;

use trefoil_store::eviction::{Policy, Ranking};
use trefoil_store::walk::Population;

use crate::log::LogHealth;

use super::Worker;

/// Keys evicted before one command at most.
const EVICTIONS_MAX: usize = 64;

/// Whether there is memory for a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    /// There is, or there will be: keys are being evicted.
    Enough,
    /// There is none, and nothing may be evicted.
    None,
}

/// The policy behind an index into [`crate::config::POLICIES`]; None: nothing is evicted.
fn policy(index: u8) -> Option<Policy> {
    use Population::{AllKeys, WithDeadline};
    let (population, ranking) = match index {
        1 => (AllKeys, Ranking::Lru),
        2 => (AllKeys, Ranking::Lfu),
        3 => (AllKeys, Ranking::Random),
        4 => (WithDeadline, Ranking::Lru),
        5 => (WithDeadline, Ranking::Lfu),
        6 => (WithDeadline, Ranking::Random),
        7 => (WithDeadline, Ranking::Deadline),
        _ => return None,
    };
    Some(Policy { population, ranking })
}

impl Worker {
    /// Evicts keys while there is more data than `limit`. Only outside of any transaction.
    pub(super) fn make_room(&mut self, limit: u64) -> Room {
        if self.memory() <= limit {
            return Room::Enough;
        }
        self.evict(limit)
    }

    /// Bytes of data: this worker's now, the others' at the start of the turn.
    fn memory(&mut self) -> u64 {
        let own = self.node.keyspace.tally(self.index).bytes.get();
        let node = &self.node;
        let others =
            *self.others_bytes.get_or_insert_with(|| node.keyspace.sum(|tally| &tally.bytes) - own);
        u64::try_from(own + others).unwrap_or(0)
    }

    #[cold]
    fn evict(&mut self, limit: u64) -> Room {
        // An eviction is a write: none while writes are refused, have to wait or are paused, or are
        // another node's.
        let log = &self.node.log;
        if self.writer.following_ms.is_some()
            || log.health() != LogHealth::Writing
            || log.is_behind()
            || self.node.held(self.writer.now_ms).is_some()
        {
            return Room::Enough;
        }
        let Some(policy) = policy(self.node.settings.maxmemory_policy.load(Relaxed)) else {
            return Room::None;
        };
        let samples = self.node.settings.maxmemory_samples.load(Relaxed) as usize;
        if self.evicts_by != Some(policy) {
            self.evicts_by = Some(policy);
            self.pool = Default::default();
        }
        for _ in 0..EVICTIONS_MAX {
            let keyspace = &self.node.keyspace;
            if !self.pool.evict_one(keyspace, &mut self.writer, policy, samples) {
                // Another worker may have made room meanwhile.
                self.others_bytes = None;
                return if self.memory() <= limit { Room::Enough } else { Room::None };
            }
            if self.memory() <= limit {
                break;
            }
        }
        Room::Enough
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use crate::config::{POLICIES, set};
    use crate::harness::{TestClient, TestNode};
    use crate::log::LogHealth;

    const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";

    fn configure(node: &TestNode, pairs: &[(&str, &str)]) {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        set(&node.node, &pairs).expect("good values");
    }

    /// Limits memory to what is used now.
    fn fill_up(node: &TestNode, policy: &str) {
        let limit = node.node.keyspace.memory().to_string();
        configure(node, &[("maxmemory", &limit), ("maxmemory-policy", policy)]);
    }

    fn evicted(node: &TestNode) -> i64 {
        node.node.keyspace.sum(|tally| &tally.evicted)
    }

    fn write(node: &mut TestNode, client: &mut TestClient, names: impl Iterator<Item = String>) {
        for name in names {
            assert_eq!(node.run(client, &format!("SET {name} 0123456789")), "+OK", "{name}");
        }
    }

    fn count(node: &mut TestNode, client: &mut TestClient, prefix: &str, keys: usize) -> usize {
        (0..keys).filter(|i| node.run(client, &format!("EXISTS {prefix}{i}")) == ":1").count()
    }

    #[test]
    fn without_eviction_writes_are_refused_and_the_rest_goes_on() {
        let mut node = TestNode::new();
        let mut client = node.client();
        write(&mut node, &mut client, (0..100).map(|i| format!("k{i}")));
        fill_up(&node, "noeviction");
        node.check(&mut client, &[("SET more 1", "+OK"), ("SET evenmore 1", OOM), ("INCR n", OOM)]);
        node.check(&mut client, &[("GET k1", "$10 0123456789"), ("DEL k1 k2", ":2")]);
        node.check(&mut client, &[("SET evenmore 1", "+OK")]);
        assert_eq!(evicted(&node), 0);
    }

    #[test]
    fn volatile_policies_never_touch_keys_without_a_deadline() {
        for policy in POLICIES.iter().filter(|policy| policy.starts_with("volatile")) {
            let mut node = TestNode::new();
            let mut client = node.client();
            write(&mut node, &mut client, (0..100).map(|i| format!("stays{i}")));
            for i in 0..100 {
                node.run(&mut client, &format!("SET goes{i} 0123456789 EX {}", 1000 + i));
            }
            fill_up(&node, policy);
            let mut refused = 0;
            for i in 0..300 {
                let reply = node.run(&mut client, &format!("SET new{i} 0123456789"));
                refused += usize::from(reply == OOM);
            }
            assert_eq!(count(&mut node, &mut client, "stays", 100), 100, "{policy}");
            assert_eq!(count(&mut node, &mut client, "goes", 100), 0, "{policy}");
            assert_eq!(evicted(&node), 100, "{policy}");
            assert!(refused > 100, "{policy}: {refused} refused once all that may go was gone");
        }
    }

    #[test]
    fn nothing_is_evicted_while_the_log_takes_no_writes() {
        let mut node = TestNode::new();
        let mut client = node.client();
        write(&mut node, &mut client, (0..100).map(|i| format!("k{i}")));
        fill_up(&node, "allkeys-lru");
        configure(&node, &[("maxmemory", "1")]);
        node.node.log.set_health(LogHealth::Refusing);
        node.check(&mut client, &[("GET k1", "$10 0123456789"), ("GET k2", "$10 0123456789")]);
        assert_eq!(evicted(&node), 0);
        node.node.log.set_health(LogHealth::Writing);
        node.run(&mut client, "GET k1");
        assert!(evicted(&node) > 0);
    }

    #[test]
    fn a_key_that_lost_its_deadline_is_not_evicted_as_volatile() {
        let mut node = TestNode::new();
        let mut client = node.client();
        for i in 0..20 {
            node.run(&mut client, &format!("SET k{i} 0123456789 EX 1000"));
        }
        fill_up(&node, "volatile-lru");
        // Fills the pool of candidates, then they all become persistent.
        node.run(&mut client, "SET a 0123456789");
        node.run(&mut client, "SET b 0123456789");
        let before = evicted(&node);
        for i in 0..20 {
            node.run(&mut client, &format!("PERSIST k{i}"));
        }
        for i in 0..20 {
            node.run(&mut client, &format!("SET c{i} 0123456789"));
        }
        let left = count(&mut node, &mut client, "k", 20);
        assert!(evicted(&node) - before <= 20 && left as i64 == 20 - evicted(&node));
        assert_eq!(node.run(&mut client, "SET d 0123456789"), OOM);
    }

    #[test]
    fn lru_prefers_keys_that_were_not_used_for_long() {
        let mut node = TestNode::new();
        let mut client = node.client();
        write(&mut node, &mut client, (0..200).map(|i| format!("idle{i}")));
        node.pass_ms(60_000);
        write(&mut node, &mut client, (0..200).map(|i| format!("fresh{i}")));
        node.pass_ms(60_000);
        fill_up(&node, "allkeys-lru");
        write(&mut node, &mut client, (0..100).map(|i| format!("new{i}")));
        let (idle, fresh) = (
            count(&mut node, &mut client, "idle", 200),
            count(&mut node, &mut client, "fresh", 200),
        );
        assert!(200 - idle > 3 * (200 - fresh), "of 200 each, {idle} idle and {fresh} fresh stay");
        let used = node.node.keyspace.memory();
        let limit = node.node.settings.maxmemory.load(Relaxed);
        assert!(used <= limit + 128, "{used} used of {limit}");
    }

    #[test]
    fn lfu_prefers_keys_that_were_not_used_often() {
        let mut node = TestNode::new();
        let mut client = node.client();
        configure(&node, &[("maxmemory-policy", "allkeys-lfu"), ("lfu-log-factor", "0")]);
        for prefix in ["rare", "often"] {
            write(&mut node, &mut client, (0..200).map(|i| format!("{prefix}{i}")));
        }
        for _ in 0..5 {
            count(&mut node, &mut client, "often", 200);
            for i in 0..200 {
                node.run(&mut client, &format!("GET often{i}"));
            }
        }
        fill_up(&node, "allkeys-lfu");
        write(&mut node, &mut client, (0..50).map(|i| format!("new{i}")));
        configure(&node, &[("maxmemory", "0")]);
        let (rare, often) = (
            count(&mut node, &mut client, "rare", 200),
            count(&mut node, &mut client, "often", 200),
        );
        assert!(200 - rare > 3 * (200 - often), "of 200 each, {rare} rare and {often} often stay");
    }

    #[test]
    fn random_and_nearest_deadline_make_room() {
        for policy in ["allkeys-random", "volatile-ttl"] {
            let mut node = TestNode::new();
            let mut client = node.client();
            for i in 0..100 {
                node.run(&mut client, &format!("SET soon{i} 0123456789 EX 10"));
                node.run(&mut client, &format!("SET late{i} 0123456789 EX 100000"));
            }
            fill_up(&node, policy);
            write(&mut node, &mut client, (0..50).map(|i| format!("new{i}")));
            assert!(evicted(&node) >= 30, "{policy}");
            let (soon, late) = (
                count(&mut node, &mut client, "soon", 100),
                count(&mut node, &mut client, "late", 100),
            );
            if policy == "volatile-ttl" {
                assert!(100 - soon > 3 * (100 - late), "{soon} soon and {late} late stay");
            }
        }
    }
}
