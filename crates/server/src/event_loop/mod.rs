//! A worker's loop, in phases: read every ready connection, parse, prefetch, run, publish to the log
//! once, then write every connection that has something to say.
//!
//! Reads go into one scratch buffer; only a frame that is not complete is kept by its connection.
//! The order of the phases is worth a quarter of the time at deep pipelines (docs/adr/0002).
//!
//! Invariants: a reply is written after its turn was published; a parked connection is not read
//! from; a connection that stops in the middle of a read is read again next turn, since the socket
//! (edge-triggered) will not tell twice; a slot that was freed is in no list when it is taken again.

mod backlog;
mod connection;
mod mailbox;
mod timers;
mod transport;
mod turn;
mod upstream;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use trefoil_clock::Lsn;
use trefoil_node::mail::Mail;
use trefoil_node::pubsub::Delivery;
use trefoil_node::session::Session;
use trefoil_node::worker::{Wake, Worker};

use backlog::OutputLimits;
use connection::{Connection, Sent};
pub(crate) use mailbox::{Mailbox, Mailboxes, Message};
use timers::Timers;
pub(crate) use transport::Transport;
use turn::Turn;
use upstream::{UPSTREAM, Upstreams};

/// The mailbox's token; connections have their slab keys.
const MAILBOX: Token = Token(usize::MAX);

const EVENTS_MAX: usize = 1_024;
/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long a loop that is told to stop waits for its last replies.
const LAST_REPLIES_MAX: Duration = Duration::from_secs(1);
const LAST_REPLIES_TICK: Duration = Duration::from_millis(10);

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
    /// Connections whose peers are slow to read.
    slow: Vec<usize>,
    timers: Timers,
    /// The reign in which what waits was done.
    reign: u64,
    /// Connections to the leader.
    upstreams: Upstreams,
    /// A parked connection can go on without being woken.
    impatient: bool,
    /// Slots were freed that may still be in lists.
    freed: bool,
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
            slow: Vec::new(),
            timers: Timers::default(),
            reign: 0,
            upstreams: Upstreams::default(),
            impatient: false,
            freed: false,
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
            let busy = !self.ready.is_empty() || self.impatient || self.worker.has_chores();
            let patience = match busy {
                true => Duration::ZERO,
                false => self.upstreams.patience().unwrap_or(TICK),
            };
            match self.poll.poll(&mut events, Some(patience)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                self.on_event(event);
            }
            self.run_turn();
        }
        self.send_last_replies(&mut events)
    }

    /// What has come before the stop is answered: once the log has it, or once the next leader has done
    /// it. Nothing more is read.
    fn send_last_replies(&mut self, events: &mut Events) -> io::Result<()> {
        let begun = Instant::now();
        let managed = self.worker.node.agreement.is_managed();
        let is_owed = |it: &Connection| it.is_waiting() || (managed && it.is_at_work());
        self.dismiss_peers();
        let owes = |(_, it): (usize, &Connection)| is_owed(it) && !it.is_write_blocked();
        while self.connections.iter().any(owes) && begun.elapsed() < LAST_REPLIES_MAX {
            match self.poll.poll(events, Some(LAST_REPLIES_TICK)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &*events {
                self.on_event(event);
            }
            self.on_durable();
            self.run_turn();
        }
        Ok(())
    }

    /// What other nodes send is not read any more; they are told, and ask whoever leads next.
    fn dismiss_peers(&mut self) {
        for (key, connection) in &mut self.connections {
            let Connection { session, out, closing, .. } = connection;
            if *closing || !self.worker.dismiss_peer(session, out) {
                continue;
            }
            *closing = true;
            connection.count_reply();
            if !connection.in_flush_list {
                connection.in_flush_list = true;
                self.flush.push(key);
            }
        }
        self.flush();
    }

    fn on_event(&mut self, event: &Event) {
        if event.token() == MAILBOX {
            self.receive();
            return;
        }
        let key = event.token().0;
        if key & UPSTREAM != 0 {
            return self.on_upstream_event(key & !UPSTREAM, event);
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        // What came before the end may be read in part; the socket will not tell again.
        connection.peer_ended |= event.is_read_closed() || event.is_error();
        connection.reads_on |= connection.peer_ended;
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
        let now_ms = now.as_millis() as u64;
        self.worker.begin_turn(now_ms);
        self.notice_reign();
        self.turn.begin(&self.worker.node.settings, self.timers.now_s(now_ms));
        self.relay();
        self.run_parked();
        self.run_ready();
        self.run_timers(now_ms);
        match self.worker.end_turn() {
            Wake::None => {}
            Wake::One(seat) if seat < self.worker.node.workers => self.mailboxes.of(seat).wake(),
            Wake::One(seat) => self.worker.node.wake(Wake::One(seat)),
            Wake::All => {
                self.worker.node.applier.wake();
                self.worker.node.post.wake_peers();
                self.mailboxes.wake_all_but(self.worker.index);
                // Connections that came before the one that was alone may go on as well.
                self.impatient |= !self.parked.is_empty();
            }
        }
        self.send_upstream();
        self.flush();
        self.impatient |= self.can_relay();
        for &key in &self.ready {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.in_ready_list = true;
            }
        }
    }

    /// Reads, parses and runs, a scratch buffer's worth of connections at a time.
    fn run_ready(&mut self) {
        if self.stopping {
            return;
        }
        let mut ready = std::mem::take(&mut self.ready);
        let mut left = &ready[..];
        while !left.is_empty() {
            let taken =
                self.turn.read(&mut self.connections, left, &mut self.ready, &mut self.flush);
            left = &left[taken..];
            self.run_read();
        }
        ready.clear();
        // What is in `self.ready` now has more to read.
        ready.append(&mut self.ready);
        self.ready = ready;
    }

    fn run_parked(&mut self) {
        self.impatient = false;
        for key in std::mem::take(&mut self.parked) {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.parked = false;
                if connection.congested {
                    // What it sent is run when its peer has read, see `on_pending`.
                    continue;
                }
                if connection.peer_ended && connection.session.waiting.is_some() {
                    self.abort(key);
                    continue;
                }
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
            forwards: &mut self.upstreams.touched,
            impatient: &mut self.impatient,
        };
        self.turn.run(&mut self.worker, &mut self.connections, lists);
    }

    /// Replies may leave that depend on records up to this one.
    fn released(&mut self) -> Lsn {
        loop {
            match self.worker.node.released_in(self.reign) {
                Some(released) => return released,
                None => self.notice_reign(),
            }
        }
    }

    /// If the role has changed, it is unknown what becomes of what was not acknowledged before.
    fn notice_reign(&mut self) {
        let reign = self.worker.node.replication.reign();
        if reign == self.reign {
            return;
        }
        let parted_at = self.worker.node.replication.parted_at(self.reign);
        self.reign = reign;
        for &key in &self.waiting {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            let unknown = connection.give_replies_of_reign_up(parted_at);
            self.worker.node.replication.unknown.fetch_add(unknown, Relaxed);
            if !connection.in_flush_list {
                connection.in_flush_list = true;
                self.flush.push(key);
            }
        }
    }

    fn flush(&mut self) {
        let released = self.released();
        let mut flush = std::mem::take(&mut self.flush);
        let mut sent_bytes = 0;
        for key in flush.drain(..) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.in_flush_list = false;
            let before = connection.out.sent();
            let sent = connection.send(released);
            sent_bytes += connection.out.sent() - before;
            match sent {
                Sent::All if !connection.congested => {}
                Sent::All | Sent::Pending => self.on_pending(key),
                Sent::Closed => self.close(key),
            }
        }
        self.flush = flush;
        self.count_traffic(sent_bytes);
        if self.freed {
            self.forget_freed();
        }
        if !self.waiting.is_empty() || !self.parked.is_empty() {
            let mailbox = self.mailboxes.of(self.worker.index);
            mailbox.expect_durable();
            if self.worker.node.released() > released
                || self.worker.has_seen_less_than_applied()
                || self.worker.has_missed_a_change()
            {
                // It became so before it knew that we wait.
                mailbox.wake();
            }
        }
    }

    /// Tells INFO what this turn received and sent.
    fn count_traffic(&mut self, sent_bytes: u64) {
        let received_bytes = std::mem::take(&mut self.turn.received);
        let traffic = self.worker.node.counters.traffic(self.worker.index);
        traffic.turns.add(1);
        traffic.input_bytes.add(received_bytes as i64);
        traffic.output_bytes.add(sent_bytes as i64);
    }

    /// Not everything could be sent, or not until now.
    fn on_pending(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let limits = OutputLimits::of(&connection.session, &self.worker.node.settings);
        let was_slow = connection.backlog.is_some();
        if let Some(overrun) = connection.on_pending(&limits, self.timers.now_s) {
            eprintln!(
                "trefoil: client {} is closed: {} bytes of replies exceed the {overrun} limit of client-output-buffer-limit",
                connection.session.address.id,
                connection.out.len()
            );
            return self.close(key);
        }
        if !was_slow && connection.backlog.is_some() {
            self.slow.push(key);
        }
        if connection.relieve() && !connection.parked {
            connection.parked = true;
            self.parked.push(key);
            self.impatient = true;
        }
    }

    /// Ends a connection. Everything that anybody keeps about it goes here.
    fn close(&mut self, key: usize) {
        let mut connection = self.connections.remove(key);
        self.freed = true;
        self.worker.close(&mut connection.session);
        connection.transport.say_goodbye();
        let _ = self.poll.registry().deregister(connection.transport.stream_mut());
        self.worker.node.clients.remove(connection.session.address.id);
        self.worker.node.client_counts.on_close(self.worker.index);
    }

    /// Takes freed slots out of every list, before a new connection can take them.
    fn forget_freed(&mut self) {
        self.freed = false;
        for list in [&mut self.ready, &mut self.parked, &mut self.waiting, &mut self.slow] {
            list.retain(|&key| self.connections.contains(key));
        }
    }

    fn receive(&mut self) {
        let mailbox = Arc::clone(self.mailboxes.of(self.worker.index));
        for message in mailbox.take() {
            match message {
                Message::Accepted(transport) => self.accept(transport),
                Message::Stop => self.stopping = true,
                Message::Mail(mail) => self.on_mail(mail),
                Message::Resolved(host, ip) => self.on_resolved(host, ip),
            }
        }
        self.on_durable();
    }

    fn on_mail(&mut self, mail: Mail) {
        match mail {
            Mail::Wake => {}
            Mail::Deliver(delivery) => self.deliver(&delivery),
            Mail::Kill(addresses) => {
                for address in addresses {
                    let slot = address.slot as usize;
                    let Some(connection) = self.connections.get_mut(slot) else { continue };
                    if connection.session.address == address {
                        self.abort(slot);
                    }
                }
            }
        }
    }

    /// Hands a message to those of its receivers that are still here and subscribed.
    fn deliver(&mut self, delivery: &Delivery) {
        let gated = self.worker.node.is_gated();
        for address in delivery.to.iter() {
            let key = address.slot as usize;
            let Some(connection) = self.connections.get_mut(key) else { continue };
            if connection.session.address != *address || connection.closing {
                continue;
            }
            let position = connection.out.position();
            if !delivery.write(&connection.session, &mut connection.out) {
                continue;
            }
            if gated {
                let now_ms = self.worker.writer.now_ms;
                connection.wait_for(position, delivery.depends_on, now_ms);
                if !connection.in_waiting_list {
                    connection.in_waiting_list = true;
                    self.waiting.push(key);
                }
            }
            if !connection.in_flush_list {
                connection.in_flush_list = true;
                self.flush.push(key);
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
            connection.in_waiting_list = connection.is_waiting();
            connection.in_waiting_list
        });
    }

    /// Closes a connection at the end of the turn, whatever was to be sent.
    fn abort(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.abort();
        if !connection.in_flush_list {
            connection.in_flush_list = true;
            self.flush.push(key);
        }
    }

    fn accept(&mut self, mut transport: Transport) {
        let node = &self.worker.node;
        let entry = self.connections.vacant_entry();
        let token = Token(entry.key());
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(transport.stream_mut(), token, interest).is_err() {
            node.client_counts.on_close(self.worker.index);
            return;
        }
        let stream = transport.stream_mut();
        let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else {
            // It is gone already.
            node.client_counts.on_close(self.worker.index);
            return;
        };
        let place = (self.worker.index as u32, token.0 as u32);
        let record = node.clients.register(place, peer, local, self.worker.writer.now_ms);
        let session = Session::new(record, node.first_restrictions());
        entry.insert(Connection::new(transport, session, self.timers.now_s));
    }
}
