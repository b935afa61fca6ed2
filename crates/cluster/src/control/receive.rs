//! What comes from others: judged, and handed to whom it is for.

use std::net::SocketAddr;

use trefoil_clock::NodeId;

use super::{Action, Control};
use crate::message::{Datagram, Message};

impl Control {
    pub(super) fn receive(
        &mut self,
        now_ms: u64,
        address: SocketAddr,
        bytes: &[u8],
        out: &mut Vec<Action>,
    ) {
        // What is not understood is of another release, or no datagram of this program.
        let Ok(Datagram { cluster, from, message }) = Datagram::decode(bytes) else { return };
        if from == self.own.node {
            return;
        }
        match message {
            // Of these the sender is, or may be, of another cluster.
            Message::Join(join) => self.on_join(now_ms, from, Some(address), join, out),
            Message::Joined => self.on_joined(cluster, out),
            Message::Redirect(there) => self.on_redirect(now_ms, there),
            Message::JoinRefused(why) => self.on_join_refused(now_ms, why, out),
            message => {
                if cluster == self.state.cluster && !self.introduction.is_joining() {
                    self.book.note_heard(from, address);
                    self.on_message(now_ms, from, message, out);
                }
            }
        }
    }

    /// A message of this cluster, or of this node to itself.
    pub(super) fn on_message(
        &mut self,
        now_ms: u64,
        from: NodeId,
        message: Message,
        out: &mut Vec<Action>,
    ) {
        match message {
            Message::Raft(message) => {
                self.raft.on_message(now_ms, from, message, &mut self.wanted);
            }
            Message::Renew(renew) => self.on_renew(now_ms, from, &renew, out),
            Message::Renewed(renewed) => self.on_renewed(now_ms, from, &renewed),
            Message::Handover(order) => self.on_handover(now_ms, from, order, out),
            Message::Answer { id, result } => self.on_answer(now_ms, id, result, out),
            Message::Join(join) => self.on_join(now_ms, from, None, join, out),
            Message::Joined | Message::Redirect(_) | Message::JoinRefused(_) => {}
            Message::Heard(_)
            | Message::Report(_)
            | Message::Resign(_)
            | Message::Kept(_)
            | Message::Ask { .. } => self.on_message_to_leader(now_ms, from, message),
        }
    }

    /// What only the raft leader goes by, and only from members.
    fn on_message_to_leader(&mut self, now_ms: u64, from: NodeId, message: Message) {
        if !self.state.members.contains_key(&from) {
            return;
        }
        self.with_controller(now_ms, |controller, sight, decisions| match message {
            Message::Heard(heard) => controller.on_heard(now_ms, from, heard),
            Message::Report(report) => controller.on_report(now_ms, from, report),
            Message::Resign(resign) => controller.on_resign(from, resign, sight),
            Message::Kept(kept) => controller.on_kept(from, kept, sight),
            Message::Ask { id, epoch, request } if id.node == from => {
                controller.on_ask(id, epoch, request, sight, decisions);
            }
            _ => {}
        });
    }

    pub(super) fn send(&mut self, to: NodeId, message: Message, out: &mut Vec<Action>) {
        if to == self.own.node {
            self.inbox.push_back(message);
        } else if let Some(address) = self.address(to) {
            self.send_to(address, message, out);
        }
    }

    pub(super) fn send_to(&self, to: SocketAddr, message: Message, out: &mut Vec<Action>) {
        let (cluster, from) = (self.state.cluster, self.own.node);
        let datagram = Datagram { cluster, from, message }.encode();
        out.push(Action::Send { to, datagram });
    }
}
