//! One thread of load: an epoll loop over its share of the connections.
//!
//! A turn first takes all replies that have come, then sends: in closed loop to each connection that
//! is idle, in open loop what the schedule says is due. One clock reading per write and per read.
//!
//! Invariants: nothing is sent after the stop flag, the last request or the end of time; the worker
//! ends when every reply has come, or with an error after `timeout` of silence.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mio::{Events, Poll, Token};

use crate::connection::{Batch, Connection, RunClock, Settling, WorkerFault};
use crate::cpu::thread_cpu_ns;
use crate::plan::{ClosingTime, Waiting};
use crate::schedule::Schedule;
use crate::stats::{Stats, Tally};
use crate::wakeup::Wakeup;
use crate::workload::Workload;

/// Bytes read at once.
const SCRATCH_BYTES: usize = 128 << 10;

/// Without any event the loop looks at the stop flag and the timeout so often.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// Batches sent in one turn of an open loop before replies are looked at again.
const BATCHES_PER_TURN: usize = 128;

/// What was due before the end and found no connection with room is given up so long after the end.
const GRACE_NS: u64 = 100_000_000;

/// The timer's token; connections count from 0.
const WAKEUP: Token = Token(usize::MAX - 1);

/// What workers and the main thread tell each other.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// Nothing more is to be sent.
    pub(crate) stop: AtomicBool,
    /// Replies so far, over all workers and from the warm-up on.
    pub(crate) replies: AtomicU64,
}

/// When a worker measures and when it stops, on the run's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) measure_from_ns: u64,
    /// No batch counts from this moment or a later one.
    pub(crate) end_ns: u64,
    /// Requests that may still be measured.
    pub(crate) budget: u64,
}

/// When batches are sent.
#[derive(Debug)]
pub(crate) enum Pacing {
    /// As soon as the previous batch of the connection is answered.
    Closed,
    /// When the schedule says so.
    Open(OpenPacing),
}

/// An open loop on one thread.
#[derive(Debug)]
pub(crate) struct OpenPacing {
    pub(crate) schedule: Schedule,
    /// At least the pipeline.
    pub(crate) outstanding_max: u32,
    pub(crate) waiting: Waiting,
}

/// One thread's connections, workload and counts.
#[derive(Debug)]
pub(crate) struct Worker<'a> {
    pub(crate) clock: RunClock,
    pub(crate) signals: &'a Signals,
    pub(crate) window: Window,
    pub(crate) pacing: Pacing,
    pub(crate) pipeline: u32,
    pub(crate) closing: Option<Closing>,
    pub(crate) timeout: Duration,
    pub(crate) connections: Vec<Connection>,
    pub(crate) workload: Workload,
}

/// What is sent behind each batch.
#[derive(Debug)]
pub(crate) struct Closing {
    /// A command, encoded.
    pub(crate) bytes: Vec<u8>,
    pub(crate) when: ClosingTime,
}

/// The running state of a worker.
struct Turns<'a> {
    worker: Worker<'a>,
    poll: Poll,
    wakeup: Option<Wakeup>,
    scratch: Vec<u8>,
    /// The batch being encoded.
    batch: Vec<u8>,
    stats: Stats,
    /// Replies due over all connections.
    outstanding: u64,
    /// CPU time of the thread when measuring began.
    cpu_from_ns: Option<u64>,
    /// When a reply came last, or a request was sent after silence.
    last_sign_ns: u64,
    /// Where the search for a connection with room starts.
    next_connection: usize,
    /// All connections are at their bound; counted once until one has room again.
    at_bound: bool,
}

/// What the schedule says at one moment.
enum Due {
    Now {
        due_ns: u64,
    },
    /// Events are to be awaited for `patience` at most.
    Later {
        patience: Duration,
    },
}

impl Worker<'_> {
    /// Runs to the end and returns what was measured.
    pub(crate) fn run(self) -> Result<Stats, WorkerFault> {
        Turns::new(self)?.run()
    }
}

impl<'a> Turns<'a> {
    fn new(mut worker: Worker<'a>) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (index, connection) in worker.connections.iter_mut().enumerate() {
            connection.register(poll.registry(), Token(index))?;
        }
        let wakeup = match worker.pacing {
            Pacing::Closed => None,
            Pacing::Open(_) => Some(Wakeup::register(poll.registry(), WAKEUP)?),
        };
        Ok(Self {
            worker,
            poll,
            wakeup,
            scratch: vec![0; SCRATCH_BYTES],
            batch: Vec::new(),
            stats: Stats::new(),
            outstanding: 0,
            cpu_from_ns: None,
            last_sign_ns: 0,
            next_connection: 0,
            at_bound: false,
        })
    }

    fn run(mut self) -> Result<Stats, WorkerFault> {
        let mut events = Events::with_capacity(1024);
        let mut idle: Vec<usize> = (0..self.worker.connections.len()).collect();
        loop {
            let now_ns = self.worker.clock.now_ns();
            self.on_time(now_ns);
            let patience = match self.worker.pacing {
                Pacing::Closed => self.send_to_idle(&mut idle)?,
                Pacing::Open(_) => self.send_due(now_ns)?,
            };
            if self.outstanding == 0 && self.is_over(now_ns) {
                return Ok(self.finish());
            }
            self.check_silence(now_ns)?;
            let patience = self.rested(patience);
            match self.poll.poll(&mut events, Some(patience)) {
                Err(err) if err.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            self.on_events(&events, &mut idle)?;
        }
    }

    /// Sleeps if that is asked for and there is time; returns how long to wait for events then.
    fn rested(&self, patience: Duration) -> Duration {
        match &self.worker.pacing {
            Pacing::Open(OpenPacing { waiting: Waiting::Rest(rest), .. })
                if !patience.is_zero() =>
            {
                std::thread::sleep(*rest);
                Duration::ZERO
            }
            _ => patience,
        }
    }

    fn on_events(&mut self, events: &Events, idle: &mut Vec<usize>) -> Result<(), WorkerFault> {
        let closed = matches!(self.worker.pacing, Pacing::Closed);
        let mut answered = 0_u64;
        for event in events {
            let Token(index) = event.token();
            let Some(connection) = self.worker.connections.get_mut(index) else { continue };
            if event.is_writable() {
                connection.on_writable()?;
            }
            if !(event.is_readable() || event.is_read_closed() || event.is_error()) {
                continue;
            }
            let replies = connection.on_readable(&mut Settling {
                clock: self.worker.clock,
                measure_from_ns: self.worker.window.measure_from_ns,
                scratch: &mut self.scratch,
                stats: &mut self.stats,
            })?;
            answered += u64::from(replies);
            if let Some(Closing { bytes, when: ClosingTime::Answered }) = &self.worker.closing
                && replies > 0
                && connection.close_batch(bytes)?
            {
                self.stats.bytes_sent += bytes.len() as u64;
            }
            if closed && replies > 0 && connection.is_idle() {
                idle.push(index);
            }
        }
        if answered > 0 {
            self.outstanding -= answered;
            self.last_sign_ns = self.worker.clock.now_ns();
            self.worker.signals.replies.fetch_add(answered, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The measurement begins: forget what the warm-up counted.
    fn on_time(&mut self, now_ns: u64) {
        if self.cpu_from_ns.is_none() && now_ns >= self.worker.window.measure_from_ns {
            self.cpu_from_ns = Some(thread_cpu_ns());
            self.stats.tally = Tally::default();
            self.stats.bytes_sent = 0;
            self.stats.bytes_received = 0;
        }
    }

    /// Requests in the next batch; 0 when all have been sent.
    fn batch_size(&self) -> u32 {
        u64::from(self.worker.pipeline).min(self.worker.window.budget) as u32
    }

    /// Whether `count` requests that count from `since_ns` may be sent; they are taken off the budget.
    fn take_off_budget(&mut self, count: u32, since_ns: u64) -> bool {
        let window = &mut self.worker.window;
        let stopped = self.worker.signals.stop.load(Ordering::Relaxed);
        if count == 0 || stopped || since_ns >= window.end_ns {
            return false;
        }
        if since_ns >= window.measure_from_ns {
            window.budget -= u64::from(count);
        }
        true
    }

    /// Whether nothing will be sent any more.
    fn is_over(&self, now_ns: u64) -> bool {
        let window = &self.worker.window;
        let time_is_up = match &self.worker.pacing {
            Pacing::Closed => now_ns >= window.end_ns,
            Pacing::Open(open) => {
                open.schedule.next_ns() >= window.end_ns || is_too_late(now_ns, window.end_ns)
            }
        };
        window.budget == 0 || time_is_up || self.worker.signals.stop.load(Ordering::Relaxed)
    }

    fn send_to_idle(&mut self, idle: &mut Vec<usize>) -> Result<Duration, WorkerFault> {
        for index in idle.drain(..) {
            // Encoding comes before the clock is read: it is our time, not the server's.
            let count = self.batch_size();
            self.encode(count);
            let now_ns = self.worker.clock.now_ns();
            if self.take_off_budget(count, now_ns) {
                self.send(index, count, now_ns)?;
            }
        }
        Ok(LOOK_AROUND)
    }

    fn encode(&mut self, count: u32) {
        self.batch.clear();
        self.worker.workload.append(&mut self.batch, count);
        if let Some(Closing { bytes, when: ClosingTime::AtOnce }) = &self.worker.closing {
            self.batch.extend_from_slice(bytes);
        }
    }

    fn send(&mut self, index: usize, count: u32, since_ns: u64) -> Result<(), WorkerFault> {
        if self.outstanding == 0 {
            self.last_sign_ns = self.worker.clock.now_ns();
        }
        let batch = match self.worker.closing {
            None => Batch::open(count, since_ns),
            Some(_) => Batch::closed(count, since_ns),
        };
        self.worker.connections[index].send(&self.batch, batch)?;
        self.stats.bytes_sent += self.batch.len() as u64;
        self.outstanding += u64::from(batch.replies());
        Ok(())
    }

    /// Sends what is due; returns how long to sleep at most, having set the timer if need be.
    fn send_due(&mut self, now_ns: u64) -> Result<Duration, WorkerFault> {
        for _ in 0..BATCHES_PER_TURN {
            let due_ns = match self.next_due(now_ns)? {
                Due::Now { due_ns } => due_ns,
                Due::Later { patience } => return Ok(patience),
            };
            let Some(index) = self.connection_with_room() else {
                self.stats.bound_hits += u64::from(!self.at_bound);
                self.at_bound = true;
                return Ok(LOOK_AROUND);
            };
            self.at_bound = false;
            let count = self.batch_size();
            if is_too_late(now_ns, self.worker.window.end_ns)
                || !self.take_off_budget(count, due_ns)
            {
                return Ok(LOOK_AROUND);
            }
            self.encode(count);
            if due_ns >= self.worker.window.measure_from_ns {
                let lag_ns = self.worker.clock.now_ns().saturating_sub(due_ns);
                self.stats.send_lag.saturating_record(lag_ns);
            }
            self.send(index, count, due_ns)?;
            if let Pacing::Open(open) = &mut self.worker.pacing {
                open.schedule.advance();
            }
        }
        Ok(Duration::ZERO)
    }

    /// Whether the next batch is due; if not, the loop will be woken when it is.
    fn next_due(&mut self, now_ns: u64) -> io::Result<Due> {
        let later = Due::Later { patience: LOOK_AROUND };
        let Pacing::Open(open) = &self.worker.pacing else { return Ok(later) };
        let due_ns = open.schedule.next_ns();
        if due_ns <= now_ns {
            return Ok(Due::Now { due_ns });
        }
        let window = &self.worker.window;
        if window.budget == 0 || due_ns >= window.end_ns {
            return Ok(later);
        }
        match open.waiting {
            Waiting::Sleep => {}
            Waiting::Spin => return Ok(Due::Later { patience: Duration::ZERO }),
            Waiting::Rest(_) => return Ok(later),
        }
        if let Some(wakeup) = &mut self.wakeup {
            wakeup.arm(now_ns, due_ns)?;
        }
        Ok(later)
    }

    /// Connections take turns; one at its bound is passed over.
    fn connection_with_room(&mut self) -> Option<usize> {
        let Pacing::Open(open) = &self.worker.pacing else { return None };
        let len = self.worker.connections.len();
        for step in 0..len {
            let index = (self.next_connection + step) % len;
            if self.worker.connections[index].has_room(self.worker.pipeline, open.outstanding_max) {
                self.next_connection = (index + 1) % len;
                return Some(index);
            }
        }
        None
    }

    fn check_silence(&self, now_ns: u64) -> Result<(), WorkerFault> {
        let silent_ns = now_ns.saturating_sub(self.last_sign_ns);
        if self.outstanding > 0 && u128::from(silent_ns) > self.worker.timeout.as_nanos() {
            return Err(WorkerFault::Silent {
                seconds: self.worker.timeout.as_secs_f64(),
                outstanding: self.outstanding,
            });
        }
        Ok(())
    }

    fn finish(mut self) -> Stats {
        let stopped = self.worker.signals.stop.load(Ordering::Relaxed);
        if let Pacing::Open(open) = &self.worker.pacing
            && self.worker.window.budget > 0
            && !stopped
        {
            let batches = open.schedule.remaining_before(self.worker.window.end_ns);
            self.stats.unsent = batches * u64::from(self.worker.pipeline);
        }
        let measured_ns =
            self.worker.clock.now_ns().saturating_sub(self.worker.window.measure_from_ns);
        if let Some(from_ns) = self.cpu_from_ns {
            self.stats.cpu_ns = thread_cpu_ns() - from_ns;
            self.stats.cpu_share_max = self.stats.cpu_ns as f64 / measured_ns.max(1) as f64;
        }
        self.stats
    }
}

fn is_too_late(now_ns: u64, end_ns: u64) -> bool {
    now_ns >= end_ns.saturating_add(GRACE_NS)
}
