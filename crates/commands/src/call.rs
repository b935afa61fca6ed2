//! What a handler sees of a call.

use trefoil_store::Key;
use trefoil_store::txn::Txn;
use trefoil_wire::Args;
use trefoil_wire::resp::Reply;

use crate::error::CommandError;

/// The code of a command that works on data.
pub type DataHandler = fn(&mut Call<'_, '_>) -> Result<(), CommandError>;

/// One call of a command. A handler that returns an error has written no reply and changed nothing.
pub struct Call<'c, 't> {
    /// The arguments, the command's name first.
    pub args: Args<'c>,
    /// The transaction, holding the stripes of the declared keys.
    pub txn: &'c mut Txn<'t>,
    /// Where the reply goes.
    pub out: Reply<'c>,
    /// The database that the connection has selected.
    pub db: u8,
    /// How long a string may get, bytes (`proto-max-bulk-len`).
    pub string_len_max: usize,
    /// The key at index 1, if it has been computed already.
    pub first_key: Option<Key<'c>>,
}

impl<'c> Call<'c, '_> {
    /// The key at an argument's index.
    #[inline]
    #[must_use]
    pub fn key(&self, at: usize) -> Key<'c> {
        match self.first_key {
            Some(key) if at == 1 => key,
            _ => self.txn.key(self.args.get(at)),
        }
    }

    /// The argument at an index.
    #[inline]
    #[must_use]
    pub fn arg(&self, at: usize) -> &'c [u8] {
        self.args.get(at)
    }

    /// How many arguments there are, the name included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.args.len()
    }

    /// Never: a call has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.args.len() == 0
    }

    /// The argument at an index as an integer, as strictly as Redis reads it.
    pub fn integer(&self, at: usize) -> Result<i64, CommandError> {
        crate::numbers::parse_i64(self.arg(at)).ok_or(CommandError::NotInteger)
    }

    /// Whether the argument at an index is this word, in any case.
    #[must_use]
    pub fn is(&self, at: usize, word: &str) -> bool {
        self.arg(at).eq_ignore_ascii_case(word.as_bytes())
    }
}
