//! Whom a follower believes: the first thing asked of every message (pitfall 10).

use trefoil_clock::{ClusterId, Epoch, EpochEntry, NodeId, ShardId};
use trefoil_wire::peer::{Fence, Message};

use super::FollowerCloseReason;

/// What a follower knows of who may speak to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trust {
    pub(super) cluster: ClusterId,
    pub(super) shard: ShardId,
    /// The node at the other end of the link.
    pub(super) leader: NodeId,
    /// The newest epoch of the own history.
    pub(super) newest: Option<EpochEntry>,
    /// In whose name the link's leader spoke so far.
    pub(super) speaks_for: Option<(ClusterId, Epoch)>,
    /// The own history may be given up.
    pub(super) adopts: bool,
}

/// Why a message is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Distrust {
    /// It does not fit.
    Drop(FollowerCloseReason),
    /// Its sender leads in an epoch in which this node knows another leader.
    TwoLeaders { epoch: Epoch, known: NodeId },
}

impl Trust {
    /// Judges a message.
    pub(super) fn judge(&self, fence: &Fence, message: &Message<'_>) -> Result<(), Distrust> {
        let drop = |reason| Err(Distrust::Drop(reason));
        if fence.sender != self.leader {
            return drop(FollowerCloseReason::WrongSender);
        }
        if fence.shard != self.shard {
            return drop(FollowerCloseReason::WrongShard);
        }
        if matches!(message, Message::Refuse(_)) {
            // Whoever says no need not prove anything.
            return Ok(());
        }
        // The first message, and each that makes this node take over a history, introduces its sender.
        let introduces = matches!(message, Message::Welcome(_) | Message::Offer(_));
        match self.speaks_for {
            Some((cluster, epoch)) if !introduces => match fence.epoch.cmp(&epoch) {
                _ if fence.cluster != cluster => drop(FollowerCloseReason::WrongCluster),
                std::cmp::Ordering::Less => drop(FollowerCloseReason::StaleEpoch),
                std::cmp::Ordering::Greater => drop(FollowerCloseReason::NewerEpoch),
                std::cmp::Ordering::Equal => Ok(()),
            },
            _ => self.judge_stranger(fence),
        }
    }

    /// Whether the sender may lead this node at all.
    fn judge_stranger(&self, fence: &Fence) -> Result<(), Distrust> {
        if self.adopts {
            return Ok(());
        }
        if fence.cluster != self.cluster {
            return Err(Distrust::Drop(FollowerCloseReason::WrongCluster));
        }
        let Some(newest) = self.newest else { return Ok(()) };
        if fence.epoch < newest.epoch {
            return Err(Distrust::Drop(FollowerCloseReason::StaleEpoch));
        }
        if fence.epoch == newest.epoch && fence.sender != newest.leader {
            return Err(Distrust::TwoLeaders { epoch: newest.epoch, known: newest.leader });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use trefoil_clock::Lsn;

    use super::*;

    const FENCE: Fence =
        Fence { cluster: ClusterId(1), shard: ShardId(0), epoch: Epoch(5), sender: NodeId(1) };
    const RESTART: Message<'_> = Message::Restart;

    fn trust() -> Trust {
        let newest = EpochEntry { epoch: Epoch(5), leader: NodeId(1), first_lsn: Lsn(1) };
        Trust {
            cluster: ClusterId(1),
            shard: ShardId(0),
            leader: NodeId(1),
            newest: Some(newest),
            speaks_for: None,
            adopts: false,
        }
    }

    #[test]
    fn a_message_must_fit_in_cluster_shard_epoch_and_sender() {
        assert_eq!(trust().judge(&FENCE, &RESTART), Ok(()));
        let cases = [
            (Fence { sender: NodeId(3), ..FENCE }, FollowerCloseReason::WrongSender),
            (Fence { shard: ShardId(1), ..FENCE }, FollowerCloseReason::WrongShard),
            (Fence { cluster: ClusterId(2), ..FENCE }, FollowerCloseReason::WrongCluster),
            (Fence { epoch: Epoch(4), ..FENCE }, FollowerCloseReason::StaleEpoch),
        ];
        for (fence, reason) in cases {
            assert_eq!(trust().judge(&fence, &RESTART), Err(Distrust::Drop(reason)));
        }
    }

    #[test]
    fn a_leader_does_not_change_its_epoch_but_with_a_welcome() {
        let trust = Trust { speaks_for: Some((ClusterId(1), Epoch(5))), ..trust() };
        let newer = Fence { epoch: Epoch(6), ..FENCE };
        let refused = Err(Distrust::Drop(FollowerCloseReason::NewerEpoch));
        assert_eq!(trust.judge(&newer, &RESTART), refused);
        let welcome = Message::Welcome(trefoil_wire::peer::Welcome {
            fork: trefoil_clock::Position::default(),
            epochs: vec![],
            commit: Lsn::ZERO,
            client_port: 0,
        });
        assert_eq!(trust.judge(&newer, &welcome), Ok(()));
    }

    #[test]
    fn a_second_leader_of_an_epoch_is_noticed() {
        let other = Trust { leader: NodeId(2), ..trust() };
        let fence = Fence { sender: NodeId(2), ..FENCE };
        let two = Distrust::TwoLeaders { epoch: Epoch(5), known: NodeId(1) };
        assert_eq!(other.judge(&fence, &RESTART), Err(two));
    }

    #[test]
    fn who_gives_its_history_up_takes_another_cluster_and_an_older_epoch() {
        let trust = Trust { adopts: true, ..trust() };
        let other = Fence { cluster: ClusterId(7), epoch: Epoch(1), ..FENCE };
        assert_eq!(trust.judge(&other, &RESTART), Ok(()));
    }
}
