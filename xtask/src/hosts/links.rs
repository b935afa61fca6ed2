//! Which host's packets to which other are dropped, and the router's rules for it.

use super::Hosts;

/// What the first host sends to the second.
pub(crate) type Link = (usize, usize);

/// Rules of ours are found by their preference: this and the link's number.
const FIRST_PREFERENCE: usize = 1_000;

/// What these send to those.
pub(crate) fn one_way(from: &[usize], to: &[usize]) -> Vec<Link> {
    from.iter().flat_map(|&from| to.iter().map(move |&to| (from, to))).collect()
}

/// What both groups send to each other.
pub(crate) fn between(one: &[usize], other: &[usize]) -> Vec<Link> {
    [one_way(one, other), one_way(other, one)].concat()
}

/// All links of one host among `count`.
pub(crate) fn isolating(host: usize, count: usize) -> Vec<Link> {
    let others: Vec<usize> = (0..count).filter(|other| *other != host).collect();
    between(&[host], &others)
}

/// The router's end of a host's cable.
pub(super) fn cable(host: usize) -> String {
    format!("host{host}")
}

/// Lines for `ip` that add or delete a rule for each link.
pub(super) fn rules(verb: &str, links: &[Link]) -> String {
    let rule = |(from, to): &Link| {
        let preference = FIRST_PREFERENCE + from * super::HOSTS_MAX + to;
        let (cable, address) = (cable(*from), Hosts::ip(*to));
        format!("rule {verb} pref {preference} iif {cable} to {address} blackhole\n")
    };
    links.iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_isolated_in_both_directions_from_all_others() {
        assert_eq!(isolating(1, 3), [(1, 0), (1, 2), (0, 1), (2, 1)]);
        assert_eq!(one_way(&[0, 1], &[2]), [(0, 2), (1, 2)]);
    }

    #[test]
    fn each_link_has_a_rule_of_its_own() {
        assert_eq!(
            rules("add", &[(0, 1), (1, 0)]),
            "rule add pref 1001 iif host0 to 10.97.0.2 blackhole\n\
             rule add pref 1100 iif host1 to 10.97.0.1 blackhole\n"
        );
    }
}
