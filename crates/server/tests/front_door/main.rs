//! The front door of the real binary: limits, bad input, slow and silent peers, starting and stopping.

mod bad_input;
mod http;
mod limits;
mod memory;
mod node;
mod peers;
mod peers_tls;
mod process;
mod slow_peers;
mod tls;
