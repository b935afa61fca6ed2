//! What was measured: for each row and server one sample per round.
//!
//! Rows keep the order in which they first appeared. The figure that counts is the median.

use std::collections::BTreeMap;

use super::sections::Section;
use super::servers::Server;

/// Above this share of its core the load generator is what was measured.
pub(super) const CLIENT_SHARE_MAX: f64 = 0.9;

/// The share of Valkey's maximum that all servers get in open loop.
const OPEN_LOOP_SHARE: f64 = 0.6;

/// One line of a table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) section: Section,
    pub(super) name: String,
    pub(super) unit: &'static str,
    samples: BTreeMap<Server, Vec<f64>>,
    /// Medians that the load generator limited, by server.
    client_shares: BTreeMap<Server, Vec<f64>>,
}

/// All rows, and the open loop's rate.
#[derive(Debug, Default)]
pub(super) struct Figures {
    rows: Vec<Row>,
    valkey_max_rate: Option<f64>,
}

impl Row {
    /// The median over the rounds.
    pub(super) fn median(&self, server: Server) -> Option<f64> {
        median(self.samples.get(&server)?)
    }

    /// Trefoil's median over another server's.
    pub(super) fn ratio_to(&self, other: Server) -> Option<f64> {
        let (ours, theirs) = (self.median(Server::Trefoil)?, self.median(other)?);
        (theirs > 0.0).then(|| ours / theirs)
    }

    /// Whether the load generator's core was full while this server was measured.
    pub(super) fn is_client_bound(&self, server: Server) -> bool {
        let share = self.client_shares.get(&server).and_then(|shares| median(shares));
        share.is_some_and(|share| share > CLIENT_SHARE_MAX)
    }

    /// All samples, in the order of the rounds.
    pub(super) fn samples(&self) -> impl Iterator<Item = (Server, &[f64])> {
        self.samples.iter().map(|(server, samples)| (*server, samples.as_slice()))
    }
}

impl Figures {
    /// Adds a sample.
    pub(super) fn add(
        &mut self,
        section: Section,
        name: &str,
        unit: &'static str,
        server: Server,
        value: f64,
    ) {
        self.row(section, name, unit).samples.entry(server).or_default().push(value);
    }

    /// Adds a throughput, with the load generator's share of its core.
    pub(super) fn add_throughput(
        &mut self,
        section: Section,
        name: &str,
        server: Server,
        per_second: f64,
        client_share: f64,
    ) {
        let row = self.row(section, name, "requests/s");
        row.samples.entry(server).or_default().push(per_second);
        row.client_shares.entry(server).or_default().push(client_share);
    }

    /// The rows.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Fixes the rates of open loops.
    pub(super) fn set_valkey_max_rate(&mut self, per_second: f64) {
        self.valkey_max_rate = Some(per_second);
    }

    /// The rate of the open loop, once Valkey's maximum is known.
    pub(super) fn rate(&self) -> Option<f64> {
        self.valkey_max_rate.map(|most| (most * OPEN_LOOP_SHARE).round())
    }

    fn row(&mut self, section: Section, name: &str, unit: &'static str) -> &mut Row {
        let known = self.rows.iter().position(|row| row.section == section && row.name == name);
        let at = known.unwrap_or_else(|| {
            self.rows.push(Row {
                section,
                name: name.to_owned(),
                unit,
                samples: BTreeMap::new(),
                client_shares: BTreeMap::new(),
            });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }
}

fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_ratio_compares_medians() {
        let mut figures = Figures::default();
        for value in [1.0, 2.0, 90.0] {
            figures.add(Section::Spine, "row", "us", Server::Trefoil, value);
            figures.add(Section::Spine, "row", "us", Server::Valkey, value * 2.0);
        }
        assert_eq!(figures.rows().len(), 1);
        assert_eq!(figures.rows()[0].ratio_to(Server::Valkey), Some(0.5));
        assert_eq!(figures.rows()[0].ratio_to(Server::Kevy), None);
    }

    #[test]
    fn a_full_client_core_is_noticed() {
        let mut figures = Figures::default();
        figures.add_throughput(Section::Spine, "row", Server::Trefoil, 1e6, 0.99);
        figures.add_throughput(Section::Spine, "row", Server::Valkey, 1e6, 0.5);
        let row = &figures.rows()[0];
        assert!(row.is_client_bound(Server::Trefoil) && !row.is_client_bound(Server::Valkey));
    }
}
