//! One client: a connection to some node, and the book of what was asked and told.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::SmallRng;
use trefoil_check::{Action, End, Operation, Reply as Told};

use super::Arena;
use crate::chaos::record::{Entry, View};
use crate::chaos::resp::{Connection, Reply};

/// A client that has waited so long for a reply gives up: the answer is unknown.
const PATIENCE: Duration = Duration::from_secs(3);
/// Errors after which nothing was done for certain.
const REFUSALS: [&str; 9] = [
    "NOREPLICAS",
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "EXECABORT",
    "CLUSTERDOWN",
    "NOTREADY",
];

/// What a request came to.
pub(super) enum Answer {
    Told(Reply),
    Refused,
    Unknown,
}

/// See the module.
pub(super) struct Client {
    pub(super) arena: Arc<Arena>,
    pub(super) rng: SmallRng,
    /// The session's number in the history.
    pub(super) number: u32,
    /// The node that it talks to.
    pub(super) node: usize,
    term: u64,
    connection: Option<Connection>,
    /// Another one to the same node, of a client that has a pool.
    spare: Option<Connection>,
    entries: Vec<Entry>,
}

/// A request under way.
pub(super) struct Asked {
    invoked_us: u64,
    term: u64,
    leader: usize,
}

impl Client {
    pub(super) fn new(arena: Arc<Arena>, rng: SmallRng) -> Client {
        let (number, node, term) = (arena.new_client(), arena.nodes.leader(), arena.nodes.term());
        Client {
            arena,
            rng,
            number,
            node,
            term,
            connection: None,
            spare: None,
            entries: Vec::new(),
        }
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    pub(super) fn is_over(&self) -> bool {
        self.arena.is_over()
    }

    /// A short rest, so that keys have readable histories and all clients get a turn.
    pub(super) fn rest(&mut self) {
        let micros = self.rng.random_range(200..3_000);
        thread::sleep(Duration::from_micros(micros));
    }

    /// Talks to another node from now on, over a new connection.
    pub(super) fn go_to(&mut self, node: usize) {
        self.node = node;
        self.connection = None;
        self.spare = None;
    }

    /// Takes the other connection to the same node.
    pub(super) fn swap(&mut self) {
        std::mem::swap(&mut self.connection, &mut self.spare);
    }

    /// Moves to any node and takes the session along, as a token. A token that is not taken there, or
    /// that could not be had, leaves the session without a promise: it begins anew.
    pub(super) fn move_with_token(&mut self, greetings: &[&[&str]]) {
        let token = match self.ask(&["SESSION", "TOKEN"]) {
            Answer::Told(reply) => reply.text().map(str::to_owned),
            Answer::Refused | Answer::Unknown => None,
        };
        self.go_anywhere();
        let resumed = match token {
            Some(token) => {
                let resume: &[&[&str]] = &[&["SESSION", "RESUME", &token]];
                self.is_connected(&[greetings, resume].concat())
            }
            None => false,
        };
        if !resumed {
            self.number = self.arena.new_client();
        }
    }

    /// Talks to whoever leads.
    pub(super) fn go_to_leader(&mut self) {
        let leader = self.arena.nodes.leader();
        if self.node != leader {
            self.go_to(leader);
        }
    }

    /// Talks to any node.
    pub(super) fn go_anywhere(&mut self) {
        let node = self.rng.random_range(0..self.arena.nodes.count());
        self.go_to(node);
    }

    /// Connects if need be; `greetings` are said first on a new connection. False: not now.
    pub(super) fn is_connected(&mut self, greetings: &[&[&str]]) -> bool {
        if self.connection.is_some() {
            return true;
        }
        let port = self.arena.nodes.client_port(self.node);
        let greet = || {
            let mut connection = Connection::open(port, PATIENCE)?;
            for words in greetings {
                if let Reply::Error(text) = connection.call(words)? {
                    let said = words.join(" ");
                    return Err(std::io::Error::other(format!("{text} (to {said})")));
                }
            }
            Ok(connection)
        };
        match greet() {
            Ok(connection) => self.connection = Some(connection),
            Err(error) if error.get_ref().is_some() => {
                self.arena.count_error(self.number, self.node, &error.to_string());
            }
            Err(_) => {}
        }
        if self.connection.is_none() {
            thread::sleep(Duration::from_millis(20));
        }
        self.connection.is_some()
    }

    /// Begins a request; to be called before it is sent.
    pub(super) fn begin(&mut self) -> Asked {
        let term = self.arena.nodes.term();
        if self.arena.lossy && term != self.term {
            // What the session had seen may be lost: it begins anew.
            self.term = term;
            self.number = self.arena.new_client();
        }
        let leader = self.arena.nodes.leader();
        Asked { invoked_us: self.arena.now_us(), term, leader }
    }

    /// Sends one command and waits for what comes of it. Without a connection nothing is sent.
    pub(super) fn ask(&mut self, words: &[&str]) -> Answer {
        self.ask_all(&[words]).pop().unwrap_or(Answer::Refused)
    }

    /// Sends commands at once and waits for what comes of each.
    pub(super) fn ask_all(&mut self, commands: &[&[&str]]) -> Vec<Answer> {
        let Some(mut connection) = self.connection.take() else {
            return commands.iter().map(|_| Answer::Refused).collect();
        };
        let mut alive = commands.iter().all(|words| connection.send(words).is_ok());
        let mut answers = Vec::new();
        for _ in commands {
            let reply = if alive { connection.receive().ok() } else { None };
            alive = reply.is_some();
            answers.push(reply.map_or(Answer::Unknown, |reply| self.read(reply)));
        }
        if alive {
            self.connection = Some(connection);
        }
        answers
    }

    fn read(&self, reply: Reply) -> Answer {
        let Reply::Error(text) = &reply else { return Answer::Told(reply) };
        self.arena.count_error(self.number, self.node, text);
        let is_refusal = REFUSALS.iter().any(|word| text.starts_with(word));
        if is_refusal { Answer::Refused } else { Answer::Unknown }
    }

    /// Writes an operation into the history. What was told is what `told` makes of the answer.
    pub(super) fn note(
        &mut self,
        view: View,
        (key, action): (String, Action),
        asked: &Asked,
        (answer, told): (&Answer, impl Fn(&Reply) -> Option<Told>),
    ) {
        let at_leader = [asked.leader, self.arena.nodes.leader()] == [self.node; 2];
        if view == View::Linear && action == Action::Get && !at_leader {
            // Another one began to lead meanwhile: this read was promised nothing.
            return;
        }
        let end = match answer {
            Answer::Refused => End::Refused,
            Answer::Unknown => End::Unknown,
            Answer::Told(reply) => match told(reply) {
                Some(reply) => End::Returned { at_us: self.arena.now_us(), reply },
                None => End::Unknown,
            },
        };
        // A request during which a term ended belongs to neither side's session.
        let torn = self.arena.lossy && asked.term != self.arena.nodes.term();
        let client = if torn { self.arena.new_client() } else { self.number };
        let node = u32::try_from(self.node).expect("few nodes");
        let invoked_us = asked.invoked_us;
        let operation = Operation { client, node, key, action, invoked_us, end };
        self.entries.push(Entry { view, transaction: None, operation });
    }

    /// Says that the last operations written were one transaction.
    pub(super) fn join_last(&mut self, count: usize) {
        let transaction = Some(self.arena.new_transaction());
        for entry in self.entries.iter_mut().rev().take(count) {
            entry.transaction = transaction;
        }
    }

    /// SET.
    pub(super) fn set(&mut self, view: View, key: &str, value: String) {
        let asked = self.begin();
        let answer = self.ask(&["SET", key, &value]);
        self.note(view, (key.to_owned(), Action::Set(value)), &asked, (&answer, done));
    }

    /// GET.
    pub(super) fn get(&mut self, view: View, key: &str) {
        let asked = self.begin();
        let answer = self.ask(&["GET", key]);
        self.note(view, (key.to_owned(), Action::Get), &asked, (&answer, value));
    }

    /// INCR.
    pub(super) fn increment(&mut self, view: View, key: &str) {
        let asked = self.begin();
        let answer = self.ask(&["INCR", key]);
        self.note(view, (key.to_owned(), Action::Add(1)), &asked, (&answer, number));
    }

    /// DEL.
    pub(super) fn delete(&mut self, view: View, key: &str) {
        let asked = self.begin();
        let answer = self.ask(&["DEL", key]);
        self.note(view, (key.to_owned(), Action::Delete), &asked, (&answer, number));
    }
}

/// What a write's status tells.
pub(super) fn done(reply: &Reply) -> Option<Told> {
    (reply.text() == Some("OK")).then_some(Told::Done)
}

fn value(reply: &Reply) -> Option<Told> {
    match reply {
        Reply::Text(value) => Some(Told::Value(value.clone())),
        _ => None,
    }
}

fn number(reply: &Reply) -> Option<Told> {
    reply.number().map(Told::Number)
}
