//! The peers thread: sockets to other nodes, and the core behind them.
//!
//! It moves bytes and dials; what they mean is `trefoil_node::peers`. One thread for all links: there
//! are few, and what they carry is in large pieces.
//!
//! Invariants: the thread waits for nothing but its poll; what came over a link is looked at before its
//! end is; one link reads and writes a bounded number of bytes before the others have their turn.

mod dial;
mod door;
mod farewell;
mod mailbox;
mod socket;
pub(crate) mod start;
mod tls;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use trefoil_clock::Lsn;
use trefoil_log::FsDisk;
use trefoil_node::node::Node;
use trefoil_node::peers::{Peers, PeersOptions, SavedMembers, SavedRole};
use trefoil_replication::LinkId;

use crate::event_loop::Transport;
use dial::Dialler;
use door::Door;
pub(crate) use door::PeerDoor;
use farewell::Farewells;
pub(crate) use mailbox::PeersMailbox;
use socket::{End, Socket};

const LISTENER: Token = Token(0);
const MAILBOX: Token = Token(1);
/// Links have their number, and this.
const LINKS_FROM: usize = 2;

const EVENTS_MAX: usize = 64;
/// Sockets, with those that the core is done with.
const SOCKETS_MAX: usize = 512;
/// While a link has more to be read than there is room for.
const CROWDED_WAIT: Duration = Duration::from_millis(1);
/// While descriptors or memory are missing to accept with.
const SCARCE_WAIT: Duration = Duration::from_millis(100);
/// What the core said last over a link is sent within this time, or not at all.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// What the thread is made of.
pub(crate) struct PeersParts {
    pub(crate) node: Arc<Node>,
    pub(crate) disk: FsDisk,
    pub(crate) place: (SavedRole, SavedMembers),
    /// The last stop was clean.
    pub(crate) clean: bool,
    /// It was, whoever led.
    pub(crate) stopped_cleanly: bool,
    /// A follower is not served from before it has what its snapshot shows.
    pub(crate) ready_after: Lsn,
    /// Where clients reach this node.
    pub(crate) client_port: u16,
}

impl PeersParts {
    /// The thread, ready to run; the node has its role from now on.
    pub(crate) fn thread(
        self,
        poll: Poll,
        door: PeerDoor,
        mailbox: Arc<PeersMailbox>,
    ) -> io::Result<PeersThread> {
        let PeersParts { node, disk, place, clean, stopped_cleanly, ready_after, client_port } =
            self;
        let secret = start::secret(&node.settings);
        if let Some(listener) = &door.listener {
            node.replication.peer_port.store(listener.local_addr()?.port(), Relaxed);
        }
        let door = Door::open(door, secret.is_some(), (poll.registry(), LISTENER))?;
        let options = PeersOptions {
            secret,
            random: Box::new(rand::random),
            wall_ms: Box::new(wall_ms),
            client_port,
            clean,
            stopped_cleanly,
            boot: boot_name(),
            ready_after,
        };
        let (began, epoch_ms) = (Instant::now(), wall_ms());
        let dialler = Dialler::new(Arc::clone(&node), Arc::clone(&mailbox));
        Ok(PeersThread {
            peers: Peers::new(node, disk, options, place, epoch_ms),
            poll,
            door,
            mailbox,
            dialler,
            attempt: 0,
            sockets: BTreeMap::new(),
            farewells: Farewells::default(),
            epoch_ms,
            began,
        })
    }
}

/// What the operating system calls the time since the machine was switched on.
fn boot_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// See the module.
pub(crate) struct PeersThread {
    peers: Peers<FsDisk>,
    poll: Poll,
    door: Door,
    mailbox: Arc<PeersMailbox>,
    dialler: Dialler,
    /// How often was dialled. What came of an earlier attempt than the last is of no interest.
    attempt: u64,
    sockets: BTreeMap<LinkId, Socket>,
    farewells: Farewells,
    /// Time since an arbitrary beginning, set to Unix milliseconds there; never goes back.
    epoch_ms: u64,
    began: Instant,
}

impl PeersThread {
    /// A poll with a mailbox's waker.
    pub(crate) fn poll() -> io::Result<(Poll, PeersMailbox)> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), MAILBOX)?;
        Ok((poll, PeersMailbox::new(waker)))
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let wait = self.patience();
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            self.take_events(&events);
            if self.mailbox.listen() {
                return Ok(());
            }
            self.take_dialled();
            self.accept();
            self.read();
            self.peers.step(self.now_ms());
            if let Some(dial) = self.peers.dial() {
                self.attempt += 1;
                self.dialler.dial(self.attempt, dial.leader);
            }
            self.write();
            self.take_ends();
            self.farewells.look(Instant::now());
            self.mailbox.set_interested(self.peers.is_interested());
        }
    }

    fn now_ms(&self) -> u64 {
        self.epoch_ms + self.began.elapsed().as_millis() as u64
    }

    /// How long the poll may wait.
    fn patience(&mut self) -> Option<Duration> {
        let mut crowded = false;
        for (&link, socket) in &self.sockets {
            if socket.is_readable() {
                crowded = true;
                if self.peers.space(link).is_some() {
                    return Some(Duration::ZERO);
                }
            }
        }
        let now_ms = self.now_ms();
        let closing = self.sockets.values().filter_map(|socket| socket.closes_by);
        let closing = closing.chain(self.farewells.deadline()).min();
        [
            crowded.then_some(CROWDED_WAIT),
            self.door.is_scarce().then_some(SCARCE_WAIT),
            closing.map(|by| by.saturating_duration_since(Instant::now())),
            self.peers.deadline().map(|by| Duration::from_millis(by.saturating_sub(now_ms))),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn take_events(&mut self, events: &Events) {
        for event in events {
            match event.token() {
                LISTENER => self.door.on_event(),
                MAILBOX => {}
                Token(number) => {
                    let link = LinkId((number - LINKS_FROM) as u64);
                    if let Some(socket) = self.sockets.get_mut(&link) {
                        socket.on_event(event);
                    }
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Some((stream, from)) = self.door.accept() {
            let has_room = self.sockets.len() < SOCKETS_MAX;
            let link = has_room.then(|| self.peers.on_accepted(Some(from.ip()))).flatten();
            let Some(link) = link else {
                self.door.on_full(from);
                continue;
            };
            self.door.on_admitted();
            let added = self
                .door
                .accepted(stream)
                .and_then(|transport| self.add(link, transport, Some(from)));
            if let Err(error) = added {
                eprintln!("trefoil: a node at {from} could not connect: {error}");
                self.peers.on_closed(link);
            }
        }
    }

    fn take_dialled(&mut self) {
        for dialled in self.mailbox.take() {
            if dialled.attempt != self.attempt {
                continue;
            }
            let leader = dialled.leader;
            let stream = match dialled.result {
                Ok(stream) => TcpStream::from_std(stream),
                Err(trouble) => {
                    self.peers.on_dial_failed(trouble);
                    continue;
                }
            };
            let Some(link) = self.peers.on_dialled(&leader) else { continue };
            let added = self
                .door
                .dialled(stream, &leader.host)
                .and_then(|transport| self.add(link, transport, None));
            if let Err(error) = added {
                self.peers.on_dial_failed(error);
                self.peers.on_closed(link);
            }
        }
    }

    fn add(
        &mut self,
        link: LinkId,
        mut transport: Transport,
        from: Option<SocketAddr>,
    ) -> Result<(), String> {
        let token = Token(link.0 as usize + LINKS_FROM);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let stream = transport.stream_mut();
        // Its failure shows when it is used.
        let _ = stream.set_nodelay(true);
        let registered = self.poll.registry().register(stream, token, interest);
        registered.map_err(|error| error.to_string())?;
        self.sockets.insert(link, Socket::new(transport, from));
        Ok(())
    }

    fn read(&mut self) {
        for (&link, socket) in &mut self.sockets {
            if socket.is_readable() {
                socket.read(&mut self.peers, link);
            }
        }
    }

    /// Sends what the core has to say, and closes what it is done with.
    fn write(&mut self) {
        let now = Instant::now();
        let mut done = Vec::new();
        for (&link, socket) in &mut self.sockets {
            let Some(out) = self.peers.outbound(link) else {
                done.push(link);
                continue;
            };
            let written = socket.write(out);
            let is_over = out.is_closing() && socket.has_sent(out);
            if out.is_closing() {
                socket.closes_by.get_or_insert(now + CLOSE_WITHIN);
            }
            if written.is_err() || is_over || socket.closes_by.is_some_and(|by| by <= now) {
                done.push(link);
            }
        }
        for link in done {
            self.close(link, now);
        }
    }

    /// Closes the links that the other side has ended, now that what came over them was looked at.
    fn take_ends(&mut self) {
        let now = Instant::now();
        let ends: Vec<(LinkId, Option<SocketAddr>, End)> = self
            .sockets
            .iter_mut()
            .filter_map(|(&link, socket)| Some((link, socket.from, socket.take_end()?)))
            .collect();
        for (link, from, end) in ends {
            // If it is done with a link the core has said why.
            if self.peers.outbound(link).is_some_and(|out| !out.is_closing()) {
                match (from, end) {
                    (None, End::Closed(trouble) | End::Misunderstood(trouble)) => {
                        self.peers.on_dial_failed(trouble);
                    }
                    (Some(from), End::Misunderstood(trouble)) => {
                        eprintln!("trefoil: a node at {from} was turned away: {trouble}");
                    }
                    (Some(_), End::Closed(_)) => {}
                }
            }
            self.close(link, now);
        }
    }

    fn close(&mut self, link: LinkId, now: Instant) {
        if let Some(socket) = self.sockets.remove(&link) {
            self.farewells.add(link, socket.into_stream(), now);
        }
        self.peers.on_closed(link);
    }
}
