//! A client's connection to the leader: what a follower does not do itself goes there, and the replies
//! come back in the same order.
//!
//! One for each client that needs one, made when it does. Commands are sent as they came, as many as
//! there are, with `SESSION TOKEN` behind them; the answer raises the clock of the client's session.
//!
//! Invariants: nothing is sent before the other end has said that it is the leader; replies are held
//! back until the clock covers them; commands are kept until their replies are shown; what was not sent
//! entirely was not done.

mod drive;
mod loss;
mod names;
mod relay;
mod scan;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write as _};
use std::sync::PoisonError;

use mio::net::TcpStream;
use trefoil_clock::NodeId;
use trefoil_node::freshness::Errand;
use trefoil_node::node::Node;
use trefoil_node::session::Session;
use trefoil_wire::Args;
use trefoil_wire::resp::Protocol;
use trefoil_wire::resp::client::encode_command;

use scan::ReplyScan;

pub(super) use drive::Upstreams;

/// Tokens of connections to the leader have this bit, and the key of the client's connection.
pub(super) const UPSTREAM: usize = 1 << (usize::BITS - 2);

/// Commands between two questions where the leader stands.
const BATCH_MAX: u32 = 64;
/// Sent bytes are moved out of the way from so many on.
const COMPACT_BYTES: usize = 64 << 10;

/// See the module.
pub(super) struct Upstream {
    stream: Option<TcpStream>,
    state: State,
    /// Whom it is to.
    to: Option<NodeId>,
    /// Commands that are not settled, from byte `base` of the stream on; the first `head` bytes are
    /// sent.
    output: Vec<u8>,
    head: usize,
    base: u64,
    /// Commands whose replies have come and are held back, in order.
    answered: VecDeque<Expected>,
    /// The replies to come, in order.
    expected: VecDeque<Expected>,
    scan: ReplyScan,
    /// A reply has come in part.
    within_reply: bool,
    /// The bytes so far of a reply that is for us, or may be.
    own: Vec<u8>,
    /// The bytes so far of a reply to a client that gets messages as well.
    partial: Vec<u8>,
    /// Where the reply begins, in the client's output, that has come in part.
    begun_at: Option<u64>,
    held: Option<Held>,
    /// The database and the protocol of its connection.
    db: u8,
    protocol: Protocol,
    /// Commands since the leader was last asked where it stands.
    unasked: u32,
    /// The leader's buffer is full; the socket will say when it is not.
    write_blocked: bool,
    /// When it was last used, Unix milliseconds.
    used_ms: u64,
    /// In the list of those with something to send.
    touched: bool,
    /// In the list of those that wait for replies.
    listed: bool,
    /// In the list of those to be read from.
    readable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// There is no connection.
    Down,
    /// The leader's address is being looked up.
    Naming,
    Connecting,
    /// So many answers to the greeting are to come.
    Greeting(u8),
    Up,
}

struct Expected {
    what: What,
    /// Where the command begins and ends in the stream to the leader.
    start: u64,
    end: u64,
    since_ms: u64,
}

enum What {
    /// For the client.
    Reply(Errand),
    /// That a command is queued: the client has heard that already.
    Queued,
    /// Where the leader stands.
    Token,
    /// That the connection is as the client's is.
    Own,
}

/// Replies that have come and are not shown yet.
struct Held {
    /// From here on in the client's output.
    from: u64,
    /// Where the first of them begins; what is before `from` of it may have been shown.
    start: u64,
}

impl Default for Upstream {
    fn default() -> Upstream {
        Upstream {
            stream: None,
            state: State::Down,
            to: None,
            output: Vec::new(),
            head: 0,
            base: 0,
            answered: VecDeque::new(),
            expected: VecDeque::new(),
            scan: ReplyScan::new(),
            within_reply: false,
            own: Vec::new(),
            partial: Vec::new(),
            begun_at: None,
            held: None,
            db: 0,
            protocol: Protocol::Resp2,
            unasked: 0,
            write_blocked: false,
            used_ms: 0,
            touched: false,
            listed: false,
            readable: false,
        }
    }
}

/// Sends a command to the leader, at the end of the turn. Whether that is to be listed.
pub(super) fn forward(
    session: &mut Session,
    upstream: &mut Option<Box<Upstream>>,
    args: Args<'_>,
    now_ms: u64,
) -> bool {
    let Some(errand) = session.take_errand() else { return false };
    let upstream = upstream.get_or_insert_default();
    let is_elsewhere = upstream.to != Some(errand.to) && upstream.expected.is_empty();
    if session.gives_leader_up() || is_elsewhere {
        upstream.disconnect();
    }
    upstream.push(args, errand, (session.db, session.protocol), now_ms);
    upstream.tell(session);
    !std::mem::replace(&mut upstream.touched, true)
}

impl Upstream {
    /// Where bytes begin, in the client's output, that may not leave yet.
    #[inline]
    pub(super) fn held_from(&self) -> u64 {
        self.held.as_ref().map_or(u64::MAX, |held| held.from)
    }

    /// Tells the session what is under way.
    fn tell(&self, session: &mut Session) {
        session.set_in_flight(self.expected.len(), self.output.len() - self.settled());
    }

    fn push(&mut self, args: Args<'_>, errand: Errand, like: (u8, Protocol), now_ms: u64) {
        if self.unasked >= BATCH_MAX {
            self.ask(now_ms);
        }
        self.become_like(like, now_ms);
        if let Some(queue) = &errand.queue {
            self.put(What::Queued, now_ms, |out| encode_command(out, &[b"MULTI"]));
            for queued in queue.commands() {
                // The queue is borrowed from what comes last.
                let start = self.end();
                put_command(&mut self.output, queued);
                self.expect(What::Queued, start, now_ms);
            }
        }
        let since_ms = if errand.patient { u64::MAX } else { now_ms };
        self.put(What::Reply(errand), since_ms, |out| put_command(out, args));
        self.unasked += 1;
        self.used_ms = now_ms;
    }

    /// Asks where the leader stands, if there was anything since it was last asked.
    fn ask(&mut self, now_ms: u64) {
        if self.unasked > 0 {
            self.unasked = 0;
            self.put(What::Token, now_ms, |out| encode_command(out, &[b"SESSION", b"TOKEN"]));
        }
    }

    fn become_like(&mut self, (db, protocol): (u8, Protocol), now_ms: u64) {
        if self.protocol != protocol {
            self.protocol = protocol;
            let version: &[u8] = if protocol == Protocol::Resp3 { b"3" } else { b"2" };
            self.put(What::Own, now_ms, |out| encode_command(out, &[b"HELLO", version]));
        }
        if self.db != db {
            self.db = db;
            let db = db.to_string();
            self.put(What::Own, now_ms, |out| encode_command(out, &[b"SELECT", db.as_bytes()]));
        }
    }

    fn put(&mut self, what: What, since_ms: u64, encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.end();
        encode(&mut self.output);
        self.expect(what, start, since_ms);
    }

    fn expect(&mut self, what: What, start: u64, since_ms: u64) {
        let end = self.end();
        self.expected.push_back(Expected { what, start, end, since_ms });
    }

    /// Where the stream to the leader ends.
    fn end(&self) -> u64 {
        self.base + self.output.len() as u64
    }

    /// How many bytes of the output nobody needs any more.
    fn settled(&self) -> usize {
        let first = self.answered.front().or(self.expected.front());
        let settled = first.map_or(self.output.len(), |it| (it.start - self.base) as usize);
        settled.min(self.head)
    }

    /// The replies that have come may be shown.
    fn settle(&mut self) {
        self.held = None;
        self.answered.clear();
        self.forget_settled();
    }

    fn forget_settled(&mut self) {
        let settled = self.settled();
        if settled < self.output.len() && settled < COMPACT_BYTES {
            return;
        }
        self.output.drain(..settled);
        self.base += settled as u64;
        self.head -= settled;
        if self.output.is_empty() && self.output.capacity() > COMPACT_BYTES {
            self.output = Vec::new();
        }
    }

    /// Up to where the stream to the leader was sent.
    fn written(&self) -> u64 {
        self.base + self.head as u64
    }

    /// The greeting goes before what waits to be sent. Only for a connection that is new.
    fn greet(&mut self, node: &Node) {
        let Some(leader) = self.to else { return };
        let mut greeting = Vec::new();
        let replication = &node.settings.replication;
        let text = |lock: &std::sync::RwLock<Vec<u8>>| {
            lock.read().unwrap_or_else(PoisonError::into_inner).clone()
        };
        let (user, password) = (text(&replication.masteruser), text(&replication.masterauth));
        let mut answers = 1;
        if !password.is_empty() {
            let user = if user.is_empty() { b"default".to_vec() } else { user };
            encode_command(&mut greeting, &[b"AUTH", &user, &password]);
            answers += 1;
        }
        encode_command(&mut greeting, &[b"SESSION", b"LEADER", leader.to_string().as_bytes()]);
        self.own = greeting;
        self.state = State::Greeting(answers);
    }

    /// Sends what can be sent now.
    fn write(&mut self) -> io::Result<()> {
        if let State::Greeting(_) = self.state {
            let greeting = std::mem::take(&mut self.own);
            if !greeting.is_empty() {
                let Some(stream) = &mut self.stream else { return Ok(()) };
                // A new connection's buffer takes a few lines, or it is of no use.
                if stream.write(&greeting)? < greeting.len() {
                    return Err(ErrorKind::WriteZero.into());
                }
            }
            return Ok(());
        }
        while self.state == State::Up && !self.write_blocked && self.head < self.output.len() {
            let Some(stream) = &mut self.stream else { return Ok(()) };
            match stream.write(&self.output[self.head..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.head += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.write_blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives the connection up, while nothing waits for answers.
    fn disconnect(&mut self) {
        debug_assert!(self.expected.is_empty(), "replies are given up first");
        self.stream = None;
        self.state = State::Down;
        self.to = None;
        self.own.clear();
        self.scan = ReplyScan::new();
        self.within_reply = false;
        self.write_blocked = false;
        self.unasked = 0;
        (self.db, self.protocol) = (0, Protocol::Resp2);
    }
}

fn put_command(out: &mut Vec<u8>, args: Args<'_>) {
    let args: Vec<&[u8]> = args.iter().collect();
    encode_command(out, &args);
}
