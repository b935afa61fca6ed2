//! Replies of the leader on their way to the client.

use trefoil_node::clients::Mark;
use trefoil_node::node::Node;
use trefoil_node::worker::NOT_DONE;
use trefoil_replication::Token;
use trefoil_wire::resp::client::{Value, decode};

use super::super::connection::Connection;
use super::loss::Loss;
use super::scan::Outcome;
use super::{Held, State, Upstream, What};

/// Replies for ourselves are short, and so are errors.
const OWN_BYTES_MAX: usize = 64 << 10;

impl Upstream {
    /// Takes bytes that came from the leader. An error: why it can't go on.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        client: &mut Connection,
        node: &Node,
    ) -> Result<(), Loss> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (used, outcome) = self.scan.feed(rest).map_err(|_| hopeless(MALFORMED))?;
            let (piece, behind) = rest.split_at(used);
            rest = behind;
            let begins = !std::mem::replace(&mut self.within_reply, outcome.is_none());
            let heard = match self.expected.front().map(|expected| &expected.what) {
                Some(What::Reply(errand)) => Some(errand.heard),
                Some(What::Queued | What::Token | What::Own) => None,
                None if self.state == State::Up => {
                    return Err(hopeless("it answers what it was not asked"));
                }
                None => None,
            };
            match (self.state, heard) {
                (State::Greeting(left), _) => self.on_greeting(left, piece, outcome)?,
                (State::Up, Some(heard)) => {
                    self.on_piece(piece, (begins, outcome), heard, client)?;
                }
                (State::Up, None) => {
                    if let Some(value) = self.take_own(piece, outcome)? {
                        self.on_own(value, client, node)?;
                    }
                }
                _ => return Err(hopeless("it answers what it was not asked")),
            }
        }
        self.tell(&mut client.session);
        Ok(())
    }

    /// A piece of a reply for the client. An error may be for us: that nothing was done.
    fn on_piece(
        &mut self,
        piece: &[u8],
        (begins, outcome): (bool, Option<Outcome>),
        heard: bool,
        client: &mut Connection,
    ) -> Result<(), Loss> {
        if !self.own.is_empty() || (begins && piece.first() == Some(&b'-')) {
            self.collect(piece)?;
            if outcome.is_none() {
                return Ok(());
            }
            let whole = std::mem::take(&mut self.own);
            if let Some(refused) = refusal(&whole[1..]) {
                return Err(refused);
            }
            if heard {
                self.pass_on(&whole, true, client);
            }
        } else if heard {
            self.pass_on(piece, outcome.is_some(), client);
        }
        if let Some(outcome) = outcome {
            self.on_replied(outcome, client);
        }
        Ok(())
    }

    fn on_replied(&mut self, outcome: Outcome, client: &mut Connection) {
        client.session.on_carried_out();
        let Some(expected) = self.expected.pop_front() else { return };
        let What::Reply(errand) = &expected.what else { return };
        if let (Outcome::Value, Some(db)) = (outcome, errand.selects) {
            client.session.select(db);
            self.db = db;
        }
        if errand.heard {
            self.answered.push_back(expected);
        }
    }

    fn on_greeting(
        &mut self,
        left: u8,
        piece: &[u8],
        outcome: Option<Outcome>,
    ) -> Result<(), Loss> {
        match self.take_own(piece, outcome)? {
            None => {}
            Some(Value::Error(text)) => {
                let why = String::from_utf8_lossy(&text).into_owned();
                // It may lead soon, or somebody else does; a wrong password stays wrong.
                let passes = why.starts_with("MASTERDOWN") || why.starts_with("LOADING");
                return Err(if passes { Loss::Gone(why) } else { Loss::Hopeless(why) });
            }
            Some(_) if left > 1 => self.state = State::Greeting(left - 1),
            Some(_) => self.state = State::Up,
        }
        Ok(())
    }

    fn collect(&mut self, piece: &[u8]) -> Result<(), Loss> {
        self.own.extend_from_slice(piece);
        if self.own.len() > OWN_BYTES_MAX {
            Err(hopeless("its answer is too long"))
        } else {
            Ok(())
        }
    }

    /// Collects a reply for ourselves; returns it once it is whole.
    fn take_own(&mut self, piece: &[u8], end: Option<Outcome>) -> Result<Option<Value>, Loss> {
        self.collect(piece)?;
        if end.is_none() {
            return Ok(None);
        }
        let decoded = decode(&self.own);
        self.own.clear();
        match decoded {
            Ok(Some((value, _))) => Ok(Some(value)),
            _ => Err(hopeless(MALFORMED)),
        }
    }

    fn on_own(&mut self, value: Value, client: &mut Connection, node: &Node) -> Result<(), Loss> {
        if let Value::Error(text) = &value
            && let Some(refused) = refusal(text)
        {
            return Err(refused);
        }
        let what = self.expected.pop_front().map(|expected| expected.what);
        match (what, &value) {
            // EXEC says so itself.
            (Some(What::Queued), _) => {}
            (_, Value::Error(text)) => return Err(hopeless(&String::from_utf8_lossy(text))),
            (Some(What::Token), _) => {
                let token = value.as_bytes().and_then(|text| Token::decode(text).ok());
                let token = token.filter(|token| token.cluster == node.replication.cluster());
                let token = token.ok_or_else(|| hopeless("it does not say where it stands"))?;
                client.session.on_leader_position(node, token.position);
                self.settle();
            }
            _ => {}
        }
        Ok(())
    }

    /// Shows the client a piece of a reply, or as much as may be shown before the session's clock
    /// covers it: all but the end.
    fn pass_on(&mut self, piece: &[u8], is_end: bool, client: &mut Connection) {
        // Between the pieces of a reply there must be no message.
        if client.session.record.is_marked(Mark::PUBSUB) {
            self.partial.extend_from_slice(piece);
            if is_end {
                let whole = std::mem::take(&mut self.partial);
                self.append(&whole, is_end, client);
            }
            return;
        }
        self.append(piece, is_end, client);
    }

    fn append(&mut self, piece: &[u8], is_end: bool, client: &mut Connection) {
        let from = client.out.position();
        let start = *self.begun_at.get_or_insert(from);
        client.out.extend(piece);
        if !is_end {
            return;
        }
        self.begun_at = None;
        client.count_reply();
        self.held.get_or_insert(Held { from, start });
    }
}

const MALFORMED: &str = "its answer is malformed";

fn hopeless(why: &str) -> Loss {
    Loss::Hopeless(why.to_string())
}

/// What an error says, if it says that nothing was done because the other end does not lead.
fn refusal(text: &[u8]) -> Option<Loss> {
    let said = text.strip_prefix(NOT_DONE.as_bytes())?.strip_prefix(b" ")?;
    let token = Token::decode(said.trim_ascii_end()).ok();
    Some(Loss::Refused(token.map(|token| token.position)))
}

#[cfg(test)]
mod tests {
    use trefoil_clock::{ClusterId, Epoch, Lsn, Position};

    use super::*;

    #[test]
    fn a_refusal_is_told_from_other_errors_and_may_say_where_the_history_ended() {
        let position = Position { epoch: Epoch(3), lsn: Lsn(9) };
        let token = Token { cluster: ClusterId(2), position }.encode();
        let refused = refusal(format!("{NOT_DONE} {token}\r\n").as_bytes());
        assert!(matches!(refused, Some(Loss::Refused(Some(at))) if at == position));
        let refused = refusal(format!("{NOT_DONE} this node does not lead\r\n").as_bytes());
        assert!(matches!(refused, Some(Loss::Refused(None))));
        for text in ["ERR nothing", "NOTDONEYET x", "MASTERDOWN this node does not lead", "NOTDONE"]
        {
            assert!(refusal(text.as_bytes()).is_none(), "{text}");
        }
    }
}
