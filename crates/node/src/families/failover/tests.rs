//! FAILOVER, with answers made by hand.

use trefoil_clock::{Epoch, Lsn, NodeId, Position};
use trefoil_cluster::control::{Done, Force, Request, RequestError};
use trefoil_cluster::controller::{Fitness, Lack, Outcome, Plan, PlanRow, Stage};

use crate::agreement::Answer;
use crate::handler::Flow;
use crate::harness::{TestClient, TestNode};
use crate::topology::testing::node_of_three;

/// Runs the line, answers what it asks for, and runs it again.
#[track_caller]
fn answered(node: &mut TestNode, client: &mut TestClient, line: &str, answer: Answer) -> String {
    assert_eq!(node.run(client, line), "", "{line}");
    assert_eq!(client.flow, Flow::Retry);
    assert_eq!(node.run(client, line), "", "{line}: it is asked once");
    let asked = node.node.agreement.requests.take().expect("it was asked");
    assert!(node.node.agreement.requests.take().is_none());
    node.node.agreement.requests.answer(asked.id, answer);
    node.run(client, line)
}

const LEADS: Answer = Ok(Done::Leads { node: NodeId(2), epoch: Epoch(5) });

#[test]
fn a_failover_is_asked_for_and_answered_when_it_has_begun() {
    let (mut node, mut client) = node_of_three();
    assert_eq!(answered(&mut node, &mut client, "FAILOVER", LEADS), "+OK");
    node.check(&mut client, &[("FAILOVER TO 127.0.0.1 7002 TIMEOUT 5000 FORCE", "")]);
    let asked = node.node.agreement.requests.take().expect("it was asked");
    assert_eq!(asked.request, Request::Failover { to: Some(NodeId(2)), force: Force::Yes });
    let mut other = node.client();
    node.check(&mut other, &[("FAILOVER", "-ERR FAILOVER already in progress.")]);
    let info = node.run(&mut other, "INFO replication");
    assert!(info.contains("master_failover_state:waiting-for-sync"), "{info}");
    node.pass_ms(100);
    node.check(
        &mut client,
        &[
            ("FAILOVER TO 127.0.0.1 7002 TIMEOUT 5000 FORCE", "+OK"),
            (
                "FAILOVER ABORT",
                "-ERR the failover can't be taken back; if the next leader does not catch up within \
                 five seconds it is given up, and nothing has happened",
            ),
        ],
    );
    node.node.agreement.requests.answer(asked.id, Err(RequestError::HandoverUndone(NodeId(2))));
    node.check(&mut client, &[("FAILOVER ABORT", "-ERR No failover in progress.")]);
    let info = node.run(&mut other, "INFO replication");
    assert!(info.contains("master_failover_state:no-failover"), "{info}");
    assert!(info.contains("last_failover_result:node "), "{info}");
}

#[test]
fn refusals_come_with_their_reasons() {
    let (mut node, mut client) = node_of_three();
    for (error, text) in [
        (RequestError::Busy, "-ERR FAILOVER already in progress."),
        (
            RequestError::NotFit(Lack::OtherRegion),
            "-ERR no failover: only nodes of another region are fit; a person can force it",
        ),
        (
            RequestError::Unanswered,
            "-UNKNOWN the control plane did not answer in time; it may still happen",
        ),
    ] {
        assert_eq!(answered(&mut node, &mut client, "FAILOVER", Err(error)), text);
    }
    node.check(
        &mut client,
        &[
            ("FAILOVER TO 127.0.0.1 7009", "-ERR FAILOVER target HOST and PORT is not a replica."),
            ("FAILOVER TIMEOUT 0", "-ERR FAILOVER timeout must be greater than 0"),
            (
                "FAILOVER TO 127.0.0.1 7002 FORCE",
                "-ERR FAILOVER with force option requires both a timeout and target HOST and PORT.",
            ),
            ("FAILOVER TO 127.0.0.1", "-ERR syntax error"),
            ("FAILOVER soon", "-ERR syntax error"),
            ("FAILOVER NOW NODE nobody", "-ERR Unknown node nobody"),
            ("FAILOVER NOW soon", "-ERR syntax error"),
            ("FAILOVER PLAN none", "-ERR there is no keyspace 'none'"),
            ("FAILOVER ABORT", "-ERR No failover in progress."),
            ("MULTI", "+OK"),
            ("FAILOVER", "+QUEUED"),
            ("EXEC", "*1 -ERR the cluster's answer can't be waited for within MULTI"),
        ],
    );
    assert!(node.node.agreement.requests.take().is_none());
}

#[test]
fn who_has_heard_of_nobody_yet_is_asked_again_for_a_while() {
    for line in ["FAILOVER", "FAILOVER NOW"] {
        let (mut node, mut client) = node_of_three();
        let early = || Err(RequestError::NotFit(Lack::NoCandidate));
        assert_eq!(answered(&mut node, &mut client, line, early()), "");
        node.check(&mut client, &[(line, "")]);
        assert!(node.node.agreement.requests.take().is_none(), "{line}: not at once");
        node.pass_ms(100);
        let answer = answered(&mut node, &mut client, line, LEADS);
        assert!(answer == "+OK" || answer.starts_with("*8 $4 node "), "{answer}");
        for _ in 0..15 {
            assert_eq!(answered(&mut node, &mut client, line, early()), "");
            node.pass_ms(100);
        }
        let refused = "-ERR no failover: no node that may be elected is heard";
        let mut last = node.run(&mut client, line);
        if let Some(asked) = node.node.agreement.requests.take() {
            node.node.agreement.requests.answer(asked.id, early());
            last = node.run(&mut client, line);
        }
        assert_eq!(last, refused);
    }
}

#[test]
fn a_node_that_is_alone_has_nobody_to_fail_over_to() {
    let mut node = TestNode::new();
    let mut client = node.client();
    for line in ["FAILOVER", "FAILOVER PLAN", "FAILOVER NOW", "FAILOVER TO h 1"] {
        let answer = node.run(&mut client, line);
        assert!(answer.starts_with("-ERR this node is alone"), "{line}: {answer}");
    }
}

#[test]
fn a_failover_can_be_waited_for() {
    let (mut node, mut client) = node_of_three();
    let line = format!("FAILOVER NOW NODE {} FORCE", NodeId(2));
    let id = NodeId(2);
    let expected =
        format!("*8 $4 node $32 {id} $7 address $14 127.0.0.1:7002 $5 epoch :5 $7 took-ms :0");
    assert_eq!(answered(&mut node, &mut client, &line, LEADS), expected);
    node.check(&mut client, &[("FAILOVER NOW", "")]);
    node.pass_ms(20_000);
    let answer = node.run(&mut client, "FAILOVER NOW");
    assert!(answer.starts_with("-UNKNOWN "), "{answer}");
}

#[test]
fn a_plan_tells_of_each_candidate_what_it_lacks_and_why_it_may_not_lead() {
    let (mut node, mut client) = node_of_three();
    let end = |lsn| Position { epoch: Epoch(4), lsn: Lsn(lsn) };
    let row = |node, lacks, fitness| PlanRow {
        node: NodeId(node),
        end: Some(end(90 - lacks)),
        lacks: Some(lacks),
        silent_ms: Some(20),
        fitness,
    };
    let plan = Plan {
        epoch: Epoch(4),
        leader: NodeId(1),
        stage: Stage::Watching,
        leader_end: end(90),
        reports_needed: 2,
        rows: vec![row(1, 0, Fitness::Leads), row(2, 7, Fitness::OtherRegion)],
        outcome: Outcome::Nobody(Lack::OtherRegion),
    };
    let answer = Ok(Done::Plan(Box::new(plan)));
    let told = answered(&mut node, &mut client, "FAILOVER PLAN default", answer);
    for part in [
        "$10 leader-end $4 4:90 ",
        "$4 next $0  $8 lossless :0 $7 outcome $78 nobody would lead: ",
        "$7 address $14 127.0.0.1:7002 $3 end $4 4:83 $5 lacks :7 $9 silent-ms :20 \
         $14 may-be-elected :0 $7 fitness $38 not by itself: it is in another region",
    ] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
}
