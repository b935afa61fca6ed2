//! The end: everything is mended, all nodes hold the same, and what they hold is read out.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::nodes::Nodes;
use super::resp::{Connection, Reply};

/// How long the nodes may take to agree once nothing disturbs them.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long one page of keys may take.
const PAGE_PATIENCE: Duration = Duration::from_secs(20);

/// All keys and their values.
pub(super) type Contents = BTreeMap<String, String>;

/// Waits until every follower is connected and has applied all that the leader has.
pub(super) fn converge(nodes: &Nodes) -> Result<()> {
    let leader = nodes.leader();
    for follower in nodes.followers() {
        let what = format!("node {follower} holds what its leader, node {leader}, holds");
        nodes.wait_until(&what, PATIENCE, || {
            let ours = nodes.ask(leader, &["ROLE"])?;
            let theirs = nodes.ask(follower, &["ROLE"])?;
            let (end, applied) = (offset(&ours, 1)?, offset(&theirs, 4)?);
            let state = theirs.elements().get(3).and_then(Reply::text).unwrap_or("?");
            if state == "connected" && applied >= end {
                return Ok(Some(()));
            }
            bail!("it says {state}, and {applied} of {end}");
        })?;
    }
    Ok(())
}

fn offset(role: &Reply, at: usize) -> Result<i64> {
    let offset = role.elements().get(at).and_then(Reply::number);
    offset.with_context(|| format!("a role without an offset: {role:?}"))
}

/// Reads everything that a node holds, from its own memory.
pub(super) fn read(nodes: &Nodes, node: usize) -> Result<Contents> {
    let mut connection = Connection::open(nodes.client_port(node), PAGE_PATIENCE)?;
    if node != nodes.leader() {
        connection.call(&["CONSISTENCY", "eventual"])?;
    }
    let mut contents = Contents::new();
    let mut cursor = "0".to_owned();
    loop {
        let page = connection.call(&["SCAN", &cursor, "COUNT", "500"])?;
        let [next, keys] = page.elements() else { bail!("node {node}: SCAN answered {page:?}") };
        let keys: Vec<&str> = keys.elements().iter().filter_map(Reply::text).collect();
        for key in &keys {
            connection.send(&["GET", key])?;
        }
        for key in keys {
            match connection.receive()? {
                Reply::Text(Some(value)) => drop(contents.insert(key.to_owned(), value)),
                // Deleted since it was listed; the comparison tells if it should not have been.
                Reply::Text(None) => {}
                other => bail!("node {node}: GET {key} answered {other:?}"),
            }
        }
        next.text().unwrap_or("0").clone_into(&mut cursor);
        if cursor == "0" {
            return Ok(contents);
        }
    }
}

/// Keys that differ between two nodes, a few of them in words.
pub(super) fn differences(ours: &Contents, theirs: &Contents) -> Vec<String> {
    let shown = |value: Option<&String>| value.map_or("nothing", String::as_str).to_owned();
    let keys: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    keys.into_iter()
        .filter(|key| ours.get(*key) != theirs.get(*key))
        .map(|key| format!("{key}: {} and {}", shown(ours.get(key)), shown(theirs.get(key))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found_on_both_sides() {
        let contents = |pairs: &[(&str, &str)]| -> Contents {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let (ours, theirs) =
            (contents(&[("a", "1"), ("b", "2")]), contents(&[("b", "3"), ("c", "4")]));
        let found = differences(&ours, &theirs);
        assert_eq!(found, ["a: 1 and nothing", "b: 2 and 3", "c: nothing and 4"]);
        assert!(differences(&ours, &ours.clone()).is_empty());
    }
}
