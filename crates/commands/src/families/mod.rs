//! The families, one file or folder each, named with the user's nouns.

mod string;

use crate::call::DataHandler;
use crate::spec::Command;

/// Every command that works on data.
pub fn all() -> impl Iterator<Item = &'static Command<DataHandler>> {
    [string::COMMANDS].into_iter().flatten()
}
