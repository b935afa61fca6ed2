//! Links that this side has closed: the other side is given a moment to read the last words.
//!
//! A socket that is closed while something unread is in it resets the connection, and the reason that
//! was sent last is lost with it. So it is only half closed at first, and what comes is thrown away.
//!
//! Invariant: bounded in number, in time, and in bytes.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use trefoil_replication::LinkId;

const FAREWELLS_MAX: usize = 64;
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);
const FAREWELL_BYTES_MAX: usize = 4 << 20;

/// See the module.
#[derive(Default)]
pub(super) struct Farewells {
    sockets: BTreeMap<LinkId, Leaving>,
}

struct Leaving {
    stream: TcpStream,
    by: Instant,
    thrown_away: usize,
}

impl Farewells {
    /// Nothing more is sent over it. It stays registered with the poll.
    pub(super) fn add(&mut self, link: LinkId, stream: TcpStream, now: Instant) {
        if self.sockets.len() < FAREWELLS_MAX && stream.shutdown(Shutdown::Write).is_ok() {
            let by = now + FAREWELL_WITHIN;
            self.sockets.insert(link, Leaving { stream, by, thrown_away: 0 });
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.sockets.values().map(|leaving| leaving.by).min()
    }

    /// Lets those go that have closed, and those whose time is up.
    pub(super) fn look(&mut self, now: Instant) {
        self.sockets.retain(|_, leaving| now < leaving.by && leaving.stays());
    }
}

impl Leaving {
    /// Throws away what has come. Whether more may come.
    fn stays(&mut self) -> bool {
        let mut scrap = [0; 16 << 10];
        while self.thrown_away < FAREWELL_BYTES_MAX {
            match self.stream.read(&mut scrap) {
                Ok(0) => return false,
                Ok(count) => self.thrown_away += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        false
    }
}
