//! Policies that the cluster agrees upon: all nodes have the same, and keep them.
//!
//! What a node does with its own disk (`fsync`) is its own. A node that is alone agrees with itself;
//! when it acknowledges is then its configuration, which the agreement follows.

use trefoil_cluster::control::Request;
use trefoil_cluster::state::{DEFAULT_KEYSPACE, Failover, KeyspacePolicy, Origin};
use trefoil_commands::{CommandError, parse_i64};
use trefoil_replication::{AckLevel, Acks, OnLost};

use super::refused;
use crate::config::{self, ConfigError, Value};
use crate::families::asked;
use crate::families::fields::Fields;
use crate::handler::{Flow, NodeCall};
use crate::node::Node;
use crate::session::Asked;

/// What only the cluster has.
pub(super) const OWN: &[&str] = &["failover", "max-loss"];

/// `max-loss` without a limit.
const ANY: &str = "any";

type Change = fn(&mut KeyspacePolicy, &Value);

/// What is agreed upon that is a parameter of a node, too: its value is spelled as there.
const PARAMETERS: &[(&str, Change)] = &[
    ("acks", |policy, value| {
        if let Value::Text(text) = value
            && let Some(acks) = Acks::parse(&String::from_utf8_lossy(text))
        {
            policy.acks.acks = acks;
        }
    }),
    ("ack-level", |policy, value| {
        if let Value::Number(index) = value {
            policy.acks.level = AckLevel::from_index(*index as u8);
        }
    }),
    ("on-lost-acks", |policy, value| {
        if let Value::Number(index) = value {
            policy.acks.on_lost = OnLost::from_index(*index as u8);
        }
    }),
    ("degrade-after", |policy, value| {
        if let Value::Number(millis) = value {
            policy.acks.degrade_after_ms = millis.unsigned_abs();
        }
    }),
];

/// Whether a parameter of a member can't be changed on that node alone.
pub(in crate::families) fn is_agreed_upon(name: &[u8]) -> bool {
    PARAMETERS.iter().any(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether the cluster has to agree to these options, and not only this node.
pub(super) fn is_to_be_agreed(node: &Node, pairs: &[(&[u8], &[u8])]) -> bool {
    let is_own = |name: &[u8]| OWN.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()));
    pairs
        .iter()
        .any(|(name, _)| is_own(name) || node.agreement.is_managed() && is_agreed_upon(name))
}

/// What is in force, or what a node begins with.
pub(super) fn agreed(node: &Node) -> KeyspacePolicy {
    let view = node.agreement.view();
    let agreed = view.as_ref().and_then(|view| view.state.keyspaces.get(DEFAULT_KEYSPACE)).copied();
    agreed.unwrap_or(KeyspacePolicy { acks: node.settings.policy(), ..KeyspacePolicy::alone() })
}

/// The options that only the cluster has.
pub(super) fn show(policy: &KeyspacePolicy, fields: &mut Fields) {
    fields.text("failover", policy.failover.name());
    fields.text("max-loss", policy.max_loss.map_or(ANY.into(), |records| records.to_string()));
}

/// Asks the cluster to agree; the options that are this node's own are set once it has.
pub(super) fn alter(
    call: &mut NodeCall<'_>,
    pairs: &[(&[u8], &[u8])],
) -> Result<Flow, CommandError> {
    let is_waiting = call.session.waiting.is_some();
    if !is_waiting {
        check_names(pairs)?;
        asked::view(call)?;
    }
    let node = &call.worker.node;
    let is_managed = node.agreement.is_managed();
    let (own, policy) = changed(node, pairs, is_managed)?;
    if !is_waiting && !call.worker.is_in_exec() {
        config::set(node, &own).map_err(refused)?;
    }
    // Alone, it is the configuration that says when a write is acknowledged.
    let acks = if is_managed { policy.acks } else { node.settings.policy() };
    let policy = KeyspacePolicy { acks, ..policy };
    let is_asked =
        call.session.waiting.as_ref().is_none_or(|waiting| waiting.asked != Asked::Nothing);
    if is_asked {
        let keyspace = DEFAULT_KEYSPACE.to_owned();
        let until_ms = call.session.waiting.as_ref().map(|waiting| waiting.until_ms);
        if asked::ask(call, || Request::SetPolicy { keyspace, policy })?.is_none() {
            return Ok(Flow::Retry);
        }
        asked::go_on_waiting(call, until_ms);
    }
    let node = &call.worker.node;
    let is_over =
        call.session.waiting.as_ref().is_none_or(|it| it.until_ms <= call.worker.writer.now_ms);
    if is_over || is_in_force(node, policy) {
        call.session.waiting = None;
        call.reply().ok();
        return Ok(Flow::Continue);
    }
    Ok(Flow::Retry)
}

/// Whether this node does as was agreed upon.
fn is_in_force(node: &Node, policy: KeyspacePolicy) -> bool {
    agreed(node) == policy
        && node.settings.policy() == policy.acks
        && (!node.replication.is_leading() || node.replication.is_configured())
}

/// Each option once.
fn check_names(pairs: &[(&[u8], &[u8])]) -> Result<(), CommandError> {
    for (at, (name, _)) in pairs.iter().enumerate() {
        if pairs[..at].iter().any(|(before, _)| before.eq_ignore_ascii_case(name)) {
            return Err(refused(error(name, "duplicate parameter")));
        }
    }
    Ok(())
}

type Pairs<'p> = Vec<(&'p [u8], &'p [u8])>;

/// The parameters that are this node's own, and the policy with all other options changed. Nothing is
/// changed yet.
fn changed<'p>(
    node: &Node,
    pairs: &[(&'p [u8], &'p [u8])],
    is_managed: bool,
) -> Result<(Pairs<'p>, KeyspacePolicy), CommandError> {
    let (mut own, mut policy) = (Vec::new(), agreed(node));
    for &(name, text) in pairs {
        let Some(parameter) = config::find(name) else {
            change_own(&mut policy, name, text).map_err(refused)?;
            continue;
        };
        let current = parameter.value(&node.settings);
        let value = parameter.shape.parse(text, &current);
        let value = value.map_err(|reason| refused(error(name, &reason)))?;
        let known = PARAMETERS.iter().find(|(known, _)| *known == parameter.name);
        if known.is_some() {
            // It does not follow the size of the cluster any more.
            policy.origin = Origin::Chosen;
        }
        match known.filter(|_| is_managed) {
            Some((_, change)) => change(&mut policy, &value),
            None => own.push((name, text)),
        }
    }
    Ok((own, policy))
}

fn change_own(policy: &mut KeyspacePolicy, name: &[u8], text: &[u8]) -> Result<(), ConfigError> {
    if name.eq_ignore_ascii_case(b"failover") {
        let failover = std::str::from_utf8(text).ok().and_then(Failover::parse);
        let words = Failover::NAMES.join(", ");
        let reason = format!("argument(s) must be one of the following: {words}");
        policy.failover = failover.ok_or_else(|| error(name, &reason))?;
        return Ok(());
    }
    let records = parse_i64(text).and_then(|records| u64::try_from(records).ok());
    if records.is_none() && !text.eq_ignore_ascii_case(ANY.as_bytes()) {
        return Err(error(name, "argument must be a number of records, or any"));
    }
    policy.max_loss = records;
    Ok(())
}

fn error(name: &[u8], reason: &str) -> ConfigError {
    let name = String::from_utf8_lossy(&name[..name.len().min(128)]).into_owned();
    ConfigError::Refused { name, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use trefoil_cluster::control::{Done, Request};
    use trefoil_replication::{AckLevel, Acks};

    use super::*;
    use crate::handler::Flow;
    use crate::harness::TestNode;
    use crate::topology::testing::view_of_three;

    #[test]
    fn the_cluster_agrees_on_policies_and_all_of_its_nodes_follow() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.node.agreement.set_managed(true);
        let mut view = view_of_three();
        node.node.agreement.set_view(view.clone().into());
        let line = "KEYSPACE ALTER default acks semi-sync:1 ACK-LEVEL flushed failover MANUAL max-loss 7 \
                    fsync always";
        node.check(&mut client, &[(line, "")]);
        assert_eq!(client.flow, Flow::Retry);
        let asked = node.node.agreement.requests.take().expect("it was asked");
        let Request::SetPolicy { keyspace, policy } = asked.request else {
            panic!("another request")
        };
        assert_eq!((keyspace.as_str(), policy.failover), ("default", Failover::Manual));
        assert_eq!((policy.acks.acks, policy.acks.level), (Acks::SemiSync(1), AckLevel::Flushed));
        assert_eq!((policy.max_loss, policy.origin), (Some(7), Origin::Chosen));
        node.node.agreement.requests.answer(asked.id, Ok(Done::Agreed));
        node.check(&mut client, &[(line, "")]);
        view.state.keyspaces.insert("default".into(), policy);
        node.node.agreement.set_view(view.into());
        node.check(&mut client, &[(line, "")]);
        let pairs: [(&[u8], &[u8]); 4] = [
            (b"acks", b"semi-sync:1"),
            (b"ack-level", b"flushed"),
            (b"on-lost-acks", b"block"),
            (b"degrade-after", b"2000"),
        ];
        config::set(&node.node, &pairs).expect("good values");
        node.check(&mut client, &[(line, "+OK")]);
        assert!(node.node.agreement.requests.take().is_none(), "it was asked once");
        let info = node.run(&mut client, "KEYSPACE SHOW");
        assert!(info.contains("$8 failover $6 manual $8 max-loss $1 7 "), "{info}");
    }

    #[test]
    fn one_node_of_a_cluster_is_not_configured_apart() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.node.agreement.set_managed(true);
        node.node.agreement.set_view(view_of_three().into());
        for (line, answer) in [
            (
                "CONFIG SET acks sync",
                "-ERR CONFIG SET failed (possibly related to argument 'acks') - the cluster agrees on it: \
                 KEYSPACE ALTER default acks ...",
            ),
            ("CONFIG SET fsync always", "+OK"),
            ("KEYSPACE ALTER default fsync no", "+OK"),
            (
                "KEYSPACE ALTER default acks most",
                "-ERR acks: argument must be async, semi-sync:k with k from 1 to 64, or sync",
            ),
            (
                "KEYSPACE ALTER default failover soon",
                "-ERR failover: argument(s) must be one of the following: automatic, manual",
            ),
            (
                "KEYSPACE ALTER default max-loss -1",
                "-ERR max-loss: argument must be a number of records, or any",
            ),
            ("KEYSPACE ALTER default acks sync ACKS async", "-ERR ACKS: duplicate parameter"),
        ] {
            node.check(&mut client, &[(line, answer)]);
        }
        assert!(node.node.agreement.requests.take().is_none());
    }

    #[test]
    fn a_node_that_is_alone_agrees_with_itself() {
        let mut node = TestNode::new();
        let mut client = node.client();
        let answer = node.run(&mut client, "KEYSPACE ALTER default failover manual");
        assert!(answer.starts_with("-LOADING"), "{answer}");
        let mut view = view_of_three();
        node.node.agreement.set_view(view.clone().into());
        let line = "KEYSPACE ALTER default failover manual acks sync";
        node.check(&mut client, &[(line, "")]);
        let asked = node.node.agreement.requests.take().expect("it was asked");
        let Request::SetPolicy { policy, .. } = asked.request else { panic!("another request") };
        assert_eq!((policy.failover, policy.acks.acks), (Failover::Manual, Acks::Sync));
        assert_eq!(node.node.settings.policy().acks, Acks::Sync);
        view.state.keyspaces.insert("default".into(), policy);
        node.node.agreement.set_view(view.into());
        node.node.agreement.requests.answer(asked.id, Ok(Done::Agreed));
        node.check(&mut client, &[(line, "+OK")]);
    }
}
