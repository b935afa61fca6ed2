//! The thread that accepts connections and hands each to the worker with the fewest.
//!
//! Invariants: at most `maxclients` connections are open; without a password nobody gets in from
//! beyond this host in protected mode; when descriptors run out it waits instead of spinning.

use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustls::{ServerConfig, ServerConnection};
use socket2::{SockRef, TcpKeepalive};
use trefoil_node::node::Node;
use trefoil_node::settings::Settings;

use crate::event_loop::{Mailboxes, Message, Transport};

const STOP: Token = Token(usize::MAX);
/// How long to wait for descriptors or memory to be freed.
const SCARCE: Duration = Duration::from_millis(100);
/// Probes of a silent peer that may go unanswered.
const PROBES: u32 = 3;

const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";
const DENIED: &[u8] = b"-DENIED Trefoil is in protected mode: no password is set, so only clients \
on the server's own host may connect. To let others in, set a password there \
(CONFIG SET requirepass, or the configuration file). Only if the network itself keeps strangers \
out, CONFIG SET protected-mode no does without.\r\n";

/// See the module.
pub(crate) struct Acceptor {
    poll: Poll,
    listeners: Vec<Door>,
    node: Arc<Node>,
    mailboxes: Arc<Mailboxes>,
}

struct Door {
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    /// Connections wait to be accepted.
    waits: bool,
    /// The last time there was nothing to accept them with.
    scarce: bool,
}

impl Acceptor {
    /// An acceptor for listening sockets (with TLS: its configuration), and what stops it.
    pub(crate) fn new(
        listeners: Vec<(TcpListener, Option<Arc<ServerConfig>>)>,
        node: Arc<Node>,
        mailboxes: Arc<Mailboxes>,
    ) -> io::Result<(Acceptor, mio::Waker)> {
        let poll = Poll::new()?;
        let stop = mio::Waker::new(poll.registry(), STOP)?;
        let mut doors = Vec::new();
        for (index, (mut listener, tls)) in listeners.into_iter().enumerate() {
            poll.registry().register(&mut listener, Token(index), Interest::READABLE)?;
            doors.push(Door { listener, tls, waits: false, scarce: false });
        }
        Ok((Acceptor { poll, listeners: doors, node, mailboxes }, stop))
    }

    /// Accepts until it is stopped.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(64);
        loop {
            let waits = self.listeners.iter().any(|door| door.waits);
            match self.poll.poll(&mut events, waits.then_some(SCARCE)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    STOP => return Ok(()),
                    Token(index) => self.listeners[index].waits = true,
                }
            }
            for index in 0..self.listeners.len() {
                if self.listeners[index].waits {
                    self.accept_all(index);
                }
            }
        }
    }

    /// Accepts all connections that wait at a door.
    fn accept_all(&mut self, index: usize) {
        let door = &mut self.listeners[index];
        door.waits = false;
        loop {
            match door.listener.accept() {
                Ok((stream, peer)) => {
                    door.scarce = false;
                    admit(&self.node, &self.mailboxes, &door.tls, stream, peer);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if is_scarcity(&error) => {
                    if !door.scarce {
                        eprintln!("trefoil: new connections have to wait: {error}");
                    }
                    (door.waits, door.scarce) = (true, true);
                    return;
                }
                // It was gone before it was accepted; the next may be well.
                Err(_) => {}
            }
        }
    }
}

/// Lets a connection in, or tells it why not.
fn admit(
    node: &Node,
    mailboxes: &Mailboxes,
    tls: &Option<Arc<ServerConfig>>,
    mut stream: TcpStream,
    peer: SocketAddr,
) {
    let settings = &node.settings;
    if is_denied(settings, peer) {
        return refuse(&mut stream, DENIED, tls);
    }
    let Some(worker) = node.client_counts.admit(settings.maxclients.load(Relaxed)) else {
        return refuse(&mut stream, TOO_MANY, tls);
    };
    let transport = match tls {
        None => Ok(Transport::Plain(stream)),
        Some(config) => {
            ServerConnection::new(Arc::clone(config)).map(|session| Transport::tls(stream, session))
        }
    };
    let tuned = transport.map_err(io::Error::other).and_then(|mut transport| {
        tune(transport.stream_mut(), settings)?;
        Ok(transport)
    });
    match tuned {
        Ok(transport) => mailboxes.of(worker).send(Message::Accepted(transport)),
        Err(_) => node.client_counts.on_close(worker),
    }
}

/// A new connection's buffer takes a line; if not, the peer does without.
fn refuse(stream: &mut TcpStream, line: &[u8], tls: &Option<Arc<ServerConfig>>) {
    if tls.is_none() {
        let _ = stream.write(line);
    }
}

fn tune(stream: &TcpStream, settings: &Settings) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let seconds = settings.tcp_keepalive_seconds.load(Relaxed);
    if seconds == 0 {
        return Ok(());
    }
    let (idle, interval) =
        (Duration::from_secs(seconds), Duration::from_secs((seconds / u64::from(PROBES)).max(1)));
    let keepalive =
        TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(PROBES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Whether protected mode keeps this peer out.
fn is_denied(settings: &Settings, peer: SocketAddr) -> bool {
    settings.protected_mode.load(Relaxed)
        && !peer.ip().to_canonical().is_loopback()
        && settings.requirepass.read().unwrap_or_else(PoisonError::into_inner).is_empty()
}

/// Whether accepting fails because descriptors or memory have run out.
pub(crate) fn is_scarcity(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_password_only_this_host_gets_in() {
        let settings = Settings::default();
        let from = |ip: &str| SocketAddr::new(ip.parse().expect("an address"), 1);
        for near in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(!is_denied(&settings, from(near)), "{near}");
        }
        assert!(is_denied(&settings, from("192.0.2.1")));
        *settings.requirepass.write().expect("nobody panicked") = b"secret".to_vec();
        assert!(!is_denied(&settings, from("192.0.2.1")));
        settings.requirepass.write().expect("nobody panicked").clear();
        settings.protected_mode.store(false, Relaxed);
        assert!(!is_denied(&settings, from("192.0.2.1")));
    }
}
