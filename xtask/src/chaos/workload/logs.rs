//! Writes to a new key each: what is lost and what is not shows at the end, key by key.

use rand::RngExt as _;
use trefoil_check::{Action, Reply as Told};

use super::client::{Answer, Client};
use super::registers::exec;
use crate::chaos::record::View;
use crate::chaos::resp::Reply;

/// Until the run is over.
pub(super) fn run(client: &mut Client, id: u64) {
    let mut written = 0_u64;
    while !client.is_over() {
        client.rest();
        if client.rng.random_bool(0.2) {
            client.go_anywhere();
        } else {
            client.go_to_leader();
        }
        if !client.is_connected(&[]) {
            continue;
        }
        written += 1;
        if client.rng.random_bool(0.8) {
            client.set(View::Linear, &format!("once:{id}:{written}"), format!("{id}#{written}"));
        } else {
            set_several(client, id, written);
        }
    }
}

/// Three SETs in a transaction.
fn set_several(client: &mut Client, id: u64, written: u64) {
    let keys: Vec<String> = (0..3).map(|part| format!("once:{id}:{written}:{part}")).collect();
    let value = format!("{id}#{written}");
    let asked = client.begin();
    let commands: Vec<[&str; 3]> = keys.iter().map(|key| ["SET", key.as_str(), &value]).collect();
    let commands: Vec<&[&str]> = commands.iter().map(<[&str; 3]>::as_slice).collect();
    let answer: Answer = exec(client, &commands);
    let told = |reply: &Reply| (reply.elements().len() == 3).then_some(Told::Done);
    for key in keys {
        let what = (key, Action::Set(value.clone()));
        client.note(View::Linear, what, &asked, (&answer, told));
    }
    client.join_last(3);
}

/// The value that a key of this kind holds, if it holds any.
pub(in crate::chaos) fn once_value(key: &str) -> Option<String> {
    let mut parts = key.strip_prefix("once:")?.split(':');
    let (id, written) = (parts.next()?, parts.next()?);
    Some(format!("{id}#{written}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_value() {
        assert_eq!(once_value("once:1:20").as_deref(), Some("1#20"));
        assert_eq!(once_value("once:1:20:2").as_deref(), Some("1#20"));
        assert_eq!(once_value("reg:1:20"), None);
    }
}
