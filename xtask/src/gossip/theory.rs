//! What the literature lets one expect of the times that gossip takes.

use trefoil_cluster::gossip::Options;

/// Rounds until a rumour has reached all. A node that knows it sends it to k others per tick, and q of
/// the datagrams arrive: it grows by 1 + kq per tick, then the last are found with chance 1 - e^(-kq). After Pittel,
/// "On spreading a rumor" (1987), who has k = q = 1: log2 N + ln N.
pub(super) fn spreading(nodes: usize, loss_per_mille: u64) -> f64 {
    let options = Options::default();
    let arriving = 1.0 - loss_per_mille as f64 / 1_000.0;
    let reached = f64::from(options.gossip_fanout) * arriving;
    let log = (nodes as f64).ln();
    let ticks = log / (1.0 + reached).ln() + log / reached;
    ticks * options.gossip_interval_ms as f64 / options.probe_period_ms as f64
}

/// Rounds until all know of a death: one until somebody probes the dead node (in the mean, whatever the
/// size: section 3.1 of the SWIM paper), one until the probe is given up, the time to refute, and spreading.
pub(super) fn death(nodes: usize, loss_per_mille: u64) -> f64 {
    let options = Options::default();
    let suspicion = options.suspicion_ms(nodes) as f64 / options.probe_period_ms as f64;
    2.0 + suspicion + spreading(nodes, loss_per_mille)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_grow_with_size_and_loss() {
        assert!(spreading(1_000, 0) > 2.0 * spreading(30, 0) * 0.99);
        assert!(spreading(100, 200) > spreading(100, 0));
        assert!(death(3, 0) > 6.0);
    }
}
