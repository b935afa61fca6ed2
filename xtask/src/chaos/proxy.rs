//! A link between two nodes through a proxy of ours, so that it can be cut, slowed down and stalled.
//!
//! A follower connects to the proxy's port, the proxy to the leader's. A cut closes what is open and
//! refuses what comes. A stall closes nothing and moves nothing, in one direction or in both; what was
//! sent meanwhile arrives when it ends, as after a real one.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often a pump that has nothing to do looks at the weather.
const PACE: Duration = Duration::from_millis(10);

/// What a link does to what is sent over it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Weather {
    /// Nothing.
    Clear,
    /// No connection holds.
    Cut,
    /// Every piece is late.
    Slow { delay_ms: u64 },
    /// Nothing arrives, but nothing is closed.
    Stalled,
    /// What the follower sends does not arrive.
    StalledToLeader,
    /// What the leader sends does not arrive.
    StalledToFollower,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToLeader,
    ToFollower,
}

/// A link. Its threads live as long as this process.
pub(super) struct Link {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: u16,
    weather: Mutex<Weather>,
    /// Raised by each cut: connections of an earlier number end.
    cuts: AtomicU64,
}

impl Shared {
    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// Opens a port that leads to `target`.
    pub(super) fn open(target: u16) -> io::Result<Link> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let weather = Mutex::new(Weather::Clear);
        let shared = Arc::new(Shared { target, weather, cuts: AtomicU64::new(0) });
        let for_acceptor = Arc::clone(&shared);
        thread::Builder::new()
            .name("link".into())
            .spawn(move || accept(&listener, &for_acceptor))?;
        Ok(Link { port, shared })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn set(&self, weather: Weather) {
        *self.shared.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
        if weather == Weather::Cut {
            self.shared.cuts.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let Ok(near) = stream else { continue };
        let cuts = shared.cuts.load(Ordering::SeqCst);
        if shared.weather() == Weather::Cut {
            continue;
        }
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, shared.target));
        // A connection that can't be passed on is closed, as if the leader had refused it.
        let Ok(far) = TcpStream::connect_timeout(&target, Duration::from_secs(1)) else { continue };
        let _ = join_up(near, far, shared, cuts);
    }
}

/// Starts both pumps of a connection.
fn join_up(near: TcpStream, far: TcpStream, shared: &Arc<Shared>, cuts: u64) -> io::Result<()> {
    let backwards = (far.try_clone()?, near.try_clone()?);
    for (from, to, direction) in
        [(near, far, Direction::ToLeader), (backwards.0, backwards.1, Direction::ToFollower)]
    {
        from.set_nodelay(true)?;
        from.set_read_timeout(Some(PACE))?;
        let shared = Arc::clone(shared);
        thread::Builder::new().name("pump".into()).spawn(move || {
            // Whatever ended one direction ends the connection.
            let _ = pump(&from, &to, direction, &shared, cuts);
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        })?;
    }
    Ok(())
}

fn pump(
    mut from: &TcpStream,
    mut to: &TcpStream,
    direction: Direction,
    shared: &Shared,
    cuts: u64,
) -> io::Result<()> {
    let mut piece = vec![0; 64 << 10];
    let is_cut = || shared.cuts.load(Ordering::SeqCst) != cuts;
    while !is_cut() {
        if holds(shared.weather(), direction) {
            thread::sleep(PACE);
            continue;
        }
        let count = match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Weather::Slow { delay_ms } = shared.weather() {
            thread::sleep(Duration::from_millis(delay_ms));
        }
        while holds(shared.weather(), direction) && !is_cut() {
            thread::sleep(PACE);
        }
        if !is_cut() {
            to.write_all(&piece[..count])?;
        }
    }
    Ok(())
}

fn holds(weather: Weather, direction: Direction) -> bool {
    match weather {
        Weather::Stalled => true,
        Weather::StalledToLeader => direction == Direction::ToLeader,
        Weather::StalledToFollower => direction == Direction::ToFollower,
        Weather::Clear | Weather::Cut | Weather::Slow { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link to an echo that answers each byte.
    fn echo() -> Link {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let link = Link::open(listener.local_addr().expect("bound").port()).expect("a free port");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                thread::spawn(move || {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
                });
            }
        });
        link
    }

    fn connect(link: &Link) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, link.port())).expect("the proxy listens")
    }

    fn ask(mut stream: &TcpStream, byte: u8) -> io::Result<u8> {
        let mut answer = [0];
        stream.write_all(&[byte])?;
        stream.read_exact(&mut answer)?;
        Ok(answer[0])
    }

    #[test]
    fn a_cut_closes_what_is_open_and_refuses_what_comes() {
        let link = echo();
        let stream = connect(&link);
        assert_eq!(ask(&stream, 7).ok(), Some(7));
        link.set(Weather::Cut);
        assert!(ask(&stream, 8).is_err());
        assert!(ask(&connect(&link), 9).is_err());
        link.set(Weather::Clear);
        assert_eq!(ask(&connect(&link), 9).ok(), Some(9));
    }

    #[test]
    fn what_was_sent_during_a_stall_arrives_when_it_ends() {
        let link = echo();
        for weather in [Weather::Stalled, Weather::StalledToLeader, Weather::StalledToFollower] {
            let stream = connect(&link);
            assert_eq!(ask(&stream, 1).ok(), Some(1));
            link.set(weather);
            stream.set_read_timeout(Some(PACE * 4)).expect("a timeout");
            let error = ask(&stream, 2).expect_err("nothing arrives");
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            link.set(Weather::Clear);
            stream.set_read_timeout(None).expect("no timeout");
            let mut answer = [0];
            (&stream).read_exact(&mut answer).expect("it arrives now");
            assert_eq!(answer[0], 2);
        }
    }
}
