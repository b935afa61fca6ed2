//! The books: what clients wrote, what they were told, and what is there in the end.
//!
//! Every write has a key of its own, written once, and a value that follows from the key. So what was
//! lost, and what is there although it was refused, shows key by key.

use std::fmt;

/// What a client was told of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It is done.
    Acked,
    /// It was not done, for certain.
    Refused,
    /// Nothing, or nothing that decides.
    Unknown,
}

/// A write, by the client and its number among that client's writes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Write {
    pub(crate) client: usize,
    pub(crate) number: usize,
}

impl Write {
    pub(crate) fn key(self) -> String {
        format!("w:{}:{}", self.client, self.number)
    }

    pub(crate) fn value(self) -> String {
        format!("{}#{}", self.client, self.number)
    }

    /// The write that makes this key.
    pub(crate) fn of_key(key: &str) -> Option<Write> {
        let (client, number) = key.strip_prefix("w:")?.split_once(':')?;
        Some(Write { client: client.parse().ok()?, number: number.parse().ok()? })
    }
}

/// One request, or a request and its repetitions, as its client saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) write: Write,
    /// Who gave the last answer.
    pub(crate) node: usize,
    pub(crate) invoked_us: u64,
    pub(crate) answered_us: u64,
    pub(crate) outcome: Outcome,
    /// How often it was sent.
    pub(crate) tries: u32,
}

impl Sample {
    pub(crate) fn is_acked(&self) -> bool {
        self.outcome == Outcome::Acked
    }

    pub(crate) fn took_us(&self) -> u64 {
        self.answered_us - self.invoked_us
    }
}

/// What the store holds under a key, seen by what its client was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Fine,
    /// It had been acknowledged and is not there.
    Lost,
    /// It had been refused and is there.
    Ghost,
    /// Something that nobody wrote.
    Foreign,
}

/// Judges one key.
pub(crate) fn judge(write: Write, outcome: Outcome, found: Option<&str>) -> Verdict {
    match (outcome, found) {
        (_, Some(found)) if found != write.value() => Verdict::Foreign,
        (Outcome::Acked, None) => Verdict::Lost,
        (Outcome::Refused, Some(_)) => Verdict::Ghost,
        _ => Verdict::Fine,
    }
}

/// How many writes came to what.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) acked: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
}

impl Counts {
    pub(crate) fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Counts {
        let mut counts = Counts::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Acked => counts.acked += 1,
                Outcome::Refused => counts.refused += 1,
                Outcome::Unknown => counts.unknown += 1,
            }
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { acked, refused, unknown } = self;
        write!(f, "{acked} acknowledged, {refused} refused, {unknown} unknown")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: Write = Write { client: 3, number: 14 };

    #[test]
    fn a_key_tells_its_write_and_a_write_its_value() {
        assert_eq!(Write::of_key(&WRITE.key()), Some(WRITE));
        assert_eq!(WRITE.value(), "3#14");
        assert_eq!(Write::of_key("x:3:14"), None);
        assert_eq!(Write::of_key("w:3"), None);
    }

    #[test]
    fn what_was_acknowledged_has_to_be_there_and_what_was_refused_must_not() {
        let value = WRITE.value();
        let there = Some(value.as_str());
        for (outcome, found, verdict) in [
            (Outcome::Acked, there, Verdict::Fine),
            (Outcome::Acked, None, Verdict::Lost),
            (Outcome::Refused, there, Verdict::Ghost),
            (Outcome::Refused, None, Verdict::Fine),
            (Outcome::Unknown, there, Verdict::Fine),
            (Outcome::Unknown, None, Verdict::Fine),
            (Outcome::Unknown, Some("3#15"), Verdict::Foreign),
        ] {
            assert_eq!(judge(WRITE, outcome, found), verdict, "{outcome:?} {found:?}");
        }
    }

    #[test]
    fn outcomes_are_counted() {
        let counts = Counts::of(&[Outcome::Acked, Outcome::Unknown, Outcome::Acked]);
        assert_eq!(counts, Counts { acked: 2, refused: 0, unknown: 1 });
    }
}
