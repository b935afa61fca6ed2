//! Where HTTP is answered.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::sync::PoisonError;

use anyhow::{Context as _, Result, anyhow};
use trefoil_node::settings::Settings;

/// The socket that `http` asks for. None: it says off, or it is the default and that port is taken:
/// a second node on a host starts all the same.
pub(super) fn bind(settings: &Settings) -> Result<Option<TcpListener>> {
    let bytes = settings.http.read().unwrap_or_else(PoisonError::into_inner).clone();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let asked = if settings.is_given("http") { Asked::For } else { Asked::ByDefault };
    bind_to(&text, asked)
}

/// Whether somebody wants HTTP to be answered there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    For,
    ByDefault,
}

fn bind_to(text: &str, asked: Asked) -> Result<Option<TcpListener>> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    match resolve(text)?.as_slice() {
        [] => Err(anyhow!("--http {text}: the name has no address")),
        addresses => match TcpListener::bind(addresses) {
            Ok(listener) => Ok(Some(listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && asked == Asked::ByDefault => {
                eprintln!(
                    "trefoil: {text} is taken, so this node answers no HTTP (/metrics, /healthz); choose another address with --http"
                );
                Ok(None)
            }
            Err(error) => {
                let advice = "choose another address with --http HOST:PORT, or --http off";
                Err(error).with_context(|| format!("HTTP can't be answered on {text}; {advice}"))
            }
        },
    }
}

fn resolve(text: &str) -> Result<Vec<SocketAddr>> {
    let addresses = text.to_socket_addrs();
    let addresses = addresses.with_context(|| format!("--http {text}: that is no address"))?;
    Ok(addresses.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_default_gives_way_if_it_is_taken() {
        let first =
            bind_to("127.0.0.1:0", Asked::For).expect("a free port").expect("it is not off");
        let taken = first.local_addr().expect("it is bound").to_string();
        assert!(bind_to(&taken, Asked::ByDefault).expect("it gives way").is_none());
        let error = bind_to(&taken, Asked::For).expect_err("it was asked for");
        assert!(error.to_string().contains("--http"), "{error}");
    }

    #[test]
    fn off_is_no_address_and_nonsense_is_told() {
        assert!(bind_to("off", Asked::For).expect("nothing to do").is_none());
        assert!(bind_to("no port", Asked::ByDefault).is_err());
    }
}
