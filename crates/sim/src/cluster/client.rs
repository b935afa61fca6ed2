//! Clients: each has a session, asks one thing at a time, and takes silence for "unknown".

use trefoil_clock::{ClusterId, Position};
use trefoil_replication::Consistency;

use super::agenda::MS;
use super::record::{COUNTERS, Change, PAIR, REGISTERS};
use super::world::{Event, World};

/// How a client's session goes from node to node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carries {
    /// It brings a token along.
    Token,
    /// Nodes know it by its name, each for itself.
    Name,
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    Write(Change),
    Read(u8, Consistency),
}

impl Ask {
    /// The key that stands for it in the history.
    pub(crate) fn key(self) -> u8 {
        match self {
            Ask::Write(change) => change.keys().first().copied().unwrap_or(0),
            Ask::Read(key, _) => key,
        }
    }
}

/// A request on its way to a node, or from a follower to its leader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Its place in the history.
    pub(crate) operation: usize,
    pub(crate) client: usize,
    pub(crate) session: u32,
    pub(crate) ask: Ask,
    /// What the client's token says, on the first request of a connection.
    pub(crate) token: Option<(ClusterId, Position)>,
    /// The connection that it came over.
    pub(crate) connection: u32,
    /// It is the first on its connection.
    pub(crate) fresh: bool,
    /// The follower (and its life) that passes it on.
    pub(crate) via: Option<(usize, u64)>,
}

/// What a node says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// A write is done: its record, and a sum or a count.
    Written { record: u64, number: u64 },
    /// A key's value, and the record that made it so.
    Value { value: Option<u64>, by: u64 },
    /// Nothing was done.
    Refused(&'static str),
    /// It may have been done or not.
    Unknown(&'static str),
    /// What the session saw is not part of this history.
    LostBranch,
}

/// An answer with the session's new clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) request: Request,
    pub(crate) answer: Answer,
    pub(crate) token: Option<(ClusterId, Position)>,
    pub(crate) served: Served,
}

/// Where and when an answer was made; what only the simulation knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    /// A node that leads in a newer epoch existed already.
    pub(crate) deposed: bool,
}

/// See the module.
pub(crate) struct Client {
    pub(crate) node: usize,
    pub(crate) session: u32,
    pub(crate) carries: Carries,
    pub(crate) token: Option<(ClusterId, Position)>,
    /// The operation that is open.
    pub(crate) open: Option<usize>,
    pub(crate) fresh: bool,
    /// Rises when the connection breaks.
    pub(crate) connection: u32,
}

impl World {
    /// A client asks something, if nothing is open.
    pub(crate) fn on_client(&mut self, at: usize) {
        if !self.asking || self.clients[at].open.is_some() {
            return;
        }
        if self.dice.one_in(25) {
            self.reconnect(at);
        }
        self.ask(at);
    }

    /// A client has waited long enough.
    pub(crate) fn on_give_up(&mut self, at: usize, operation: usize) {
        if self.clients[at].open != Some(operation) {
            return;
        }
        self.met.event("unknown: client gave up");
        self.reconnect(at);
        let pause = 5 * MS + self.dice.below(60) * MS;
        self.agenda.put(self.now + pause, Event::Client(at));
    }

    /// The connection is gone; the next one goes anywhere.
    pub(crate) fn reconnect(&mut self, at: usize) {
        let node = self.dice.below(self.nodes.len() as u64) as usize;
        let client = &mut self.clients[at];
        client.open = None;
        client.node = node;
        client.fresh = true;
        client.connection += 1;
        self.met.event("reconnects of clients");
    }

    /// The session ends, another one begins.
    fn begin_session(&mut self, at: usize) {
        self.sessions += 1;
        let client = &mut self.clients[at];
        client.session = self.sessions;
        client.token = None;
        client.fresh = true;
    }

    fn ask(&mut self, at: usize) {
        let ask = self.draw();
        let client = &mut self.clients[at];
        let (node, session, fresh) = (client.node, client.session, client.fresh);
        let token = client.token.filter(|_| fresh && client.carries == Carries::Token);
        client.fresh = false;
        let (carries, connection) = (client.carries, client.connection);
        let operation = self.judge.on_ask(self.now, (at, session, carries), node, ask);
        let gives_up = self.now + 900 * MS + self.dice.below(600) * MS;
        self.clients[at].open = Some(operation);
        self.agenda.put(gives_up, Event::GiveUp(at, operation));
        let request =
            Request { operation, client: at, session, ask, token, connection, fresh, via: None };
        if !self.dice.one_in(200) {
            let delay = 50 + self.dice.below(2 * MS);
            self.agenda.put(self.now + delay, Event::Request(node, request));
        }
    }

    fn draw(&mut self) -> Ask {
        let register = self.dice.below(u64::from(REGISTERS)) as u8;
        let counter = REGISTERS + self.dice.below(u64::from(COUNTERS)) as u8;
        match self.dice.below(20) {
            0..=6 => Ask::Write(Change::Put(register)),
            7 => Ask::Write(Change::Remove(register)),
            8 | 9 => Ask::Write(Change::Add(counter, 1 + self.dice.below(9))),
            10 => Ask::Write(Change::Pair),
            _ => {
                let key = match self.dice.below(8) {
                    0 => PAIR[0],
                    1 | 2 => counter,
                    _ => register,
                };
                let consistency = match self.dice.below(10) {
                    0 => Consistency::Eventual,
                    1 | 2 => Consistency::Linearizable,
                    3 | 4 => Consistency::Bounded(20 + self.dice.below(300)),
                    _ => Consistency::Session,
                };
                Ask::Read(key, consistency)
            }
        }
    }

    /// An answer reaches its client.
    pub(crate) fn on_reply(&mut self, reply: Reply) {
        let at = reply.request.client;
        if self.clients[at].open != Some(reply.request.operation) {
            return;
        }
        self.trace(format_args!("c{at} o{} <- {:?}", reply.request.operation, reply.answer));
        self.clients[at].open = None;
        self.judge.on_answer(self.now, &reply);
        if reply.token.is_some() {
            self.clients[at].token = reply.token;
        }
        let pause = match reply.answer {
            Answer::Written { .. } | Answer::Value { .. } => {
                self.met.event("answers");
                self.dice.below(20) * MS
            }
            Answer::Refused(why) => {
                self.met.event(why);
                self.reconnect(at);
                10 * MS + self.dice.below(60) * MS
            }
            Answer::Unknown(why) => {
                self.met.event(why);
                self.dice.below(20) * MS
            }
            Answer::LostBranch => {
                self.met.event("lost branch told");
                self.begin_session(at);
                self.dice.below(20) * MS
            }
        };
        self.agenda.put(self.now + 1 + pause, Event::Client(at));
    }
}
