//! What the members of a cluster say, each for itself, asked at the same time.

use std::thread;

use anyhow::Result;
use trefoil_wire::resp::client::Value;

use super::super::connection::{AskError, Connection, Door};
use super::super::record::{Record, rows};
use super::super::target::{Target, address, split_address};

/// What one node says.
#[derive(Clone, Default, Debug)]
pub(super) struct Answer {
    /// Where it was asked.
    pub(super) address: String,
    /// Why it did not answer.
    pub(super) trouble: Option<String>,
    /// CLUSTER VIEW.
    pub(super) view: Option<Value>,
    /// CLUSTER MEMBERS.
    pub(super) members: Option<Value>,
    /// REPLICATION PROMISE.
    pub(super) promise: Option<Value>,
    /// REPLICATION LAG.
    pub(super) lag: Option<Value>,
    /// KEYSPACE INFO.
    pub(super) keyspace: Option<Value>,
    /// INFO, its lines.
    pub(super) info: Vec<(String, String)>,
    /// Tails that were cut off and are kept.
    pub(super) diverged: usize,
}

impl Answer {
    /// A line of INFO.
    pub(super) fn info(&self, name: &str) -> Option<&str> {
        self.info.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.info(name)?.parse().ok()
    }

    /// The node's name.
    pub(super) fn node(&self) -> Option<String> {
        let view = self.view.as_ref().and_then(|view| Record::new(view).said("own"));
        view.or_else(|| self.info("trefoil_node").map(str::to_owned))
    }
}

/// How often it is followed up who else was named: a follower by hand names its leader, which names the
/// others.
const ROUNDS: usize = 3;

/// Asks the node that was named, then all that it knows of, then all that those know of. The first answer
/// is its own.
pub(super) fn gather(target: &Target) -> Result<Vec<Answer>> {
    let door = target.door()?;
    let mut connection = target.connect()?;
    let first = ask_all(&mut connection, target.address());
    if let Some(trouble) = &first.trouble {
        return Err(target.explain(AskError::Unreachable(trouble.clone())));
    }
    let mut answers = vec![first];
    for _ in 0..ROUNDS {
        let named = named(&answers);
        if named.is_empty() {
            break;
        }
        let asked = thread::scope(|scope| {
            let visit = |address| scope.spawn(|| visit(&door, address));
            let asking: Vec<_> = named.into_iter().map(visit).collect();
            asking.into_iter().filter_map(|it| it.join().ok()).collect::<Vec<Answer>>()
        });
        for answer in asked {
            // Some have two addresses.
            let node = answer.node();
            if node.is_none() || answers.iter().all(|known| known.node() != node) {
                answers.push(answer);
            }
        }
    }
    Ok(answers)
}

/// Where all nodes are, the one that was named first.
pub(in crate::ops) fn nodes(target: &Target) -> Result<Vec<String>> {
    Ok(gather(target)?.into_iter().map(|answer| answer.address).collect())
}

/// Where nodes are that these know of and that were not asked: members, and who follows or leads by hand.
fn named(answers: &[Answer]) -> Vec<String> {
    let mut nodes: Vec<String> = answers.iter().filter_map(Answer::node).collect();
    let mut addresses: Vec<String> = answers.iter().map(|answer| answer.address.clone()).collect();
    let asked = addresses.len();
    let mut add = |node: String, address: String| {
        if !address.is_empty() && !addresses.contains(&address) && !nodes.contains(&node) {
            addresses.push(address);
            nodes.extend((!node.is_empty()).then_some(node));
        }
    };
    for answer in answers {
        let members = answer.view.as_ref().map(|view| Record::new(view).records("members"));
        let rows = answer.lag.as_ref().map(rows).unwrap_or_default();
        for record in members.unwrap_or_default().into_iter().chain(rows) {
            // A follower's one row is about itself, and has no address.
            add(record.text("node"), record.text("address"));
        }
        let leader = answer.info("master_host").zip(answer.number("master_port"));
        if let Some((host, port @ 1..=65_535)) = leader.filter(|(host, _)| !host.is_empty()) {
            add(String::new(), address(host, port as u16));
        }
    }
    addresses.split_off(asked)
}

fn visit(door: &Door, address: String) -> Answer {
    let opened = match split_address(&address) {
        Some((host, port)) => door.open(host, port),
        None => Err(AskError::Unreachable("that is no address".into())),
    };
    match opened {
        Ok(mut connection) => ask_all(&mut connection, address),
        Err(AskError::Unreachable(why) | AskError::Refused(why)) => {
            Answer { address, trouble: Some(why), ..Answer::default() }
        }
    }
}

/// A node that does not know a command says less; one that does not answer any more has trouble.
fn ask_all(connection: &mut Connection, address: String) -> Answer {
    let mut answer = Answer { address, ..Answer::default() };
    let mut ask = |words: &[&str]| match connection.ask(words) {
        Ok(value) => Ok(Some(value)),
        Err(AskError::Refused(_)) => Ok(None),
        Err(AskError::Unreachable(why)) => Err(why),
    };
    let mut fill = || -> Result<(), String> {
        answer.view = ask(&["CLUSTER", "VIEW"])?;
        answer.members = ask(&["CLUSTER", "MEMBERS"])?;
        answer.promise = ask(&["REPLICATION", "PROMISE"])?;
        answer.lag = ask(&["REPLICATION", "LAG"])?;
        answer.keyspace = ask(&["KEYSPACE", "INFO"])?;
        answer.info = ask(&["INFO"])?.as_ref().map(lines).unwrap_or_default();
        let diverged = ask(&["REPLICATION", "DIVERGED", "LIST"])?;
        answer.diverged = diverged.and_then(|it| it.as_elements().map(<[Value]>::len)).unwrap_or(0);
        Ok(())
    };
    let filled = fill();
    answer.trouble = filled.err();
    answer
}

fn lines(info: &Value) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(info.as_bytes().unwrap_or_default()).into_owned();
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(pair).collect()
}
