//! Whether a command may run now: the checks that plain sessions on a quiet node never pay for.
//!
//! Called only when the session is restricted in some way or the node is special (see
//! [`crate::session::Restrictions`], [`crate::node::Node::special`]).

use trefoil_wire::Args;
use trefoil_wire::resp::ReplyBuf;

use crate::session::Session;
use crate::table::Entry;

use super::{Ran, Worker};

impl Worker {
    /// What came of the command already, if it is not to be run the plain way.
    #[cold]
    pub(super) fn admit(
        &mut self,
        _session: &mut Session,
        _entry: &'static Entry,
        _args: Args<'_>,
        _out: &mut ReplyBuf,
    ) -> Option<Ran> {
        None
    }
}
