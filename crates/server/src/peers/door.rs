//! The door for other nodes: who may come in, and what happens when there is no room.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use super::tls::PeerTls;
use crate::event_loop::Transport;
use crate::front::is_scarcity;

/// What a start has prepared for other nodes.
pub(crate) struct PeerDoor {
    /// None: nobody may connect.
    pub(super) listener: Option<std::net::TcpListener>,
    /// None: links are plain.
    pub(super) tls: Option<PeerTls>,
}

impl PeerDoor {
    /// Where other nodes connect.
    pub(crate) fn address(&self) -> io::Result<Option<SocketAddr>> {
        self.listener.as_ref().map(std::net::TcpListener::local_addr).transpose()
    }
}

/// See the module.
pub(super) struct Door {
    listener: Option<TcpListener>,
    tls: Option<PeerTls>,
    /// Nodes prove who they are, so they may come from anywhere.
    trusts_proofs: bool,
    /// There may be connections to accept; the poll will not tell twice.
    waits: bool,
    /// Descriptors or memory have run out, and people were told; until nobody waits any more.
    scarce: bool,
    /// Somebody was turned away for want of room, and people were told.
    full: bool,
}

impl Door {
    pub(super) fn open(
        prepared: PeerDoor,
        has_secret: bool,
        (registry, token): (&Registry, Token),
    ) -> io::Result<Door> {
        let PeerDoor { listener, tls } = prepared;
        let mut listener = listener.map(TcpListener::from_std);
        if let Some(listener) = &mut listener {
            registry.register(listener, token, Interest::READABLE)?;
        }
        let trusts_proofs = has_secret || tls.is_some();
        Ok(Door { listener, tls, trusts_proofs, waits: false, scarce: false, full: false })
    }

    pub(super) fn on_event(&mut self) {
        self.waits = true;
    }

    /// Somebody waits, and there was nothing to accept with.
    pub(super) fn is_scarce(&self) -> bool {
        self.waits && self.scarce
    }

    /// The next connection of somebody who may connect.
    pub(super) fn accept(&mut self) -> Option<(TcpStream, SocketAddr)> {
        while self.waits {
            let Some(listener) = &self.listener else { return None };
            match listener.accept() {
                Ok((stream, from)) => {
                    if self.may_come(from.ip()) {
                        return Some((stream, from));
                    }
                    eprintln!(
                        "trefoil: a node at {from} was turned away: without peer-secret or \
                         peer-tls-* only nodes on this host may connect"
                    );
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    (self.waits, self.scarce) = (false, false);
                }
                Err(error) if is_scarcity(&error) => {
                    if !std::mem::replace(&mut self.scarce, true) {
                        eprintln!("trefoil: other nodes have to wait: {error}");
                    }
                    return None;
                }
                // It was gone before it was accepted; the next may be well.
                Err(_) => {}
            }
        }
        None
    }

    fn may_come(&self, from: IpAddr) -> bool {
        self.trusts_proofs || from.to_canonical().is_loopback()
    }

    /// Somebody was accepted, and there was a link for it.
    pub(super) fn on_admitted(&mut self) {
        self.full = false;
    }

    /// Somebody was accepted, and there was none.
    pub(super) fn on_full(&mut self, from: SocketAddr) {
        if !std::mem::replace(&mut self.full, true) {
            eprintln!("trefoil: a node at {from} was turned away: there are too many links");
        }
    }

    pub(super) fn accepted(&self, stream: TcpStream) -> Result<Transport, String> {
        match &self.tls {
            None => Ok(Transport::Plain(stream)),
            Some(tls) => tls.accept(stream),
        }
    }

    pub(super) fn dialled(&self, stream: TcpStream, host: &str) -> Result<Transport, String> {
        match &self.tls {
            None => Ok(Transport::Plain(stream)),
            Some(tls) => tls.dial(stream, host),
        }
    }
}
