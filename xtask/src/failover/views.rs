//! What nodes say about themselves: who leads, who follows, whose acknowledgements count.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::chaos::resp::{Connection, Reply};

/// How long an administrative question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A node that may be stopped or cut off is not waited for longer.
const SHORT_PATIENCE: Duration = Duration::from_millis(300);

/// So many vote in a cluster of three or more.
const VOTERS: u64 = 3;

/// One question over a connection of its own. An error reply is an error.
pub(crate) fn ask(address: SocketAddr, words: &[&str]) -> Result<Reply> {
    ask_within(PATIENCE, address, words)
}

fn ask_within(patience: Duration, address: SocketAddr, words: &[&str]) -> Result<Reply> {
    let question = || format!("{address}: {}", words.join(" "));
    let mut connection = Connection::open_at(address, patience).with_context(question)?;
    match connection.call(words).with_context(question)? {
        Reply::Error(text) => bail!("{}: {text}", question()),
        reply => Ok(reply),
    }
}

/// A node's own view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct View {
    /// As the server calls it: leader, follower, deposed, ...
    pub(crate) role: String,
    pub(crate) epoch: u64,
    /// The end of its log.
    pub(crate) end: u64,
    /// It follows and its link is up.
    pub(crate) is_linked: bool,
    /// Who votes on leaders, as far as it knows; 0: its leader is named by hand.
    pub(crate) voters: u64,
}

impl View {
    pub(crate) fn leads(&self) -> bool {
        self.role == "leader"
    }

    /// Out of INFO.
    fn parse(info: &str) -> Result<View> {
        let field = |name: &str| {
            let find = |line: &str| {
                let (field, value) = line.split_once(':')?;
                (field == name).then(|| value.trim().to_owned())
            };
            info.lines().find_map(find).with_context(|| format!("INFO has no {name}"))
        };
        let number = |name: &str| -> Result<u64> {
            let value = field(name)?;
            value.parse().with_context(|| format!("{name} is {value:?}"))
        };
        Ok(View {
            role: field("trefoil_role")?,
            epoch: number("epoch")?,
            end: number("master_repl_offset")?,
            is_linked: field("master_link_status").is_ok_and(|status| status == "up"),
            voters: match field("cluster_managed").as_deref() {
                Ok("1") => number("cluster_voters")?,
                _ => 0,
            },
        })
    }
}

/// A node's view, if it answers soon.
pub(crate) fn view(address: SocketAddr) -> Result<View> {
    let reply = ask_within(SHORT_PATIENCE, address, &["INFO", "replication", "cluster"])?;
    View::parse(reply.text().context("INFO is a text")?)
}

/// The leader of the newest epoch that anybody leads.
pub(crate) fn leader(addresses: &[SocketAddr]) -> Option<(usize, u64)> {
    let views = addresses.iter().map(|address| view(*address).ok());
    let leads = |(node, view): (usize, Option<View>)| {
        let view = view.filter(View::leads)?;
        Some((node, view.epoch))
    };
    views.enumerate().filter_map(leads).max_by_key(|(_, epoch)| *epoch)
}

/// The leader and its epoch, if every node runs, one leads, and the others follow it, have what it had
/// when we looked and count. An error tells what is not yet so.
pub(crate) fn whole(addresses: &[SocketAddr]) -> Result<Option<(usize, u64)>> {
    let views = addresses.iter().map(|address| view(*address)).collect::<Result<Vec<View>>>()?;
    let leaders: Vec<usize> = (0..views.len()).filter(|node| views[*node].leads()).collect();
    let [leader] = leaders[..] else { bail!("{} nodes lead", leaders.len()) };
    for (node, view) in views.iter().enumerate().filter(|(node, _)| *node != leader) {
        if !view.is_linked {
            bail!("node {node} has no link to a leader; it says that it is {}", view.role);
        }
        if view.epoch != views[leader].epoch {
            bail!("node {node} is in epoch {}, not {}", view.epoch, views[leader].epoch);
        }
    }
    let voters = views.iter().map(|view| view.voters).min().unwrap_or(0);
    if views.iter().any(|view| view.voters > 0) && addresses.len() > 2 && voters < VOTERS {
        bail!("{voters} nodes vote, as some node knows it, {VOTERS} are to");
    }
    let lag = ask(addresses[leader], &["REPLICATION", "LAG"])?;
    let counting = lag.elements().iter().filter(|row| counts(row)).count();
    if counting + 1 < addresses.len() {
        bail!("{counting} of {} followers stream and are electable", addresses.len() - 1);
    }
    Ok(Some((leader, views[leader].epoch)))
}

/// Whether a row of REPLICATION LAG is of a follower that streams and is electable.
fn counts(row: &Reply) -> bool {
    let state = value(row, "state").and_then(Reply::text);
    let member = value(row, "member").and_then(Reply::number);
    state == Some("streaming") && member == Some(1)
}

/// The value of this name in a reply of names and values.
pub(crate) fn value<'a>(row: &'a Reply, name: &str) -> Option<&'a Reply> {
    let mut pairs = row.elements().chunks_exact(2);
    pairs.find(|pair| pair[0].text() == Some(name)).map(|pair| &pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_read_out_of_info() {
        let info = "# Replication\r\nrole:slave\r\nmaster_link_status:up\r\n\
                    master_repl_offset:17\r\ntrefoil_role:follower\r\nepoch:3\r\n\
                    cluster_managed:1\r\ncluster_voters:3\r\n";
        let view = View::parse(info).expect("all is there");
        let role = "follower".to_owned();
        assert_eq!(view, View { role, epoch: 3, end: 17, is_linked: true, voters: 3 });
        assert!(!view.leads());
        let error = View::parse("role:master\r\n").expect_err("too little");
        assert!(error.to_string().contains("trefoil_role"), "{error}");
    }

    #[test]
    fn followers_count_when_they_stream_and_are_electable() {
        let text = |text: &str| Reply::Text(Some(text.to_owned()));
        let row = |state: &str, member| {
            let member = Reply::Number(member);
            Reply::Many(vec![text("state"), text(state), text("member"), member])
        };
        assert!(counts(&row("streaming", 1)));
        assert!(!counts(&row("streaming", 0)));
        assert!(!counts(&row("detached", 1)));
        assert!(!counts(&Reply::Many(Vec::new())));
    }
}
