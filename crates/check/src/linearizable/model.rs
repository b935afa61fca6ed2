//! What one key does when operations happen one after another.

use std::rc::Rc;

use crate::history::{Action, Reply};

/// A key's value; None: there is none.
pub(super) type Value = Option<Rc<str>>;

/// The value after an action, if the action may answer `reply` (None: any answer) at this value.
pub(super) fn step(value: &Value, action: &Action, reply: Option<&Reply>) -> Option<Value> {
    let (next, answer) = match action {
        Action::Set(new) => (Some(Rc::from(new.as_str())), Reply::Done),
        Action::Get => {
            let fits = match reply {
                None => true,
                Some(Reply::Value(read)) => read.as_deref() == value.as_deref(),
                Some(_) => false,
            };
            return fits.then(|| value.clone());
        }
        Action::Delete => (None, Reply::Number(i64::from(value.is_some()))),
        Action::Add(amount) => {
            let now: i64 = value.as_deref().unwrap_or("0").parse().ok()?;
            let sum = now.checked_add(*amount)?;
            (Some(Rc::from(sum.to_string())), Reply::Number(sum))
        }
        Action::Append(more) => {
            let text = format!("{}{more}", value.as_deref().unwrap_or(""));
            let length = i64::try_from(text.len()).ok()?;
            (Some(Rc::from(text)), Reply::Number(length))
        }
    };
    reply.is_none_or(|reply| *reply == answer).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Some(Rc::from(text))
    }

    #[test]
    fn actions_answer_as_their_commands_do() {
        assert_eq!(step(&None, &Action::Get, Some(&Reply::Value(None))), Some(None));
        assert_eq!(step(&value("a"), &Action::Get, Some(&Reply::Value(None))), None);
        assert_eq!(step(&None, &Action::Delete, Some(&Reply::Number(1))), None);
        assert_eq!(step(&value("a"), &Action::Delete, Some(&Reply::Number(1))), Some(None));
        assert_eq!(step(&value("4"), &Action::Add(2), Some(&Reply::Number(6))), Some(value("6")));
        assert_eq!(step(&value("a"), &Action::Add(2), None), None);
        let appended = step(&value("a"), &Action::Append("bc".into()), Some(&Reply::Number(3)));
        assert_eq!(appended, Some(value("abc")));
    }
}
