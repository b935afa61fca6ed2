//! One client.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::Shared;
use crate::chaos::REFUSALS;
use crate::chaos::resp::{Connection, Reply};
use crate::failover::ledger::{Outcome, Sample, Write};

/// A client that rests looks so often whether it is to go on.
const PACE: Duration = Duration::from_millis(2);
/// Before a client that got an error goes on elsewhere.
const AFTER_ERROR: Duration = Duration::from_millis(10);

/// See the module.
pub(super) struct Client {
    shared: Arc<Shared>,
    number: usize,
    /// The place of the node in the list of those within reach.
    at: usize,
    connection: Option<Connection>,
    /// The call home that was heard last.
    heard: u64,
}

impl Client {
    pub(super) fn new(shared: Arc<Shared>, number: usize) -> Client {
        Client { shared, number, at: 0, connection: None, heard: 0 }
    }

    /// Until the run is over.
    pub(super) fn run(&mut self) {
        let period = Duration::from_secs(1) / self.shared.habits.rate.max(1);
        let mut next = Instant::now();
        while !self.is_over() {
            if self.shared.is_resting.load(Ordering::SeqCst) {
                thread::sleep(PACE);
                continue;
            }
            self.hear_calls();
            self.write_next();
            next = (next + period).max(Instant::now());
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn is_over(&self) -> bool {
        self.shared.is_over.load(Ordering::SeqCst)
    }

    fn hear_calls(&mut self) {
        let calls = self.shared.calls.load(Ordering::SeqCst);
        if std::mem::replace(&mut self.heard, calls) != calls && self.at != 0 {
            self.at = 0;
            self.connection = None;
        }
    }

    fn node(&self) -> usize {
        self.shared.habits.reach[self.number][self.at]
    }

    fn move_on(&mut self) {
        self.connection = None;
        self.at = (self.at + 1) % self.shared.habits.reach[self.number].len();
        thread::sleep(AFTER_ERROR);
    }

    /// One write, with as many tries as its habits allow, and its entry in the book. It stands there as
    /// unknown from the moment when it may be sent.
    fn write_next(&mut self) {
        let number = {
            let mut book = self.shared.book(self.number);
            book.outcomes.push(Outcome::Unknown);
            book.outcomes.len() - 1
        };
        let write = Write { client: self.number, number };
        let (key, value) = (write.key(), write.value());
        let invoked_us = self.shared.now_us();
        let retry_until_us =
            invoked_us + u64::try_from(self.shared.habits.retry_for.as_micros()).unwrap_or(0);
        let (mut outcome, mut tries) = (Outcome::Refused, 0);
        let sample = loop {
            let node = self.node();
            let told = self.try_once(&key, &value);
            tries += 1;
            outcome = match (outcome, told) {
                (_, Outcome::Acked) => Outcome::Acked,
                // Whatever came of an earlier try may have been done.
                (Outcome::Refused, told) => told,
                (earlier, _) => earlier,
            };
            let answered_us = self.shared.now_us();
            if outcome == Outcome::Acked || answered_us >= retry_until_us || self.is_over() {
                break Sample { write, node, invoked_us, answered_us, outcome, tries };
            }
        };
        let mut book = self.shared.book(self.number);
        book.outcomes[number] = outcome;
        book.samples.push(sample);
    }

    /// Sends it once. After anything but an acknowledgement the client has moved on.
    fn try_once(&mut self, key: &str, value: &str) -> Outcome {
        let mut connection = match self.connection.take().map_or_else(|| self.connect(), Ok) {
            Ok(connection) => connection,
            Err(error) => {
                // Nothing has left.
                self.shared.count_error(&format!("(connect) {error}"));
                self.move_on();
                return Outcome::Refused;
            }
        };
        let told = match connection.call(&["SET", key, value]) {
            Ok(reply) => self.read(&reply),
            Err(error) => {
                self.shared.count_error(&format!("(connection) {error}"));
                Outcome::Unknown
            }
        };
        if told == Outcome::Acked {
            self.connection = Some(connection);
        } else {
            self.move_on();
        }
        told
    }

    fn connect(&self) -> io::Result<Connection> {
        let address = self.shared.addresses[self.node()];
        Connection::open_at(address, self.shared.habits.patience)
    }

    fn read(&self, reply: &Reply) -> Outcome {
        match reply {
            Reply::Status(_) => Outcome::Acked,
            Reply::Error(text) => {
                self.shared.count_error(text);
                let is_refusal = REFUSALS.iter().any(|word| text.starts_with(word));
                if is_refusal { Outcome::Refused } else { Outcome::Unknown }
            }
            other => {
                self.shared.count_error(&format!("(odd) {other:?}"));
                Outcome::Unknown
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};

    use super::*;
    use crate::failover::load::{Habits, Load};

    /// A node that answers all writes of a connection with this, and hangs up if it is nothing.
    fn node(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut request = [0; 256];
                while !answer.is_empty()
                    && stream.read(&mut request).is_ok_and(|count| count > 0)
                    && stream.write_all(answer.as_bytes()).is_ok()
                {}
            }
        });
        address
    }

    fn first_sample(nodes: Vec<SocketAddr>, retry_for: Duration) -> Sample {
        let reach = vec![(0..nodes.len()).collect()];
        let patience = Duration::from_secs(30);
        let load = Load::start(nodes, Habits { reach, rate: 100, patience, retry_for });
        let load = load.expect("a thread");
        load.go();
        loop {
            if let Some(sample) = load.samples().first() {
                assert_eq!(load.outcomes()[0][0], sample.outcome);
                return *sample;
            }
            thread::yield_now();
        }
    }

    #[test]
    fn a_client_tells_what_it_was_told_and_no_more() {
        for (answer, outcome) in [
            ("+OK\r\n", Outcome::Acked),
            ("-NOREPLICAS too few\r\n", Outcome::Refused),
            ("-ERR whatever\r\n", Outcome::Unknown),
            ("", Outcome::Unknown),
        ] {
            let sample = first_sample(vec![node(answer)], Duration::ZERO);
            assert_eq!((sample.outcome, sample.tries), (outcome, 1), "{answer:?}");
        }
    }

    #[test]
    fn a_client_that_tries_again_goes_on_to_the_next_node() {
        let nodes = vec![node("-NOREPLICAS too few\r\n"), node(""), node("+OK\r\n")];
        let sample = first_sample(nodes, Duration::from_secs(30));
        assert_eq!((sample.outcome, sample.tries, sample.node), (Outcome::Acked, 3, 2));
    }
}
