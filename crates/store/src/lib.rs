//! The store.

pub mod index;
pub mod key;
pub mod slot;
