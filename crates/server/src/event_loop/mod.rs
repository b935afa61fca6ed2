//! A worker's loop, in phases: read every ready connection, parse, prefetch, run, publish to the log
//! once, then write every connection that has something to say.
//!
//! Reads go into one scratch buffer; only a frame that is not complete is kept by its connection.
//! The order of the phases is worth a quarter of the time at deep pipelines (docs/adr/0002).
//!
//! Invariants: a reply is written after its turn was published; a parked connection is not read
//! from; a connection that stops in the middle of a read is read again next turn, since the socket
//! (edge-triggered) will not tell twice.

mod connection;
mod mailbox;
mod turn;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use trefoil_node::mail::Mail;
use trefoil_node::session::{Restrictions, Session};
use trefoil_node::worker::{Wake, Worker};

use connection::{Connection, Sent};
pub(crate) use mailbox::{Mailbox, Mailboxes, Message};
use turn::Turn;

/// The mailbox's token; connections have their slab keys.
const MAILBOX: Token = Token(usize::MAX);

const EVENTS_MAX: usize = 1_024;
/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(100);

/// See the module.
pub(crate) struct EventLoop {
    worker: Worker,
    poll: Poll,
    mailboxes: Arc<Mailboxes>,
    connections: Slab<Connection>,
    turn: Turn,
    /// Connections to be read from in the next turn.
    ready: Vec<usize>,
    /// Connections to be written to at the end of the turn.
    flush: Vec<usize>,
    /// Connections whose next command could not run.
    parked: Vec<usize>,
    /// Connections whose replies wait for the log.
    waiting: Vec<usize>,
    stopping: bool,
}

impl EventLoop {
    /// A loop for a worker; `poll` has its mailbox's waker registered.
    pub(crate) fn new(worker: Worker, poll: Poll, mailboxes: Arc<Mailboxes>) -> EventLoop {
        EventLoop {
            worker,
            poll,
            mailboxes,
            connections: Slab::new(),
            turn: Turn::default(),
            ready: Vec::new(),
            flush: Vec::new(),
            parked: Vec::new(),
            waiting: Vec::new(),
            stopping: false,
        }
    }

    /// A poll with a mailbox's waker.
    pub(crate) fn poll() -> io::Result<(Poll, mio::Waker)> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), MAILBOX)?;
        Ok((poll, waker))
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.stopping {
            let patience = if self.ready.is_empty() { TICK } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(patience)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                self.on_event(event);
            }
            self.run_turn();
        }
        Ok(())
    }

    fn on_event(&mut self, event: &Event) {
        if event.token() == MAILBOX {
            self.receive();
            return;
        }
        let key = event.token().0;
        let Some(connection) = self.connections.get_mut(key) else { return };
        if event.is_writable() && connection.on_writable() && !connection.in_flush_list {
            connection.in_flush_list = true;
            self.flush.push(key);
        }
        if (event.is_readable() || event.is_read_closed() || event.is_error())
            && !connection.in_ready_list
        {
            connection.in_ready_list = true;
            self.ready.push(key);
        }
    }

    fn run_turn(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.worker.begin_turn(now.as_millis() as u64);
        self.run_parked();
        self.run_ready();
        match self.worker.end_turn() {
            Wake::None => {}
            Wake::One(worker) => self.mailboxes.of(worker).wake(),
            Wake::All => self.mailboxes.wake_all_but(self.worker.index),
        }
        self.flush();
        for &key in &self.ready {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.in_ready_list = true;
            }
        }
    }

    /// Reads, parses and runs, a scratch buffer's worth of connections at a time.
    fn run_ready(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        let mut left = &ready[..];
        while !left.is_empty() {
            let taken = self.turn.read(&mut self.connections, left, &mut self.ready);
            left = &left[taken..];
            self.run_read();
        }
        ready.clear();
        // What is in `self.ready` now has more to read.
        ready.append(&mut self.ready);
        self.ready = ready;
    }

    fn run_parked(&mut self) {
        for key in std::mem::take(&mut self.parked) {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.parked = false;
                self.turn.parse_again(key, connection);
                if !connection.in_ready_list {
                    connection.in_ready_list = true;
                    self.ready.push(key);
                }
            }
        }
        self.run_read();
    }

    fn run_read(&mut self) {
        let lists = turn::Lists {
            flush: &mut self.flush,
            parked: &mut self.parked,
            waiting: &mut self.waiting,
        };
        self.turn.run(&mut self.worker, &mut self.connections, lists);
    }

    fn flush(&mut self) {
        let durable = self.worker.node.log.durable();
        for key in self.flush.drain(..) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.in_flush_list = false;
            if connection.send(durable) == Sent::Closed {
                let mut connection = self.connections.remove(key);
                let _ = self.poll.registry().deregister(&mut connection.stream);
            }
        }
        if !self.waiting.is_empty() {
            self.mailboxes.of(self.worker.index).expect_durable();
        }
    }

    fn receive(&mut self) {
        let mailbox = Arc::clone(self.mailboxes.of(self.worker.index));
        for message in mailbox.take() {
            match message {
                Message::Accepted(stream) => self.accept(stream),
                Message::Stop => self.stopping = true,
                Message::Mail(mail) => self.on_mail(mail),
            }
        }
        self.on_durable();
    }

    fn on_mail(&mut self, mail: Mail) {
        match mail {
            Mail::Wake => {}
            Mail::Deliver(_) => {}
            Mail::Kill(addresses) => {
                for address in addresses {
                    let slot = address.slot as usize;
                    let Some(connection) = self.connections.get_mut(slot) else { continue };
                    if connection.session.address == address && !connection.in_flush_list {
                        connection.closing = true;
                        connection.in_flush_list = true;
                        self.flush.push(slot);
                    }
                }
            }
        }
    }

    /// The log may have become durable: replies that waited for it leave at the end of this turn.
    fn on_durable(&mut self) {
        let connections = &mut self.connections;
        let flush = &mut self.flush;
        self.waiting.retain(|&key| {
            let Some(connection) = connections.get_mut(key) else { return false };
            if !connection.in_flush_list {
                connection.in_flush_list = true;
                flush.push(key);
            }
            connection.is_waiting()
        });
    }

    fn accept(&mut self, mut stream: TcpStream) {
        let entry = self.connections.vacant_entry();
        let token = Token(entry.key());
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut stream, token, interest).is_ok() {
            let (worker, slot) = (self.worker.index as u32, token.0 as u32);
            let session = Session::new(worker, slot, Restrictions::default());
            entry.insert(Connection::new(stream, session));
        }
    }
}
