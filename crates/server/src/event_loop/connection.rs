//! A connection: a socket, a session, and the bytes in between.
//!
//! Invariants: `input` begins at the start of a frame; replies leave in order, and none before the
//! record it depends on is durable.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};

use mio::net::TcpStream;
use trefoil_clock::Lsn;
use trefoil_node::session::Session;
use trefoil_wire::resp::{Parser, ReplyBuf};

/// Pieces written by one system call at most.
const SLICES_MAX: usize = 32;

/// See the module.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) session: Session,
    pub(super) parser: Parser,
    /// Bytes of a frame that is not complete, or that has to be run again.
    pub(super) input: Vec<u8>,
    pub(super) out: ReplyBuf,
    /// From these positions of `out` on, bytes wait for these records.
    waits: VecDeque<(u64, Lsn)>,
    /// In the list of connections to be written to.
    pub(super) in_flush_list: bool,
    /// In the list of connections to be read from.
    pub(super) in_ready_list: bool,
    /// A command has to be run again; nothing is read until it was.
    pub(super) parked: bool,
    /// The peer's buffer is full; the socket will say when it is not.
    write_blocked: bool,
    /// To be closed once `out` is sent.
    pub(super) closing: bool,
}

/// What writing came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// Everything that may leave has left.
    All,
    /// The peer is slow.
    Blocked,
    /// The connection is done with.
    Closed,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, session: Session) -> Connection {
        Connection {
            stream,
            session,
            parser: Parser::new(),
            input: Vec::new(),
            out: ReplyBuf::new(),
            waits: VecDeque::new(),
            in_flush_list: false,
            in_ready_list: false,
            parked: false,
            write_blocked: false,
            closing: false,
        }
    }

    /// The bytes from `position` on wait for this record.
    pub(super) fn wait_for(&mut self, position: u64, lsn: Lsn) {
        if self.waits.back().is_none_or(|&(_, last)| last < lsn) {
            self.waits.push_back((position, lsn));
        }
    }

    /// Whether replies wait for a record.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waits.is_empty()
    }

    /// Up to which position bytes may leave when the log is durable up to `durable`.
    fn sendable(&mut self, durable: Lsn) -> u64 {
        while self.waits.front().is_some_and(|&(_, lsn)| lsn <= durable) {
            self.waits.pop_front();
        }
        self.waits.front().map_or(self.out.position(), |&(position, _)| position)
    }

    /// The socket can be written to again.
    pub(super) fn on_writable(&mut self) -> bool {
        std::mem::take(&mut self.write_blocked)
    }

    /// Writes what may leave.
    pub(super) fn send(&mut self, durable: Lsn) -> Sent {
        if self.write_blocked {
            return Sent::Blocked;
        }
        let upto = self.sendable(durable);
        while self.out.sent() < upto {
            match self.write_some(upto) {
                Ok(0) => return Sent::Closed,
                Ok(written) => self.out.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.write_blocked = true;
                    return Sent::Blocked;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Sent::Closed,
            }
        }
        if self.closing && self.out.is_empty() { Sent::Closed } else { Sent::All }
    }

    fn write_some(&mut self, upto: u64) -> io::Result<usize> {
        let first = self.out.next_slice(upto);
        if first.len() as u64 == upto - self.out.sent() {
            return self.stream.write(first);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = self.out.io_slices(upto, &mut slices);
        self.stream.write_vectored(&slices[..count])
    }
}
