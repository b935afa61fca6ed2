//! Looks up the address of the leader's host, without keeping the loop waiting.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::thread;

use super::super::mailbox::{Mailbox, Message};

/// What is known of a name.
pub(super) enum Found {
    Ip(IpAddr),
    /// It is being asked for; the answer is a [`Message::Resolved`].
    Asked,
    /// It can't be asked for.
    Failed(String),
}

/// See the module. There is one leader, so one name.
#[derive(Default)]
pub(super) struct Names {
    known: Option<(String, IpAddr)>,
    asked: Option<String>,
}

impl Names {
    pub(super) fn find(&mut self, host: &str, mailbox: &Arc<Mailbox>) -> Found {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse() {
            return Found::Ip(ip);
        }
        if let Some((name, ip)) = &self.known
            && name == host
        {
            return Found::Ip(*ip);
        }
        if self.asked.as_deref() == Some(host) {
            return Found::Asked;
        }
        let (name, mailbox) = (host.to_string(), Arc::clone(mailbox));
        let ask = move || {
            let found = (name.as_str(), 0).to_socket_addrs();
            let ip = found.ok().and_then(|mut found| found.next()).map(|address| address.ip());
            mailbox.send(Message::Resolved(name, ip));
        };
        match thread::Builder::new().name("names".into()).spawn(ask) {
            Ok(_) => {
                self.asked = Some(host.to_string());
                Found::Asked
            }
            Err(error) => Found::Failed(error.to_string()),
        }
    }

    /// The answer has come.
    pub(super) fn on_resolved(&mut self, host: String, ip: Option<IpAddr>) {
        self.asked = None;
        self.known = ip.map(|ip| (host, ip));
    }

    /// The address was of no use: it is asked for again.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }
}
