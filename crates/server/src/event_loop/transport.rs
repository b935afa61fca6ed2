//! What carries a connection's bytes: a socket, or TLS over one.
//!
//! TLS is rustls without I/O of its own: records are moved between it and the socket here, as far as
//! the socket takes or gives them, so that a connection under TLS obeys the same loop as a plain one.
//!
//! Invariant: when reading says "would block", everything the peer has sent so far was handed out;
//! when writing does, the socket will tell when it takes more.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use mio::net::TcpStream;
use rustls::Connection;

/// Plain bytes that TLS may hold back while the socket takes nothing.
const TLS_BUFFER_BYTES: usize = 64 << 10;

/// See the module.
pub(crate) enum Transport {
    /// The socket as it is.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<Tls>),
}

/// TLS over a socket.
pub(crate) struct Tls {
    stream: TcpStream,
    session: Connection,
}

impl Transport {
    pub(crate) fn tls(stream: TcpStream, session: impl Into<Connection>) -> Transport {
        let mut session = session.into();
        session.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        Transport::Tls(Box::new(Tls { stream, session }))
    }

    pub(crate) fn stream_mut(&mut self) -> &mut TcpStream {
        match self {
            Transport::Plain(stream) => stream,
            Transport::Tls(tls) => &mut tls.stream,
        }
    }

    /// The socket alone, for what is left to do without TLS.
    pub(crate) fn into_stream(self) -> TcpStream {
        match self {
            Transport::Plain(stream) => stream,
            Transport::Tls(tls) => tls.stream,
        }
    }

    /// Whether a read that got less than it asked for says nothing about what is left.
    pub(super) fn reads_in_pieces(&self) -> bool {
        matches!(self, Transport::Tls(_))
    }

    /// Whether the peer has still to prove that it speaks TLS.
    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self, Transport::Tls(tls) if tls.session.is_handshaking())
    }

    /// Whether something was written that the socket has not taken.
    pub(crate) fn holds_back(&self) -> bool {
        matches!(self, Transport::Tls(tls) if tls.session.wants_write())
    }

    /// Hands the socket what is held back, as far as it takes it.
    pub(crate) fn push(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(_) => Ok(()),
            Transport::Tls(tls) => tls.push(),
        }
    }

    /// Says goodbye, if the protocol has a word for it.
    pub(crate) fn say_goodbye(&mut self) {
        if let Transport::Tls(tls) = self {
            tls.session.send_close_notify();
            // The peer may be gone: then nobody misses it.
            let _ = tls.push();
        }
    }

    #[inline]
    pub(crate) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => stream.read(room),
            Transport::Tls(tls) => tls.read(room),
        }
    }

    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => stream.write(bytes),
            Transport::Tls(tls) => tls.write(bytes),
        }
    }

    pub(super) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => stream.write_vectored(slices),
            Transport::Tls(tls) => {
                let first = slices.iter().find(|slice| !slice.is_empty());
                first.map_or(Ok(0), |slice| tls.write(slice))
            }
        }
    }
}

impl Tls {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(room) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // A peer that hangs up without a goodbye has hung up all the same.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            let mut stream = &self.stream;
            let received = self.session.read_tls(&mut stream)?;
            let processed = self.session.process_new_packets();
            // Handshake messages, and alerts that say what is wrong.
            let pushed = self.push();
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            pushed?;
            if received == 0 && self.session.is_handshaking() {
                return Ok(0);
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.session.writer().write(bytes)?;
        self.push()?;
        match taken {
            0 if !bytes.is_empty() => Err(ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    /// Moves records to the socket until it takes no more, which is no error.
    fn push(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            let mut stream = &self.stream;
            match self.session.write_tls(&mut stream) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
