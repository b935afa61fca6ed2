//! How far a node has come on its way into the cluster.

use std::fmt;

use super::ask::Role;

/// A node's state, as the display shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Readiness {
    /// The process runs, nobody answers yet.
    Started,
    /// It answers, but not yet to this: the first word of its error.
    Busy(String),
    /// It takes writes.
    Leads,
    /// It follows, but does not have all yet: what it says it is doing.
    CatchingUp(String),
    /// It follows and had all that the leader had when we looked.
    CaughtUp,
    /// The process has ended: how.
    Ended(String),
}

impl Readiness {
    /// What a node's answer means; `leader_end` is the end of the leader's log at an earlier moment.
    pub(super) fn of(answer: anyhow::Result<Role>, leader_end: Option<i64>) -> Readiness {
        match answer {
            Ok(Role::Leads { .. }) => Readiness::Leads,
            Ok(Role::Follows { state, applied, .. }) => {
                let has_all = leader_end.is_some_and(|end| applied >= end);
                match state.as_str() {
                    "connected" if has_all => Readiness::CaughtUp,
                    _ => Readiness::CatchingUp(state),
                }
            }
            Err(error) if error.is::<std::io::Error>() => Readiness::Started,
            Err(error) => {
                let text = error.to_string();
                Readiness::Busy(text.split_whitespace().next().unwrap_or("?").to_owned())
            }
        }
    }

    /// Whether nothing is left to wait for.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Readiness::Leads | Readiness::CaughtUp | Readiness::Ended(_))
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Readiness::Started => write!(f, "started"),
            Readiness::Busy(word) => write!(f, "answers, not ready yet ({word})"),
            Readiness::Leads => write!(f, "leads"),
            Readiness::CatchingUp(state) => match state.as_str() {
                "connect" | "connecting" => write!(f, "ready, connecting to the leader"),
                "sync" => write!(f, "following, receiving the data"),
                _ => write!(f, "following"),
            },
            Readiness::CaughtUp => write!(f, "caught up"),
            Readiness::Ended(how) => write!(f, "{how}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follows(state: &str, applied: i64) -> anyhow::Result<Role> {
        Ok(Role::Follows { port: 1, state: state.to_owned(), applied })
    }

    #[test]
    fn a_follower_has_caught_up_when_it_has_what_the_leader_had() {
        assert_eq!(Readiness::of(follows("connected", 7), Some(7)), Readiness::CaughtUp);
        for (state, applied, end) in
            [("connected", 6, Some(7)), ("sync", 9, Some(7)), ("connected", 0, None)]
        {
            assert!(!Readiness::of(follows(state, applied), end).is_final(), "{state}");
        }
        assert_eq!(Readiness::of(Ok(Role::Leads { end: 1 }), None), Readiness::Leads);
    }

    #[test]
    fn silence_and_errors_are_told_apart() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(Readiness::of(Err(refused.into()), None), Readiness::Started);
        let loading = anyhow::anyhow!("LOADING the data is being read");
        assert_eq!(Readiness::of(Err(loading), None), Readiness::Busy("LOADING".to_owned()));
    }
}
