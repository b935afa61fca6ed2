//! A link's socket: moves bytes between it and the core, a bounded number at a time.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use trefoil_log::FsDisk;
use trefoil_node::peers::{Outbound, Peers};
use trefoil_replication::LinkId;

use crate::event_loop::Transport;

/// Bytes read from one link before the others have their turn.
const READ_BYTES_MAX: usize = 4 << 20;
/// How TLS begins, by the side that connects and by the one that is told nonsense.
const TLS_HELLO: &[u8] = &[0x16, 3];
pub(super) const TLS_ALERT: &[u8] = &[0x15, 3];

/// See the module.
pub(super) struct Socket {
    transport: Transport,
    /// Who has connected. None: we have.
    pub(super) from: Option<SocketAddr>,
    /// There may be more to read; the poll will not tell twice.
    readable: bool,
    writable: bool,
    /// The other side has closed its end, or it broke: a short read is not all.
    ends: bool,
    /// Something has come.
    heard: bool,
    /// Nothing more comes. What has come is looked at before the link is closed.
    end: Option<End>,
    /// The core is done with it; by then it is closed, whatever is unsent.
    pub(super) closes_by: Option<Instant>,
}

/// How a link ended at the other side.
pub(super) enum End {
    /// It was closed, or broke.
    Closed(String),
    /// The two sides do not understand each other.
    Misunderstood(String),
}

impl Socket {
    pub(super) fn new(transport: Transport, from: Option<SocketAddr>) -> Socket {
        Socket {
            transport,
            from,
            readable: true,
            writable: true,
            ends: false,
            heard: false,
            end: None,
            closes_by: None,
        }
    }

    pub(super) fn on_event(&mut self, event: &mio::event::Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.ends |= event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// Whether there may be more to read for a core that wants it.
    pub(super) fn is_readable(&self) -> bool {
        self.readable && self.end.is_none() && self.closes_by.is_none()
    }

    pub(super) fn take_end(&mut self) -> Option<End> {
        self.end.take()
    }

    /// Reads what there is and what there is room for.
    pub(super) fn read(&mut self, peers: &mut Peers<FsDisk>, link: LinkId) {
        let mut total = 0;
        while total < READ_BYTES_MAX {
            let Some(space) = peers.space(link) else { return };
            let agreed = !self.transport.is_handshaking();
            match self.transport.read(space) {
                Ok(0) => return self.end = Some(self.closed()),
                Ok(count) => {
                    let is_tls = !self.heard && self.is_tls(&space[..count]);
                    self.heard = true;
                    if is_tls {
                        return self.end = Some(self.not_plain());
                    }
                    let short = count < space.len();
                    peers.filled(link, count);
                    total += count;
                    // The poll tells of what comes after this; one call less for each message.
                    let is_plain = matches!(self.transport, Transport::Plain(_));
                    self.readable = !(short && is_plain && !self.ends);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.end = Some(broken(&error)),
            }
            // What had to wait until TLS was agreed can be sent now.
            self.writable |= !agreed && !self.transport.is_handshaking();
            if !self.readable {
                return;
            }
        }
    }

    /// Whether the first bytes over a plain link are those of TLS.
    fn is_tls(&self, bytes: &[u8]) -> bool {
        let begins = if self.from.is_some() { TLS_HELLO } else { TLS_ALERT };
        matches!(self.transport, Transport::Plain(_)) && bytes.starts_with(begins)
    }

    fn not_plain(&self) -> End {
        End::Misunderstood("it speaks TLS, and peer-tls-cert-file is not set here".into())
    }

    fn closed(&self) -> End {
        End::Closed(match self.transport.is_handshaking() {
            true => {
                "it closed the connection before TLS was agreed; is peer-tls-cert-file set there?"
                    .into()
            }
            false => "it closed the connection".into(),
        })
    }

    /// Writes what there is and what there is room for.
    pub(super) fn write(&mut self, out: &mut Outbound) -> io::Result<()> {
        while self.writable && !out.unsent().is_empty() {
            match self.transport.write(out.unsent()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => out.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        match self.transport.holds_back() {
            true => self.transport.push(),
            false => Ok(()),
        }
    }

    /// Whether everything was handed to the operating system.
    pub(super) fn has_sent(&self, out: &Outbound) -> bool {
        out.unsent().is_empty() && !self.transport.holds_back()
    }

    /// Nothing more is sent.
    pub(super) fn into_stream(mut self) -> TcpStream {
        self.transport.say_goodbye();
        self.transport.into_stream()
    }
}

/// Errors of TLS have this kind.
fn broken(error: &io::Error) -> End {
    match error.kind() {
        ErrorKind::InvalidData => End::Misunderstood(format!("TLS with it failed: {error}")),
        _ => End::Closed(format!("the connection to it broke: {error}")),
    }
}
