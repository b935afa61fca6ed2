//! What becomes of commands at the leader when the connection to it is of no use any more.
//!
//! Invariants: each is answered exactly once, or is run again; what may have changed data is never run
//! again; replies keep the order of the commands, so that what is run again comes last.

use trefoil_clock::Position;
use trefoil_node::freshness::Errand;
use trefoil_node::node::Node;
use trefoil_node::session::Silence;
use trefoil_wire::resp::client::encode_command;
use trefoil_wire::resp::{Parser, Reply};

use super::super::connection::Connection;
use super::{Expected, Upstream, What};

const UNKNOWN: &str =
    "UNKNOWN the leader's answer was lost; the command may or may not have been carried out";

/// Why the connection is of no use.
#[derive(Debug)]
pub(in crate::event_loop) enum Loss {
    /// It is gone, or no answer comes: what was sent may have been carried out.
    Gone(String),
    /// The other end does not lead any more: of what it has not answered it did nothing. What it has
    /// answered is part of the history up to there, if it says so.
    Refused(Option<Position>),
    /// The same, and to ask again is of no use either.
    Hopeless(String),
}

/// How far a command has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The leader has certainly not carried it out.
    Undone,
    /// The leader may have.
    Sent,
    /// The answer has come, and must not be shown.
    Answered,
}

/// What becomes of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It is run again.
    Again,
    /// The client hears that it may have been carried out.
    Unknown,
    /// The client hears that nothing was done.
    Failed,
}

/// What becomes of commands, in their order: how far each has come, and whether it may change data.
fn fates(commands: &[(Stage, bool)], tries_again: bool) -> Vec<Fate> {
    let is_unknown = |&(stage, writes): &(Stage, bool)| writes && stage != Stage::Undone;
    // Behind the last one that has to be answered now.
    let again_from = commands.iter().rposition(is_unknown).map_or(0, |last| last + 1);
    let fate = |(at, command): (usize, &(Stage, bool))| match is_unknown(command) {
        true => Fate::Unknown,
        false if tries_again && at >= again_from => Fate::Again,
        false => Fate::Failed,
    };
    commands.iter().enumerate().map(fate).collect()
}

impl Loss {
    fn is_refusal(&self) -> bool {
        matches!(self, Loss::Refused(_))
    }

    /// For people.
    fn why(&self) -> &str {
        match self {
            Loss::Gone(why) | Loss::Hopeless(why) => why,
            Loss::Refused(_) => "it does not lead any more",
        }
    }
}

/// What was done about commands at the leader.
#[derive(Default, Debug)]
pub(in crate::event_loop) struct GivenUp {
    /// So many clients' commands are unknown.
    pub(in crate::event_loop) unknown: u64,
    /// Commands are to be run again, before what else has come.
    pub(in crate::event_loop) again: bool,
}

impl Upstream {
    fn stage(&self, expected: &Expected, loss: &Loss) -> Stage {
        if loss.is_refusal() || expected.end > self.written() { Stage::Undone } else { Stage::Sent }
    }

    /// The commands of the client that are not settled, each with how far it has come and its frame.
    fn unsettled(&mut self, loss: &Loss) -> Vec<(Stage, Errand, Vec<u8>)> {
        let answered = std::mem::take(&mut self.answered);
        let expected = std::mem::take(&mut self.expected);
        let stages: Vec<Stage> = answered
            .iter()
            .map(|_| Stage::Answered)
            .chain(expected.iter().map(|expected| self.stage(expected, loss)))
            .collect();
        let mut commands = Vec::new();
        for (stage, expected) in stages.into_iter().zip(answered.into_iter().chain(expected)) {
            let (start, end) = (expected.start - self.base, expected.end - self.base);
            if let What::Reply(errand) = expected.what {
                commands.push((stage, errand, self.output[start as usize..end as usize].to_vec()));
            }
        }
        commands
    }
}

impl Connection {
    /// The connection to the leader is of no use any more: what waits for answers is told so, or put
    /// back to be run again. Who has been shown half a reply is closed.
    pub(in crate::event_loop) fn give_leader_up(
        &mut self,
        loss: &Loss,
        node: &Node,
        now_ms: u64,
    ) -> GivenUp {
        let Some(mut upstream) = self.upstream.take() else { return GivenUp::default() };
        if let Loss::Refused(Some(position)) = loss {
            self.session.on_leader_position(node, *position);
            upstream.settle();
        }
        let begun_at = upstream.held.as_ref().map(|held| held.start).or(upstream.begun_at);
        if let Some(start) = begun_at {
            if self.out.sent() > start {
                self.abort();
            } else {
                self.out.truncate_to(start);
            }
        }
        let commands = upstream.unsettled(loss);
        self.session.set_in_flight(0, 0);
        self.session.on_leader_lost();
        if commands.is_empty() {
            return GivenUp::default();
        }
        let tries_again = !matches!(loss, Loss::Hopeless(_))
            && !self.closing
            && upstream.to.is_none_or(|to| self.session.put_off(node, to, now_ms));
        let stages: Vec<_> =
            commands.iter().map(|(stage, errand, _)| (*stage, errand.writes)).collect();
        let (mut given_up, mut frames) = (GivenUp::default(), Vec::new());
        for (fate, (_, errand, frame)) in fates(&stages, tries_again).into_iter().zip(commands) {
            match fate {
                Fate::Again => self.put_back(errand, &frame, &mut frames),
                Fate::Unknown => {
                    given_up.unknown += 1;
                    self.tell_lost(&errand, UNKNOWN);
                }
                Fate::Failed => {
                    let code = if errand.queue.is_some() {
                        "EXECABORT Transaction discarded because of: MASTERDOWN"
                    } else {
                        "MASTERDOWN"
                    };
                    let text = format!("{code} the leader can't be asked: {}", loss.why());
                    self.tell_lost(&errand, &text);
                }
            }
        }
        if !frames.is_empty() {
            given_up.again = true;
            frames.append(&mut self.input);
            self.input = frames;
            self.parser = Parser::new();
            self.want = 0;
        }
        given_up
    }

    fn tell_lost(&mut self, errand: &Errand, text: &str) {
        if errand.heard {
            Reply::new(&mut self.out, self.session.protocol).error(text);
        }
    }

    /// A command is as good as just received; a transaction is as good as just queued.
    fn put_back(&mut self, errand: Errand, frame: &[u8], frames: &mut Vec<u8>) {
        if errand.watched {
            self.session.lose_watch();
        }
        if let Some(queue) = errand.queue {
            self.session.put_queue_back(*queue);
        }
        if !errand.heard && self.session.silence != Silence::Always {
            encode_command(frames, &[b"CLIENT", b"REPLY", b"SKIP"]);
        }
        frames.extend_from_slice(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::Fate::{Again, Failed, Unknown};
    use super::Stage::{Answered, Sent, Undone};
    use super::*;

    const READ: bool = false;
    const WRITE: bool = true;

    #[test]
    fn what_was_not_carried_out_is_run_again() {
        let commands = [(Undone, WRITE), (Undone, READ), (Undone, WRITE)];
        assert_eq!(fates(&commands, true), [Again, Again, Again]);
        assert_eq!(fates(&commands, false), [Failed, Failed, Failed]);
    }

    #[test]
    fn what_may_have_changed_data_is_unknown_and_never_run_again() {
        for stage in [Sent, Answered] {
            for tries_again in [true, false] {
                assert_eq!(fates(&[(stage, WRITE)], tries_again), [Unknown], "{stage:?}");
            }
        }
        let commands = [(Sent, WRITE), (Sent, READ), (Undone, WRITE)];
        assert_eq!(fates(&commands, true), [Unknown, Again, Again]);
    }

    #[test]
    fn reads_are_run_again_however_far_they_came() {
        let commands = [(Answered, READ), (Sent, READ), (Undone, READ)];
        assert_eq!(fates(&commands, true), [Again, Again, Again]);
    }

    #[test]
    fn replies_keep_the_order_of_the_commands() {
        let commands = [(Sent, READ), (Answered, WRITE), (Sent, READ), (Sent, WRITE), (Sent, READ)];
        let expected = [Failed, Unknown, Failed, Unknown, Again];
        assert_eq!(fates(&commands, true), expected, "the first read can't be answered later");
    }
}
