//! The peers thread: sockets to other nodes, and the core behind them.
//!
//! It moves bytes and dials; what they mean is `trefoil_node::peers`. One thread for all links: there
//! are few, and what they carry is in large pieces.

mod dial;
mod mailbox;
pub(crate) mod start;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use trefoil_log::FsDisk;
use trefoil_node::node::Node;
use trefoil_node::peers::{Peers, PeersOptions, SavedMembers, SavedRole};
use trefoil_replication::LinkId;

pub(crate) use dial::Dialler;
pub(crate) use mailbox::PeersMailbox;

const LISTENER: Token = Token(0);
const MAILBOX: Token = Token(1);
/// Links have their number, and this.
const LINKS_FROM: usize = 2;

const EVENTS_MAX: usize = 64;
/// While a link has more to be read than there is room for.
const CROWDED_WAIT: Duration = Duration::from_millis(1);
/// Bytes read from one link before the others have their turn.
const READ_MAX: usize = 4 << 20;

struct Socket {
    stream: TcpStream,
    /// There may be more to read; the poll will not tell twice.
    readable: bool,
    writable: bool,
}

/// What the thread is made of.
pub(crate) struct PeersParts {
    pub(crate) node: Arc<Node>,
    pub(crate) disk: FsDisk,
    pub(crate) place: (SavedRole, SavedMembers),
    /// The last stop was clean.
    pub(crate) clean: bool,
    /// Where clients reach this node.
    pub(crate) client_port: u16,
}

impl PeersParts {
    /// The thread, ready to run; the node has its role from now on.
    pub(crate) fn thread(
        self,
        poll: Poll,
        door: Option<std::net::TcpListener>,
        mailbox: Arc<PeersMailbox>,
    ) -> io::Result<PeersThread> {
        let PeersParts { node, disk, place, clean, client_port } = self;
        let settings = &node.settings;
        let (secret, dialler) = (start::secret(settings), start::dialler(settings));
        if let Some(door) = &door {
            node.replication.peer_port.store(door.local_addr()?.port(), Relaxed);
        }
        let options = PeersOptions {
            secret,
            random: Box::new(rand::random),
            wall_ms: Box::new(wall_ms),
            client_port,
            clean,
        };
        let (began, epoch_ms) = (Instant::now(), wall_ms());
        let mut listener = door.map(TcpListener::from_std);
        if let Some(listener) = &mut listener {
            poll.registry().register(listener, LISTENER, Interest::READABLE)?;
        }
        let peers = Peers::new(node, disk, options, place, epoch_ms);
        let sockets = BTreeMap::new();
        Ok(PeersThread { peers, poll, listener, mailbox, dialler, sockets, epoch_ms, began })
    }
}

fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// See the module.
pub(crate) struct PeersThread {
    peers: Peers<FsDisk>,
    poll: Poll,
    listener: Option<TcpListener>,
    mailbox: Arc<PeersMailbox>,
    dialler: Dialler,
    sockets: BTreeMap<LinkId, Socket>,
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
            let mut accepts = false;
            for event in &events {
                match event.token() {
                    LISTENER => accepts = true,
                    MAILBOX => {}
                    Token(number) => {
                        let link = LinkId((number - LINKS_FROM) as u64);
                        if let Some(socket) = self.sockets.get_mut(&link) {
                            socket.readable |= event.is_readable() || event.is_read_closed();
                            socket.readable |= event.is_error();
                            socket.writable |= event.is_writable();
                        }
                    }
                }
            }
            if self.mailbox.listen() {
                return Ok(());
            }
            self.take_dialled()?;
            if accepts {
                self.accept()?;
            }
            self.read();
            self.peers.step(self.now_ms());
            if let Some(dial) = self.peers.dial() {
                self.dialler.dial(dial.leader, Arc::clone(&self.mailbox));
            }
            self.write();
            self.mailbox.set_interested(self.peers.is_interested());
        }
    }

    fn now_ms(&self) -> u64 {
        self.epoch_ms + self.began.elapsed().as_millis() as u64
    }

    fn patience(&self) -> Option<Duration> {
        if self.sockets.values().any(|socket| socket.readable) {
            return Some(CROWDED_WAIT);
        }
        let deadline = self.peers.deadline()?;
        Some(Duration::from_millis(deadline.saturating_sub(self.now_ms())))
    }

    fn accept(&mut self) -> io::Result<()> {
        let Some(listener) = &self.listener else { return Ok(()) };
        let mut streams = Vec::new();
        loop {
            match listener.accept() {
                Ok(accepted) => streams.push(accepted),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    eprintln!("trefoil: a node could not connect: {error}");
                    break;
                }
            }
        }
        for (stream, peer) in streams {
            self.on_accepted(stream, peer)?;
        }
        Ok(())
    }

    fn on_accepted(&mut self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        if !self.dialler.may_come(peer.ip()) {
            eprintln!(
                "trefoil: a node at {peer} was turned away: without peer-secret or peer-tls-* only \
                 nodes on this host may connect"
            );
            return Ok(());
        }
        match self.peers.on_accepted(Some(peer.ip())) {
            Some(link) => self.add(link, stream),
            None => Ok(()),
        }
    }

    fn take_dialled(&mut self) -> io::Result<()> {
        for (leader, result) in self.mailbox.take() {
            match result {
                Ok(stream) => {
                    if let Some(link) = self.peers.on_dialled(&leader) {
                        self.add(link, TcpStream::from_std(stream))?;
                    }
                }
                Err(trouble) => self.peers.on_dial_failed(trouble),
            }
        }
        Ok(())
    }

    fn add(&mut self, link: LinkId, mut stream: TcpStream) -> io::Result<()> {
        let token = Token(link.0 as usize + LINKS_FROM);
        let interest = Interest::READABLE | Interest::WRITABLE;
        // Its failure shows when it is used.
        let _ = stream.set_nodelay(true);
        self.poll.registry().register(&mut stream, token, interest)?;
        self.sockets.insert(link, Socket { stream, readable: true, writable: true });
        Ok(())
    }

    fn read(&mut self) {
        let mut gone = Vec::new();
        for (&link, socket) in &mut self.sockets {
            if socket.readable && read(&mut self.peers, link, socket) {
                gone.push(link);
            }
        }
        for link in gone {
            self.close(link);
        }
    }

    fn write(&mut self) {
        let mut gone = Vec::new();
        for (&link, socket) in &mut self.sockets {
            let Some(out) = self.peers.outbound(link) else {
                gone.push(link);
                continue;
            };
            while socket.writable && !out.unsent().is_empty() {
                match socket.stream.write(out.unsent()) {
                    Ok(written) => out.advance(written),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => socket.writable = false,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => {
                        gone.push(link);
                        break;
                    }
                }
            }
            if out.is_closing() && out.unsent().is_empty() {
                gone.push(link);
            }
        }
        for link in gone {
            self.close(link);
        }
    }

    fn close(&mut self, link: LinkId) {
        if let Some(mut socket) = self.sockets.remove(&link) {
            // It is closed anyway.
            let _ = self.poll.registry().deregister(&mut socket.stream);
        }
        self.peers.on_closed(link);
    }
}

/// Reads what there is and what there is room for. Whether the link is gone.
fn read(peers: &mut Peers<FsDisk>, link: LinkId, socket: &mut Socket) -> bool {
    let mut total = 0;
    while total < READ_MAX {
        let Some(space) = peers.space(link) else { return false };
        match socket.stream.read(space) {
            Ok(0) => return true,
            Ok(count) => {
                peers.filled(link, count);
                total += count;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                socket.readable = false;
                return false;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
    false
}
