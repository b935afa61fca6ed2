//! The sockets of connections to the leader, as part of a worker's loop.

use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Token};
use trefoil_clock::NodeId;
use trefoil_node::node::Node;
use trefoil_node::replication::LeaderLink;

use super::super::EventLoop;
use super::loss::Loss;
use super::names::{Found, Names};
use super::{State, UPSTREAM};

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// A connection to the leader that nothing was sent over for so long is closed.
const IDLE_MS_MAX: u64 = 60_000;
/// So long one that led before another did may take to say what it has done, milliseconds.
const FORMER_MS_MAX: u64 = 50;
/// How often it is looked whether answers of the leader are still to be expected.
const LOOK: Duration = Duration::from_millis(10);

/// Connections to the leader that there is something to do for; clients' keys.
#[derive(Default)]
pub(in crate::event_loop) struct Upstreams {
    /// They have commands to send.
    pub(in crate::event_loop) touched: Vec<usize>,
    /// Something has come, or their sockets have changed.
    readable: Vec<usize>,
    /// They wait for replies.
    waiting: Vec<usize>,
    scratch: Vec<u8>,
    names: Names,
    /// Who led when this was last looked at, and since when, Unix milliseconds.
    leads: (Option<NodeId>, u64),
    /// When to look next, Unix milliseconds.
    look_due_ms: u64,
}

impl Upstreams {
    /// How long a loop may sleep; none: somebody else's timers say it.
    pub(in crate::event_loop) fn patience(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then_some(LOOK)
    }
}

impl EventLoop {
    pub(in crate::event_loop) fn on_upstream_event(&mut self, key: usize, event: &Event) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(upstream) = &mut connection.upstream else { return };
        if event.is_writable() {
            upstream.write_blocked = false;
            if !upstream.touched {
                upstream.touched = true;
                self.upstreams.touched.push(key);
            }
        }
        if !upstream.readable {
            upstream.readable = true;
            self.upstreams.readable.push(key);
        }
    }

    /// Takes what has come from the leader, at the start of a turn.
    pub(in crate::event_loop) fn relay(&mut self) {
        for key in std::mem::take(&mut self.upstreams.readable) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            let Some(upstream) = &mut connection.upstream else { continue };
            upstream.readable = false;
            if upstream.state == State::Connecting {
                self.on_connected(key);
            }
            self.read_upstream(key);
            if let Some(connection) = self.connections.get_mut(key)
                && !connection.in_flush_list
            {
                connection.in_flush_list = true;
                self.flush.push(key);
            }
        }
    }

    /// Whether replies that were left at the leader can be read on now.
    pub(in crate::event_loop) fn can_relay(&self) -> bool {
        let readable = &self.upstreams.readable;
        readable.iter().any(|&key| self.connections.get(key).is_some_and(|it| !it.is_behind()))
    }

    fn on_connected(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(upstream) = &mut connection.upstream else { return };
        let Some(stream) = &mut upstream.stream else { return };
        let trouble = match (stream.take_error(), stream.peer_addr()) {
            (Ok(Some(error)) | Err(error), _) => Some(error),
            (_, Err(error)) if error.kind() == ErrorKind::NotConnected => return,
            (_, Err(error)) => Some(error),
            _ => {
                // It only costs time if that fails.
                let _ = stream.set_nodelay(true);
                upstream.greet(&self.worker.node);
                upstream.write().err()
            }
        };
        if let Some(error) = trouble {
            self.upstreams.names.forget();
            self.lose_upstream(key, &Loss::Gone(error.to_string()));
        }
    }

    fn read_upstream(&mut self, key: usize) {
        self.upstreams.scratch.resize(READ_BYTES, 0);
        loop {
            let Some(connection) = self.connections.get_mut(key) else { return };
            let Some(mut upstream) = connection.upstream.take() else { return };
            // What is held back can only be shown once more has come.
            if connection.is_behind() && upstream.held.is_none() {
                upstream.readable = true;
                connection.upstream = Some(upstream);
                self.upstreams.readable.push(key);
                return;
            }
            let was_up = upstream.state == State::Up;
            let read = match &mut upstream.stream {
                Some(stream) => stream.read(&mut self.upstreams.scratch),
                None => Err(ErrorKind::WouldBlock.into()),
            };
            let result = match read {
                Ok(0) => Err(Loss::Gone("it has closed the connection".into())),
                Ok(len) => {
                    let bytes = &self.upstreams.scratch[..len];
                    upstream.receive(bytes, connection, &self.worker.node)
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    connection.upstream = Some(upstream);
                    return;
                }
                Err(error) => Err(Loss::Gone(error.to_string())),
            };
            if upstream.state == State::Up && !was_up && !upstream.touched {
                upstream.touched = true;
                self.upstreams.touched.push(key);
            }
            connection.upstream = Some(upstream);
            if let Err(loss) = result {
                return self.lose_upstream(key, &loss);
            }
        }
    }

    /// Sends what the turn's commands are at the leader for.
    pub(in crate::event_loop) fn send_upstream(&mut self) {
        if self.upstreams.touched.is_empty() {
            return;
        }
        let leader = self.worker.node.replication.leader();
        let now_ms = self.worker.writer.now_ms;
        for key in std::mem::take(&mut self.upstreams.touched) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            let Some(upstream) = &mut connection.upstream else { continue };
            upstream.touched = false;
            upstream.ask(now_ms);
            if !upstream.listed && !upstream.expected.is_empty() {
                upstream.listed = true;
                self.upstreams.waiting.push(key);
            }
            match upstream.state {
                State::Down if upstream.expected.is_empty() => {}
                State::Down => self.dial(key, leader.as_ref()),
                State::Connecting | State::Naming => {}
                State::Greeting(_) | State::Up => match upstream.write() {
                    Ok(()) => {
                        upstream.tell(&mut connection.session);
                        // It may wait for this.
                        self.impatient |= connection.parked;
                    }
                    Err(error) => {
                        // What it said before it went tells what it has done.
                        self.read_upstream(key);
                        self.lose_upstream(key, &Loss::Gone(error.to_string()));
                    }
                },
            }
        }
    }

    fn dial(&mut self, key: usize, leader: Option<&LeaderLink>) {
        let Some(leader) = leader else {
            return self.lose_upstream(key, &Loss::Gone("nobody is known to lead".into()));
        };
        let mailbox = Arc::clone(self.mailboxes.of(self.worker.index));
        let found = self.upstreams.names.find(&leader.host, &mailbox);
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(upstream) = &mut connection.upstream else { return };
        upstream.to = leader.node;
        let trouble = match found {
            Found::Ip(ip) => match TcpStream::connect(SocketAddr::new(ip, leader.port)) {
                Ok(mut stream) => {
                    let token = Token(key | UPSTREAM);
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    let registered = self.poll.registry().register(&mut stream, token, interest);
                    upstream.stream = Some(stream);
                    upstream.state = State::Connecting;
                    registered.err().map(|error| error.to_string())
                }
                Err(error) => Some(error.to_string()),
            },
            Found::Asked => {
                upstream.state = State::Naming;
                None
            }
            Found::Failed(why) => Some(why),
        };
        if let Some(why) = trouble {
            self.lose_upstream(key, &Loss::Gone(why));
        }
    }

    /// The leader's address is known, or nobody knows it.
    pub(in crate::event_loop) fn on_resolved(&mut self, host: String, ip: Option<IpAddr>) {
        let trouble = ip.is_none().then(|| format!("nobody knows where '{host}' is"));
        self.upstreams.names.on_resolved(host, ip);
        for key in self.upstreams.waiting.clone() {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            let Some(upstream) = &mut connection.upstream else { continue };
            if upstream.state != State::Naming {
                continue;
            }
            upstream.state = State::Down;
            match &trouble {
                Some(why) => self.lose_upstream(key, &Loss::Gone(why.clone())),
                None if !upstream.touched => {
                    upstream.touched = true;
                    self.upstreams.touched.push(key);
                }
                None => {}
            }
        }
    }

    /// The connection to the leader is given up, and the client told what it has to know. What can be
    /// run again is.
    fn lose_upstream(&mut self, key: usize, loss: &Loss) {
        let now_ms = self.worker.writer.now_ms;
        let Some(connection) = self.connections.get_mut(key) else { return };
        let given_up = connection.give_leader_up(loss, &self.worker.node, now_ms);
        self.worker.node.replication.unknown.fetch_add(given_up.unknown, Relaxed);
        if !connection.in_flush_list {
            connection.in_flush_list = true;
            self.flush.push(key);
        }
        if given_up.again && !connection.parked {
            connection.parked = true;
            self.parked.push(key);
        }
        // It may be parked behind what was lost.
        self.impatient |= connection.parked;
    }

    /// Gives up answers that do not come.
    pub(in crate::event_loop) fn look_at_upstreams(&mut self, now_ms: u64) {
        let look_ms = LOOK.as_millis() as u64;
        let due_ms = self.upstreams.look_due_ms;
        // A clock that was set back must not stop this.
        if now_ms < due_ms && now_ms + 2 * look_ms > due_ms {
            return;
        }
        self.upstreams.look_due_ms = now_ms + look_ms;
        let timeout_ms = self.worker.node.settings.freshness.forward_timeout_ms.load(Relaxed);
        let leads = leads(&self.worker.node);
        if self.upstreams.leads.0 != leads {
            self.upstreams.leads = (leads, now_ms);
        }
        let led_ms = now_ms.saturating_sub(self.upstreams.leads.1);
        let mut waiting = std::mem::take(&mut self.upstreams.waiting);
        waiting.sort_unstable();
        waiting.dedup();
        for key in waiting {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            let Some(upstream) = &mut connection.upstream else { continue };
            let Some(first) = upstream.expected.front() else {
                upstream.listed = false;
                continue;
            };
            let due = timeout_ms != 0 && now_ms >= first.since_ms.saturating_add(timeout_ms);
            let is_former = leads.is_some() && upstream.to.is_some() && upstream.to != leads;
            let has_nothing = upstream.state != State::Up;
            self.upstreams.waiting.push(key);
            if is_former && (has_nothing || led_ms >= FORMER_MS_MAX) {
                self.lose_upstream(key, &Loss::Gone("another node leads now".into()));
            } else if due {
                self.lose_upstream(key, &Loss::Gone("it does not answer".into()));
            }
        }
    }

    /// Closes a connection to the leader that nobody uses, at a tick.
    pub(in crate::event_loop) fn let_go_of_leader(&mut self, key: usize, now_ms: u64) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(upstream) = &connection.upstream else { return };
        let idle = now_ms.saturating_sub(upstream.used_ms) > IDLE_MS_MAX;
        if idle && upstream.expected.is_empty() && !connection.session.needs_leader() {
            connection.upstream = None;
        }
    }
}

/// Who leads, as far as is known.
fn leads(node: &Node) -> Option<NodeId> {
    let replication = &node.replication;
    match replication.is_leading() {
        true => Some(replication.identity().node),
        false => replication.leader().and_then(|leader| leader.node),
    }
}
