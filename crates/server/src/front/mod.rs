//! The front door: which addresses are listened on, who is let in, and to which worker they go.

mod acceptor;
mod listener;
mod tls;

pub(crate) use acceptor::{Acceptor, is_scarcity};
pub(crate) use listener::{Listener, bind};
pub(crate) use tls::server_config;
