//! Which node is in which region, and which nodes a region's clients can reach.

use std::fmt;

use clap::ValueEnum;

/// Where the first leader is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LeaderSide {
    /// Where most nodes are.
    Majority,
    /// Where fewer nodes are.
    Minority,
}

/// East is where the first leader is: node 0 and those after it.
pub(crate) struct Regions {
    east: Vec<usize>,
    west: Vec<usize>,
}

/// The names of both, as nodes are told.
pub(crate) const NAMES: [&str; 2] = ["east", "west"];

impl Regions {
    /// An odd number of nodes, so that one side has more.
    pub(crate) fn new(count: usize, leader: LeaderSide) -> Regions {
        let in_east = match leader {
            LeaderSide::Majority => count.div_ceil(2),
            LeaderSide::Minority => count / 2,
        };
        Regions { east: (0..in_east).collect(), west: (in_east..count).collect() }
    }

    pub(crate) fn east(&self) -> &[usize] {
        &self.east
    }

    pub(crate) fn west(&self) -> &[usize] {
        &self.west
    }

    /// By node.
    pub(crate) fn labels(&self) -> Vec<Option<&'static str>> {
        let count = self.east.len() + self.west.len();
        (0..count).map(|node| Some(self.name_of(node))).collect()
    }

    pub(crate) fn name_of(&self, node: usize) -> &'static str {
        NAMES[usize::from(self.west.contains(&node))]
    }

    /// The nodes of each client's own region, its home first. Clients take turns: an even number is in
    /// the east.
    pub(crate) fn reach(&self, clients: usize) -> Vec<Vec<usize>> {
        let of = |client: usize| {
            let mut nodes = [&self.east, &self.west][client % 2].clone();
            let home = (client / 2) % nodes.len();
            nodes.rotate_left(home);
            nodes
        };
        (0..clients).map(of).collect()
    }

    /// Where a client is.
    pub(crate) fn of_client(client: usize) -> &'static str {
        NAMES[client % 2]
    }
}

impl fmt::Display for Regions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "east with the leader {:?}, west {:?}", self.east, self.west)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_where_it_is_wanted_and_clients_stay_in_their_region() {
        let regions = Regions::new(3, LeaderSide::Minority);
        assert_eq!((regions.east(), regions.west()), ([0].as_slice(), [1, 2].as_slice()));
        assert_eq!(regions.reach(4), [vec![0], vec![1, 2], vec![0], vec![2, 1]]);
        assert_eq!(Regions::of_client(3), "west");
        let regions = Regions::new(5, LeaderSide::Majority);
        assert_eq!((regions.east().len(), regions.west().len()), (3, 2));
        assert_eq!(regions.labels()[2..4], [Some("east"), Some("west")]);
    }
}
