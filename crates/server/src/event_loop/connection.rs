//! A connection: a transport, a session, and the bytes in between.
//!
//! Invariants: `input` begins at the start of a frame; replies leave in order, and none before the
//! record it depends on is durable; an idle connection holds no buffers.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use trefoil_clock::Lsn;
use trefoil_node::session::{Restrictions, Session};
use trefoil_wire::resp::{Parser, Reply, ReplyBuf};

use super::backlog::Backlog;
use super::transport::Transport;
use super::upstream::Upstream;

/// Pieces written by one system call at most.
const SLICES_MAX: usize = 32;

/// Replies that a peer may leave unread before its requests wait too, bytes.
pub(super) const CONGESTED_BYTES: u32 = 1 << 20;

/// See the module.
pub(super) struct Connection {
    pub(super) transport: Transport,
    pub(super) session: Session,
    pub(super) parser: Parser,
    /// Bytes of a frame that is not complete, or that has to be run again.
    pub(super) input: Vec<u8>,
    pub(super) out: ReplyBuf,
    /// What in `out` waits for records, in order.
    waits: VecDeque<Wait>,
    /// To the leader, if it was needed.
    pub(super) upstream: Option<Box<Upstream>>,
    /// What is known of a peer that is slow to read.
    pub(super) backlog: Option<Box<Backlog>>,
    /// How long the frame at the start of `input` is at least, as far as is known, bytes.
    pub(super) want: u32,
    /// From this many bytes of replies on, requests wait.
    pub(super) congested_from: u32,
    /// When something last came, seconds of the worker's clock.
    pub(super) active_s: u32,
    /// In the list of connections to be written to.
    pub(super) in_flush_list: bool,
    /// In the list of connections to be read from.
    pub(super) in_ready_list: bool,
    /// In the list of connections whose replies wait for the log.
    pub(super) in_waiting_list: bool,
    /// A command has to be run again; nothing is read until it was.
    pub(super) parked: bool,
    /// Nothing is read or run until the peer has read more of its replies.
    pub(super) congested: bool,
    /// The peer has closed its end: nobody waits for what takes long.
    pub(super) peer_ended: bool,
    /// A short read does not mean that nothing is left.
    pub(super) reads_on: bool,
    /// The peer's buffer is full; the socket will say when it is not.
    write_blocked: bool,
    /// To be closed once `out` is sent.
    pub(super) closing: bool,
    /// To be closed whatever `out` holds.
    pub(super) aborted: bool,
}

const _: () = assert!(size_of::<Connection>() <= 512, "an idle connection must be cheap");

/// Bytes that wait for a record, and all behind them.
struct Wait {
    /// From here on.
    position: u64,
    lsn: Lsn,
    /// Replies until the next wait begins.
    replies: u32,
    since_ms: u64,
}

/// What a client is told whose replies wait for too long.
const UNKNOWN: &str =
    "UNKNOWN not acknowledged in time: what was written may come to be, or be lost";

/// What writing came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// Everything has left.
    All,
    /// The peer is slow, or the log.
    Pending,
    /// The connection is done with.
    Closed,
}

impl Connection {
    pub(super) fn new(transport: Transport, session: Session, now_s: u32) -> Connection {
        Connection {
            peer_ended: false,
            reads_on: transport.reads_in_pieces(),
            transport,
            session,
            parser: Parser::new(),
            input: Vec::new(),
            out: ReplyBuf::new(),
            waits: VecDeque::new(),
            upstream: None,
            backlog: None,
            want: 0,
            congested_from: CONGESTED_BYTES,
            active_s: now_s,
            in_flush_list: false,
            in_ready_list: false,
            in_waiting_list: false,
            parked: false,
            congested: false,
            write_blocked: false,
            closing: false,
            aborted: false,
        }
    }

    /// Whether its commands are not run now.
    #[inline]
    pub(super) fn is_held(&self) -> bool {
        self.parked | self.closing | self.congested
    }

    /// Whether the peer has left so many replies unread that its requests wait.
    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        self.out.len() > self.congested_from as usize
    }

    /// The bytes from `position` on wait for this record.
    pub(super) fn wait_for(&mut self, position: u64, lsn: Lsn, since_ms: u64) {
        if self.waits.back().is_none_or(|last| last.lsn < lsn) {
            self.waits.push_back(Wait { position, lsn, replies: 0, since_ms });
        }
    }

    /// A reply was added; it waits if those before it do.
    pub(super) fn count_reply(&mut self) {
        if let Some(last) = self.waits.back_mut() {
            last.replies += 1;
        }
    }

    /// Whether replies wait for a record.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waits.is_empty()
    }

    /// Gives up replies that have waited since before this time, and all behind them: the client
    /// hears that it is unknown what became of each. How many.
    pub(super) fn give_replies_up(&mut self, released: Lsn, before_ms: u64) -> u64 {
        if self.is_forwarding() {
            return 0;
        }
        self.forget_released(released);
        let is_late = |wait: &Wait| wait.replies > 0 && wait.since_ms <= before_ms;
        let Some(first) = self.waits.iter().position(is_late) else { return 0 };
        self.out.truncate_to(self.waits[first].position);
        let unknown = self.waits.drain(first..).map(|wait| u64::from(wait.replies)).sum();
        for _ in 0..unknown {
            Reply::new(&mut self.out, self.session.protocol).error(UNKNOWN);
        }
        unknown
    }

    /// The same for all that waits, however short, for what was not committed when the reign ended: it
    /// will not come.
    pub(super) fn give_replies_of_reign_up(&mut self, committed: Lsn) -> u64 {
        self.forget_released(committed);
        let Some(first) = self.waits.front() else { return 0 };
        self.out.truncate_to(first.position);
        let unknown = self.waits.drain(..).map(|wait| u64::from(wait.replies)).sum();
        for _ in 0..unknown {
            Reply::new(&mut self.out, self.session.protocol).error(UNKNOWN);
        }
        unknown
    }

    fn forget_released(&mut self, released: Lsn) {
        while self.waits.front().is_some_and(|wait| wait.lsn <= released) {
            self.waits.pop_front();
        }
    }

    /// Up to which position bytes may leave when records up to `released` are.
    fn sendable(&mut self, released: Lsn) -> u64 {
        self.forget_released(released);
        let upto = self.waits.front().map_or(self.out.position(), |wait| wait.position);
        match &self.upstream {
            None => upto,
            Some(upstream) => upto.min(upstream.held_from()),
        }
    }

    /// Whether replies of the leader are to come.
    pub(super) fn is_forwarding(&self) -> bool {
        self.session.restrictions.has(Restrictions::IN_FLIGHT)
    }

    /// Whether commands of it are under way that will not take long: at the leader, or about to be run.
    pub(super) fn is_at_work(&self) -> bool {
        self.is_forwarding() || (self.parked && self.session.waiting.is_none())
    }

    /// The socket can be written to again. Whether that was waited for.
    pub(super) fn on_writable(&mut self) -> bool {
        std::mem::take(&mut self.write_blocked) || self.transport.holds_back()
    }

    /// Whether the peer's buffer is full.
    pub(super) fn is_write_blocked(&self) -> bool {
        self.write_blocked
    }

    /// Closes it with the next flush, whatever was to be sent.
    pub(super) fn abort(&mut self) {
        self.closing = true;
        self.aborted = true;
    }

    /// Writes what may leave.
    pub(super) fn send(&mut self, durable: Lsn) -> Sent {
        if self.aborted {
            return Sent::Closed;
        }
        if self.write_blocked {
            return Sent::Pending;
        }
        if self.transport.holds_back() && self.transport.push().is_err() {
            return Sent::Closed;
        }
        let upto = self.sendable(durable);
        while self.out.sent() < upto {
            match self.write_some(upto) {
                Ok(0) => return Sent::Closed,
                Ok(written) => self.out.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.write_blocked = true;
                    return Sent::Pending;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Sent::Closed,
            }
        }
        if !self.out.is_empty() || self.transport.holds_back() {
            Sent::Pending
        } else if self.closing && !self.is_forwarding() {
            Sent::Closed
        } else {
            Sent::All
        }
    }

    fn write_some(&mut self, upto: u64) -> io::Result<usize> {
        let first = self.out.next_slice(upto);
        if first.len() as u64 == upto - self.out.sent() {
            return self.transport.write(first);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = self.out.io_slices(upto, &mut slices);
        self.transport.write_vectored(&slices[..count])
    }

    /// Gives back buffers that nothing is in.
    pub(super) fn release_buffers(&mut self) {
        if self.out.is_empty() {
            if self.out.memory() > 0 {
                self.out.shrink();
            }
            self.waits.shrink_to_fit();
        }
        if self.input.capacity() > 2 * self.input.len() {
            self.input.shrink_to_fit();
        }
    }
}
