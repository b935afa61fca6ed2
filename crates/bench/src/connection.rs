//! One connection under load: what was asked, what is unsent, what has been answered.
//!
//! Invariants: `outstanding` is the sum over `batches`; replies settle batches in order; the requests of
//! a batch that a closing command ends count when that is answered; bytes wait in `unsent` only after
//! the socket refused some, and then all later bytes queue behind them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::replies::{ReplyCounter, ReplyFault};
use crate::stats::Stats;

/// With so many unsent bytes a connection takes no further batch in open loop.
const UNSENT_BYTES_MAX: usize = 1 << 20;

/// The run's clock: nanoseconds since the run began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunClock(Instant);

impl RunClock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// Why a run cannot go on. What was measured so far is lost, the server is not harmed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerFault {
    #[error(
        "the server closed a connection with {outstanding} requests under way: did it stop, or reach a limit on clients or output buffers? Its log says more"
    )]
    Closed { outstanding: u32 },
    #[error("a connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("{0}. Is it a RESP server, without TLS, that listens there?")]
    Reply(#[from] ReplyFault),
    #[error(
        "the server sent more replies than it was asked for; commands that answer more than once (SUBSCRIBE, MONITOR) cannot be measured"
    )]
    Unasked,
    #[error(
        "no reply for {seconds} s while {outstanding} were due: the server hangs, or the command blocks. --timeout allows longer waits"
    )]
    Silent { seconds: f64, outstanding: u64 },
}

/// Requests that count from the same moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    since_ns: u64,
    /// Replies still due, at least 1.
    left: u32,
    /// Requests that count with the last reply; 0: each counts with its own.
    counted_last: u32,
}

impl Batch {
    /// `requests` requests, each of which counts with its reply.
    pub(crate) fn open(requests: u32, since_ns: u64) -> Self {
        Self { since_ns, left: requests, counted_last: 0 }
    }

    /// `requests` requests and a closing command after them, with whose reply they count.
    pub(crate) fn closed(requests: u32, since_ns: u64) -> Self {
        Self { since_ns, left: requests + 1, counted_last: requests }
    }

    /// Replies still due.
    pub(crate) fn replies(&self) -> u32 {
        self.left
    }

    /// Whether all that is due is the closing command's reply.
    fn waits_for_closing(&self) -> bool {
        self.counted_last > 0 && self.left == 1
    }

    /// Takes `replies` replies off; returns how many requests count now.
    fn settle(&mut self, replies: u32) -> u32 {
        self.left -= replies;
        match self.counted_last {
            0 => replies,
            requests if self.left == 0 => requests,
            _ => 0,
        }
    }
}

/// A connection of the load, already greeted.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    replies: ReplyCounter,
    batches: VecDeque<Batch>,
    outstanding: u32,
    unsent: Vec<u8>,
    /// How much of `unsent` has been sent.
    sent: usize,
}

/// What a turn needs to settle replies.
#[derive(Debug)]
pub(crate) struct Settling<'a> {
    pub(crate) clock: RunClock,
    /// Batches from this moment on are measured.
    pub(crate) measure_from_ns: u64,
    pub(crate) scratch: &'a mut [u8],
    pub(crate) stats: &'a mut Stats,
}

impl Connection {
    pub(crate) fn new(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: TcpStream::from_std(stream),
            replies: ReplyCounter::default(),
            batches: VecDeque::new(),
            outstanding: 0,
            unsent: Vec::new(),
            sent: 0,
        })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.outstanding == 0
    }

    /// Whether `count` more requests stay within `bound` and the socket keeps up.
    pub(crate) fn has_room(&self, count: u32, bound: u32) -> bool {
        self.outstanding + count <= bound && self.unsent.len() - self.sent < UNSENT_BYTES_MAX
    }

    /// Sends the requests of a batch.
    pub(crate) fn send(&mut self, bytes: &[u8], batch: Batch) -> io::Result<()> {
        self.batches.push_back(batch);
        self.outstanding += batch.left;
        self.put(bytes)
    }

    /// Sends the closing command of a batch whose requests are all answered. Whether there was one.
    pub(crate) fn close_batch(&mut self, closing: &[u8]) -> io::Result<bool> {
        let waits = self.batches.front().is_some_and(|batch| batch.waits_for_closing());
        if waits {
            self.put(closing)?;
        }
        Ok(waits)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let taken = if self.unsent.is_empty() { write_some(&mut self.stream, bytes)? } else { 0 };
        self.unsent.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    /// The socket may take more.
    pub(crate) fn on_writable(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        self.sent += write_some(&mut self.stream, &self.unsent[self.sent..])?;
        if self.sent == self.unsent.len() {
            self.unsent.clear();
            self.sent = 0;
        } else if self.sent > UNSENT_BYTES_MAX {
            self.unsent.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    /// Reads what has come and settles it; returns the number of replies.
    pub(crate) fn on_readable(&mut self, settling: &mut Settling<'_>) -> Result<u32, WorkerFault> {
        let mut answered = 0;
        loop {
            let len = match self.stream.read(settling.scratch) {
                Ok(0) => return Err(WorkerFault::Closed { outstanding: self.outstanding }),
                Ok(len) => len,
                Err(err) if err.kind() == ErrorKind::WouldBlock => break,
                Err(err) if err.kind() == ErrorKind::Interrupted => continue,
                Err(err) => return Err(err.into()),
            };
            let now_ns = settling.clock.now_ns();
            let stats = &mut *settling.stats;
            stats.bytes_received += len as u64;
            let replies = self.replies.feed(&settling.scratch[..len], &mut stats.tally)?;
            self.settle(replies, now_ns, settling.measure_from_ns, stats)?;
            answered += replies;
            // A short read has emptied the socket: the next bytes are a new event.
            if len < settling.scratch.len() {
                break;
            }
        }
        Ok(answered)
    }

    fn settle(
        &mut self,
        replies: u32,
        now_ns: u64,
        measure_from_ns: u64,
        stats: &mut Stats,
    ) -> Result<(), WorkerFault> {
        let mut unsettled = replies;
        while unsettled > 0 {
            let batch = self.batches.front_mut().ok_or(WorkerFault::Unasked)?;
            let settled = batch.left.min(unsettled);
            let counted = batch.settle(settled);
            if counted > 0 && batch.since_ns >= measure_from_ns {
                stats.on_replies(counted, batch.since_ns, now_ns);
            }
            unsettled -= settled;
            self.outstanding -= settled;
            if batch.left == 0 {
                self.batches.pop_front();
            }
        }
        Ok(())
    }
}

/// Writes until the socket refuses; returns how many bytes it took.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut taken = 0;
    while taken < bytes.len() {
        match stream.write(&bytes[taken..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => taken += len,
            Err(err) if err.kind() == ErrorKind::WouldBlock => break,
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(taken)
}
