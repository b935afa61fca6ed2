//! Reads at the leader and writes anywhere, on few keys: what must look like one order for all.

use rand::RngExt as _;
use trefoil_check::{Action, Reply as Told};

use super::client::{Answer, Client, done};
use crate::chaos::record::View;
use crate::chaos::resp::Reply;

/// Keys of each kind at a time.
const KEYS: u64 = 6;
/// After so long other keys are used: histories stay short enough to be searched.
const PERIOD_US: u64 = 5_000_000;

/// Until the run is over.
pub(super) fn run(client: &mut Client, index: u64) {
    let mut written = 0_u64;
    while !client.is_over() {
        client.rest();
        let choice = client.rng.random_range(0..100);
        // Some writes take the way over a follower, which forwards them.
        if choice < 10 {
            client.go_anywhere();
        } else {
            client.go_to_leader();
        }
        if !client.is_connected(&[]) {
            continue;
        }
        let period = client.arena.now_us() / PERIOD_US;
        let key = client.rng.random_range(0..KEYS);
        let register = format!("reg:{period}:{key}");
        written += 1;
        let value = format!("c{index}#{written}");
        match choice {
            0..35 => client.set(View::Linear, &register, value),
            35..40 => client.delete(View::Linear, &register),
            40..50 => client.increment(View::Linear, &format!("count:{key}")),
            50..60 => set_group(client, period, key, value),
            60..70 => read_group(client, View::Linear, period, key),
            70..75 => client.get(View::Linear, &format!("count:{key}")),
            _ => client.get(View::Linear, &register),
        }
        // Whoever wrote over a follower reads at the leader again.
        client.go_to_leader();
    }
}

/// The keys of a group, which always hold equal values. Their slots differ.
pub(super) fn group(period: u64, key: u64) -> [String; 2] {
    ["a", "b"].map(|part| format!("group:{period}:{key}:{part}"))
}

/// The name under which a group is one register.
pub(in crate::chaos) fn group_name(key: &str) -> Option<&str> {
    let rest = key.strip_prefix("group:")?;
    let name = rest.strip_suffix(":a").or_else(|| rest.strip_suffix(":b"))?;
    Some(&key[.."group:".len() + name.len()])
}

/// The value of a group as one register: what its parts hold, if that is the same.
pub(in crate::chaos) fn joined(parts: &[Option<String>]) -> Option<String> {
    match parts {
        [a, b] if a == b => a.clone(),
        _ => {
            let shown: Vec<&str> = parts.iter().map(|p| p.as_deref().unwrap_or("nil")).collect();
            Some(shown.join("|"))
        }
    }
}

/// MSET, or MULTI with two SETs.
fn set_group(client: &mut Client, period: u64, key: u64, value: String) {
    let [a, b] = group(period, key);
    let asked = client.begin();
    let answer = if client.rng.random_bool(0.5) {
        client.ask(&["MSET", &a, &value, &b, &value])
    } else {
        exec(client, &[&["SET", &a, &value], &["SET", &b, &value]])
    };
    let name = format!("group:{period}:{key}");
    let told = |reply: &Reply| match reply {
        Reply::Many(replies) if replies.iter().all(|r| r.text() == Some("OK")) => Some(Told::Done),
        reply => done(reply),
    };
    client.note(View::Linear, (name, Action::Set(value)), &asked, (&answer, told));
}

/// MULTI, the commands, EXEC; what EXEC answered. Without an OK to MULTI nothing more is sent: it would
/// be done at once.
pub(super) fn exec(client: &mut Client, commands: &[&[&str]]) -> Answer {
    match client.ask(&["MULTI"]) {
        Answer::Told(Reply::Status(_)) => {}
        _ => return Answer::Refused,
    }
    let exec: &[&[&str]] = &[&["EXEC"]];
    client.ask_all(&[commands, exec].concat()).pop().unwrap_or(Answer::Refused)
}

/// MGET of a group, as one read.
pub(super) fn read_group(client: &mut Client, view: View, period: u64, key: u64) {
    let [a, b] = group(period, key);
    let asked = client.begin();
    let answer = client.ask(&["MGET", &a, &b]);
    let told = |reply: &Reply| {
        let part = |reply: &Reply| reply.text().map(str::to_owned);
        let parts: Vec<Option<String>> = reply.elements().iter().map(part).collect();
        (parts.len() == 2).then(|| Told::Value(joined(&parts)))
    };
    client.note(view, (format!("group:{period}:{key}"), Action::Get), &asked, (&answer, told));
}

/// The groups of the moment.
pub(super) fn current_group(client: &mut Client) -> (u64, u64) {
    (client.arena.now_us() / PERIOD_US, client.rng.random_range(0..KEYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_one_register_and_a_torn_one_shows() {
        let [a, b] = group(3, 4);
        assert_eq!(group_name(&a), Some("group:3:4"));
        assert_eq!(group_name(&b), group_name(&a));
        assert_eq!(group_name("reg:3:4"), None);
        assert_eq!(joined(&[None, None]), None);
        assert_eq!(joined(&[Some("x".into()), Some("x".into())]).as_deref(), Some("x"));
        assert_eq!(joined(&[Some("x".into()), None]).as_deref(), Some("x|nil"));
    }
}
