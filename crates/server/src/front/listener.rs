//! Sockets that clients connect to.
//!
//! Bound first and listening last: a port that is taken is told before anything is loaded, and who
//! connects before the data is there is refused instead of kept waiting.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};
use trefoil_node::settings::Settings;

/// A bound socket.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
    socket: Socket,
}

/// An address of `bind`.
struct Place {
    ip: IpAddr,
    /// The server starts even if this host does not have it.
    optional: bool,
}

/// Binds every address of `bind` to `port` and to `tls-port`.
pub(crate) fn bind(settings: &Settings) -> Result<Vec<Listener>> {
    let text = settings.bind.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let places = places(&String::from_utf8_lossy(&text))?;
    let port = settings.port.load(Relaxed) as u16;
    let tls_port = settings.tls_port.load(Relaxed) as u16;
    let mut listeners = Vec::new();
    // Without a TLS port, port 0 means any that is free.
    if port != 0 || tls_port == 0 {
        bind_port(&places, port, &mut listeners)?;
    }
    if tls_port != 0 {
        let plain = listeners.len();
        bind_port(&places, tls_port, &mut listeners)?;
        for listener in &mut listeners[plain..] {
            listener.tls = true;
        }
    }
    ensure!(!listeners.is_empty(), "this host has none of the addresses of `bind`");
    Ok(listeners)
}

fn bind_port(places: &[Place], mut port: u16, listeners: &mut Vec<Listener>) -> Result<()> {
    for place in places {
        match Listener::bind(SocketAddr::new(place.ip, port)) {
            Ok(listener) => {
                port = listener.address.port();
                listeners.push(listener);
            }
            Err(error) if place.optional && is_absence(&error) => {}
            Err(error) => {
                let advice = advice(&error, place.ip, port);
                return Err(error).context(advice);
            }
        }
    }
    Ok(())
}

impl Listener {
    fn bind(address: SocketAddr) -> io::Result<Listener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart need not wait for the last connections of the old process to be forgotten.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Listener { address, tls: false, socket })
    }

    /// Begins to listen; so many connections may wait to be accepted.
    pub(crate) fn listen(&self, backlog: i32) -> Result<mio::net::TcpListener> {
        let listening = self.socket.listen(backlog).and_then(|()| self.socket.try_clone());
        let socket =
            listening.with_context(|| advice_in_use(self.address.ip(), self.address.port()))?;
        Ok(mio::net::TcpListener::from_std(socket.into()))
    }
}

/// Reads `bind`: addresses or names of this host, `*` for all of IPv4, `::*` for all of IPv6; with a
/// `-` before it, one that may be missing.
fn places(text: &str) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for word in text.split_whitespace() {
        let (optional, name) = match word.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, word),
        };
        let ip = match name {
            "*" => Ipv4Addr::UNSPECIFIED.into(),
            "::*" => Ipv6Addr::UNSPECIFIED.into(),
            _ => match name.parse() {
                Ok(ip) => ip,
                Err(_) => resolve(name)?,
            },
        };
        places.push(Place { ip, optional });
    }
    if places.is_empty() {
        bail!("`bind` names no address; use 127.0.0.1 for this host only, * for every network");
    }
    Ok(places)
}

fn resolve(name: &str) -> Result<IpAddr> {
    let found = (name, 0).to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    let address = found.with_context(|| {
        format!("`bind {name}`: that is neither an address nor a name that is known here")
    })?;
    Ok(address.ip())
}

/// Whether this host does not have the address, or not that family.
fn is_absence(error: &io::Error) -> bool {
    let unsupported = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(unsupported)
}

fn advice(error: &io::Error, ip: IpAddr, port: u16) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => advice_in_use(ip, port),
        io::ErrorKind::AddrNotAvailable => {
            format!("this host has no address {ip}; see --bind (`ip address` lists what it has)")
        }
        io::ErrorKind::PermissionDenied => {
            format!("port {port} is not allowed for this user; choose one above 1023 with --port")
        }
        _ => format!("can't listen on {}", SocketAddr::new(ip, port)),
    }
}

fn advice_in_use(ip: IpAddr, port: u16) -> String {
    format!(
        "port {port} of {ip} is taken; stop who has it (`ss -ltnp sport = :{port}` tells) or choose another with --port"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_takes_several_addresses_in_redis_s_spelling() {
        let read = places("127.0.0.1 -::1 * -::*").expect("good addresses");
        let shown: Vec<_> =
            read.iter().map(|place| (place.ip.to_string(), place.optional)).collect();
        let expected = [("127.0.0.1", false), ("::1", true), ("0.0.0.0", false), ("::", true)];
        assert_eq!(shown, expected.map(|(ip, optional)| (ip.to_string(), optional)));
        assert!(places(" ").is_err());
        assert!(places("no/such/host").is_err());
    }

    #[test]
    fn a_port_that_is_taken_is_told_with_what_to_do() {
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let first = Listener::bind(SocketAddr::new(loopback, 0)).expect("a free port");
        let _listening = first.listen(1).expect("it is ours");
        let again = Listener::bind(first.address).err().expect("it is taken");
        assert!(advice(&again, loopback, first.address.port()).contains("--port"));
    }
}
