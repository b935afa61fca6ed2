//! Replies of the leader on their way to the client.

use std::sync::atomic::Ordering::Relaxed;

use trefoil_node::clients::Mark;
use trefoil_node::node::Node;
use trefoil_replication::Token;
use trefoil_wire::resp::client::{Value, decode};

use super::super::connection::Connection;
use super::scan::Outcome;
use super::{Held, State, Upstream, What};

/// Replies for ourselves are short.
const OWN_BYTES_MAX: usize = 64 << 10;

impl Upstream {
    /// Takes bytes that came from the leader. An error: why it can't go on.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        client: &mut Connection,
        node: &Node,
    ) -> Result<(), String> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (used, outcome) =
                self.scan.feed(rest).map_err(|_| "its answer is malformed".to_string())?;
            let (piece, behind) = rest.split_at(used);
            rest = behind;
            let expected = self.expected.front().map(|expected| expected.what);
            match (self.state, expected) {
                (State::Greeting(left), _) => self.on_greeting(left, piece, outcome)?,
                (State::Up, Some(What::Reply(errand))) => {
                    if errand.heard {
                        self.pass_on(piece, outcome.is_some(), errand.seen, client);
                    }
                    if let Some(outcome) = outcome {
                        self.expected.pop_front();
                        if let (Outcome::Value, Some(db)) = (outcome, errand.selects) {
                            client.session.select(db);
                            self.db = db;
                        }
                    }
                }
                (State::Up, Some(What::Token | What::Own)) => {
                    if let Some(value) = self.take_own(piece, outcome)? {
                        self.on_own(value, client, node)?;
                    }
                }
                _ => return Err("it answers what it was not asked".into()),
            }
        }
        self.tell(&mut client.session);
        Ok(())
    }

    fn on_greeting(
        &mut self,
        left: u8,
        piece: &[u8],
        outcome: Option<Outcome>,
    ) -> Result<(), String> {
        match self.take_own(piece, outcome)? {
            None => {}
            Some(Value::Error(text)) => return Err(String::from_utf8_lossy(&text).into_owned()),
            Some(_) if left > 1 => self.state = State::Greeting(left - 1),
            Some(_) => self.state = State::Up,
        }
        Ok(())
    }

    /// Collects a reply for ourselves; returns it once it is whole.
    fn take_own(&mut self, piece: &[u8], end: Option<Outcome>) -> Result<Option<Value>, String> {
        self.own.extend_from_slice(piece);
        if self.own.len() > OWN_BYTES_MAX {
            return Err("its answer is too long".into());
        }
        if end.is_none() {
            return Ok(None);
        }
        let decoded = decode(&self.own);
        self.own.clear();
        match decoded {
            Ok(Some((value, _))) => Ok(Some(value)),
            _ => Err("its answer is malformed".into()),
        }
    }

    fn on_own(&mut self, value: Value, client: &mut Connection, node: &Node) -> Result<(), String> {
        let what = self.expected.pop_front().map(|expected| expected.what);
        if let Value::Error(text) = &value {
            return Err(String::from_utf8_lossy(text).into_owned());
        }
        if !matches!(what, Some(What::Token)) {
            return Ok(());
        }
        let token = value.as_bytes().and_then(|text| Token::decode(text).ok());
        let token = token.filter(|token| token.cluster == node.replication.cluster());
        let token = token.ok_or("it does not say where it stands")?;
        client.session.on_leader_position(node, token.position);
        self.held = None;
        Ok(())
    }

    /// Shows the client a piece of a reply, or as much as may be shown before the session's clock
    /// covers it: all but the end.
    fn pass_on(&mut self, piece: &[u8], is_end: bool, seen: bool, client: &mut Connection) {
        // Between the pieces of a reply there must be no message.
        if client.session.record.is_marked(Mark::PUBSUB) {
            self.partial.extend_from_slice(piece);
            if is_end {
                let whole = std::mem::take(&mut self.partial);
                self.append(&whole, is_end, seen, client);
            }
            return;
        }
        self.append(piece, is_end, seen, client);
    }

    fn append(&mut self, piece: &[u8], is_end: bool, seen: bool, client: &mut Connection) {
        let from = client.out.position();
        let start = *self.begun_at.get_or_insert(from);
        client.out.extend(piece);
        if !is_end {
            return;
        }
        self.begun_at = None;
        client.count_reply();
        if seen {
            let held = self.held.get_or_insert(Held { from, start, replies: 0 });
            held.replies += 1;
        }
    }
}

impl Connection {
    /// Tells what became of answers that are lost.
    pub(super) fn lose_leader(&mut self, why: &str, node: &Node) {
        let unknown = self.give_leader_up(why);
        node.replication.unknown.fetch_add(unknown, Relaxed);
    }
}
