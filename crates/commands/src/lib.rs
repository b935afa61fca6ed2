//! Commands: how one is declared, and the families that work on data.
//!
//! A command is declared beside its code: a [`Spec`] (what COMMAND INFO and COMMAND DOCS say, and
//! what the dispatcher checks), then the function. A handler sees its arguments, a transaction and a
//! reply; it cannot reach a lock, the log, a clock or a socket. Commands about connections and the
//! server are declared the same way where those things are, in the node.
//!
//! Adding a family is adding a file to `families/` and its commands to [`families::all`].

mod call;
mod deadline;
mod error;
mod extended;
pub mod families;
mod glob;
mod numbers;
mod spec;
#[cfg(test)]
mod testing;

pub use call::{Call, DataHandler};
pub use error::CommandError;
pub use glob::glob_match;
pub use numbers::{parse_f64, parse_i64, parse_u64};
pub use spec::{Access, Arg, ArgKind, Command, Flags, Group, KeySpec, Spec};
