//! Whom a leader believes: the first thing asked of every message (pitfall 10).

use trefoil_clock::{Epoch, NodeId};
use trefoil_wire::peer::{Fence, Message, RefuseReason};

use super::CloseReason;

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is looked at.
    Accept,
    /// Its sender is told why not, and the link closed.
    Refuse(RefuseReason, CloseReason),
    /// The link is closed.
    Drop(CloseReason),
    /// It proves a newer epoch of this history: this leader is none any more.
    Deposed(Epoch),
}

/// Judges a message from the node `peer`, by a leader whose own fence is `own`.
pub(super) fn judge(own: &Fence, peer: NodeId, fence: &Fence, message: &Message<'_>) -> Verdict {
    let follow = match message {
        Message::Follow(follow) => Some(follow),
        _ => None,
    };
    let adopts = follow.is_some_and(|follow| follow.adopts);
    let told = follow.and_then(|follow| follow.epochs.last()).map(|entry| entry.epoch);
    let epoch = told.map_or(fence.epoch, |told| told.max(fence.epoch));
    if fence.sender != peer {
        return Verdict::Drop(CloseReason::WrongSender);
    }
    if fence.shard != own.shard {
        return Verdict::Drop(CloseReason::WrongShard);
    }
    if adopts {
        // It gives up whatever it has, other histories and newer epochs too: a person said so.
        return Verdict::Accept;
    }
    if fence.cluster != own.cluster {
        let reason = CloseReason::WrongCluster;
        return match follow {
            Some(_) => Verdict::Refuse(RefuseReason::OtherCluster, reason),
            None => Verdict::Drop(reason),
        };
    }
    if epoch > own.epoch {
        return Verdict::Deposed(epoch);
    }
    if follow.is_none() && epoch < own.epoch {
        return Verdict::Drop(CloseReason::StaleEpoch);
    }
    Verdict::Accept
}

#[cfg(test)]
mod tests {
    use trefoil_clock::{ClusterId, EpochEntry, Lsn, Position, ShardId};
    use trefoil_wire::peer::Follow;

    use super::*;

    const OWN: Fence =
        Fence { cluster: ClusterId(1), shard: ShardId(0), epoch: Epoch(5), sender: NodeId(1) };
    const THEIRS: Fence = Fence { sender: NodeId(2), ..OWN };
    const PROBE: Message<'_> = Message::Probe { id: 1 };

    fn follow(adopts: bool, epoch: u64) -> Message<'static> {
        let leader = NodeId(1);
        let entry = EpochEntry { epoch: Epoch(epoch), leader, first_lsn: Lsn(1) };
        Message::Follow(Follow {
            end: Position::default(),
            epochs: vec![entry],
            flushed: Lsn(0),
            applied: Lsn(0),
            partial: None,
            adopts,
            client_port: 0,
        })
    }

    #[test]
    fn a_message_must_fit_in_cluster_shard_epoch_and_sender() {
        let judge = |fence| judge(&OWN, NodeId(2), &fence, &PROBE);
        assert_eq!(judge(THEIRS), Verdict::Accept);
        let cases = [
            (Fence { sender: NodeId(3), ..THEIRS }, CloseReason::WrongSender),
            (Fence { shard: ShardId(1), ..THEIRS }, CloseReason::WrongShard),
            (Fence { cluster: ClusterId(2), ..THEIRS }, CloseReason::WrongCluster),
            (Fence { epoch: Epoch(4), ..THEIRS }, CloseReason::StaleEpoch),
        ];
        for (fence, reason) in cases {
            assert_eq!(judge(fence), Verdict::Drop(reason));
        }
    }

    #[test]
    fn a_newer_epoch_deposes_unless_its_bearer_gives_it_up() {
        let judge = |fence, message| judge(&OWN, NodeId(2), &fence, &message);
        let newer = Fence { epoch: Epoch(6), ..THEIRS };
        assert_eq!(judge(newer, PROBE), Verdict::Deposed(Epoch(6)));
        assert_eq!(judge(THEIRS, follow(false, 7)), Verdict::Deposed(Epoch(7)));
        assert_eq!(judge(newer, follow(true, 6)), Verdict::Accept);
    }

    #[test]
    fn a_follower_of_an_older_epoch_may_ask() {
        let older = Fence { epoch: Epoch(3), ..THEIRS };
        assert_eq!(judge(&OWN, NodeId(2), &older, &follow(false, 3)), Verdict::Accept);
    }

    #[test]
    fn another_history_is_not_taken_in_without_a_persons_word() {
        let judge = |fence, message| judge(&OWN, NodeId(2), &fence, &message);
        let other = Fence { cluster: ClusterId(9), epoch: Epoch(8), ..THEIRS };
        let refused = Verdict::Refuse(RefuseReason::OtherCluster, CloseReason::WrongCluster);
        assert_eq!(judge(other, follow(false, 8)), refused);
        assert_eq!(judge(other, follow(true, 8)), Verdict::Accept);
    }
}
