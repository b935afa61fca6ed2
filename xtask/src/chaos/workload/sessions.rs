//! Sessions on any node: they must see their own writes and never go back, without saying anything
//! special; and readers with a bound.

use rand::RngExt as _;

use super::client::Client;
use super::registers::{current_group, read_group};
use crate::chaos::record::View;

/// So many sessions write keys of their own.
pub(super) const SESSIONS: u64 = 4;
/// Keys of each session.
const KEYS: u64 = 4;
/// How old a bounded read may be.
const BOUND_MS: u64 = 1_000;

/// Until the run is over: writes to keys of its own, reads of its own and of others.
pub(super) fn run(client: &mut Client, id: u64) {
    let mut written = 0_u64;
    let has_pool = id % 2 == 1;
    let name = format!("session-{id}");
    while !client.is_over() {
        client.rest();
        let choice = client.rng.random_range(0..100);
        let greeting: &[&[&str]] = if has_pool { &[&["CLIENT", "SETNAME", &name]] } else { &[] };
        match choice {
            // A fresh connection, to whichever node, sees no less.
            0..2 => client.go_anywhere(),
            2..4 => client.move_with_token(greeting),
            // Connections of one name share a session.
            _ if has_pool && choice % 2 == 0 => client.swap(),
            _ => {}
        }
        if !client.is_connected(greeting) {
            client.go_anywhere();
            continue;
        }
        let key = client.rng.random_range(0..KEYS);
        let own = format!("own:{id}:{key}");
        match choice {
            0..30 => {
                written += 1;
                client.set(View::Session, &own, format!("s{id}#{written}"));
            }
            30..60 => client.get(View::Session, &own),
            60..75 => {
                let other = client.rng.random_range(0..SESSIONS);
                client.get(View::Session, &format!("own:{other}:{key}"));
            }
            75..85 => client.increment(View::Session, &format!("count:{key}")),
            85..93 => client.get(View::Session, &format!("count:{key}")),
            _ => {
                let (period, key) = current_group(client);
                read_group(client, View::Moment, period, key);
            }
        }
    }
}

/// Until the run is over: reads that may be old, but not older than the bound.
pub(super) fn run_bounded(client: &mut Client, _index: u64) {
    let bound = BOUND_MS.to_string();
    while !client.is_over() {
        client.rest();
        if client.rng.random_bool(0.02) {
            client.go_anywhere();
        }
        if !client.is_connected(&[&["CONSISTENCY", "bounded", &bound]]) {
            client.go_anywhere();
            continue;
        }
        let key = client.rng.random_range(0..KEYS);
        let other = client.rng.random_range(0..SESSIONS);
        client.get(View::Bounded { ms: BOUND_MS }, &format!("own:{other}:{key}"));
    }
}
