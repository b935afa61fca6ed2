//! The command table: every command of every family, found by name.
//!
//! Built once. A name of up to 16 bytes is looked up as one integer; case is folded while it is
//! loaded.

use std::sync::LazyLock;

use trefoil_commands::{Access, Command, DataHandler, Flags, KeySpec, Spec};
use trefoil_wire::Args;

use crate::families;
use crate::handler::NodeHandler;

/// The code of a command, and what it runs under.
#[derive(Clone, Copy)]
pub enum Run {
    /// Works on data: the handler, and which locks it needs.
    Data(DataHandler, Locking),
    /// Works on the connection or the node.
    Node(NodeHandler),
}

/// Which locks a command on data needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Locking {
    /// The stripe of its only key, at index 1.
    Single,
    /// The stripes of all its keys.
    Several,
    /// None: it walks, a stripe at a time.
    Walks,
    /// The exclusive gate.
    Exclusive,
}

/// A command in the table.
pub struct Entry {
    /// Its place in the table: an index into counters.
    pub id: u16,
    /// Its declaration.
    pub spec: Spec,
    /// Its code.
    pub run: Run,
    /// `config|get` for subcommands, else the name.
    pub full_name: String,
    /// Commands that are its first argument.
    pub subcommands: Vec<Entry>,
}

impl Entry {
    /// The subcommand with this name.
    #[must_use]
    pub fn subcommand(&self, name: &[u8]) -> Option<&Entry> {
        self.subcommands.iter().find(|entry| entry.spec.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// What a call of this container means: itself without arguments, else a subcommand.
    #[must_use]
    pub fn within(&self, args: Args<'_>) -> Option<&Entry> {
        if args.len() == 1 { Some(self) } else { self.subcommand(args.get(1)) }
    }

    /// The indexes of the keys in a call with `len` arguments. Channels are none.
    pub fn key_indexes(&self, len: usize) -> impl Iterator<Item = usize> + use<> {
        let keys = self.spec.keys.iter().filter(|keys| keys.access != Access::Channel);
        keys.flat_map(move |keys| keys.indexes(len))
    }
}

/// All commands.
pub struct Table {
    slots: Box<[Option<u16>; SLOTS]>,
    entries: Vec<Entry>,
    names: Vec<Name>,
    entries_total: usize,
}

const SLOTS: usize = 2_048;
const NAME_LEN_MAX: usize = 16;

/// A folded name of up to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Name {
    bytes: u128,
    len: usize,
}

impl Name {
    /// None: longer than any name in the table.
    #[inline(always)]
    fn fold(name: &[u8]) -> Option<Name> {
        const LOWER: u128 = u128::from_ne_bytes([0x20; 16]);
        if name.len() > NAME_LEN_MAX {
            return None;
        }
        let mut bytes = [0; NAME_LEN_MAX];
        bytes[..name.len()].copy_from_slice(name);
        Some(Name { bytes: u128::from_le_bytes(bytes) | LOWER, len: name.len() })
    }

    #[inline(always)]
    fn slot(self) -> usize {
        let folded = (self.bytes as u64) ^ ((self.bytes >> 64) as u64).rotate_left(29);
        (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 53) as usize
    }
}

/// The table.
pub static TABLE: LazyLock<Table> = LazyLock::new(Table::build);

impl Table {
    fn build() -> Table {
        let mut next_id = 0;
        let data = trefoil_commands::families::all().map(|command| {
            entry(command, "", &mut next_id, |run, spec| Run::Data(run, locking(spec)))
        });
        let mut entries: Vec<Entry> = data.collect();
        for command in families::all() {
            entries.push(entry(command, "", &mut next_id, |run, _| Run::Node(run)));
        }
        let mut table = Table {
            slots: Box::new([None; SLOTS]),
            entries,
            names: Vec::new(),
            entries_total: usize::from(next_id),
        };
        for (index, entry) in table.entries.iter().enumerate() {
            let name = Name::fold(entry.spec.name.as_bytes()).expect("command names are short");
            let mut slot = name.slot();
            while table.slots[slot].is_some() {
                slot = (slot + 1) % SLOTS;
            }
            table.slots[slot] = Some(index as u16);
            table.names.push(name);
        }
        table
    }

    /// The command with this name, in any case.
    #[inline]
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&Entry> {
        let name = Name::fold(name)?;
        let mut slot = name.slot();
        while let Some(index) = self.slots[slot] {
            let index = usize::from(index);
            if self.names[index] == name {
                let entry = &self.entries[index];
                return Some(entry);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }

    /// The command that a call means: a container's subcommand if it names one. None: there is no
    /// such command, or no such subcommand.
    #[must_use]
    pub fn resolve(&self, args: Args<'_>) -> Option<&Entry> {
        let entry = self.find(args.name())?;
        if entry.subcommands.is_empty() { Some(entry) } else { entry.within(args) }
    }

    /// The command or subcommand with this id.
    #[must_use]
    pub fn by_id(&self, id: u16) -> Option<&Entry> {
        let at = self.entries.partition_point(|entry| entry.id <= id).checked_sub(1)?;
        let entry = &self.entries[at];
        match usize::from(id - entry.id) {
            0 => Some(entry),
            nth => entry.subcommands.get(nth - 1),
        }
    }

    /// All commands, subcommands within them.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many entries there are, subcommands included: the number of counters.
    pub fn len(&self) -> usize {
        self.entries_total
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn entry<H: Copy>(
    command: &'static Command<H>,
    container: &str,
    next_id: &mut u16,
    run: impl Fn(H, &Spec) -> Run + Copy,
) -> Entry {
    let name = command.spec.name;
    let full_name =
        if container.is_empty() { name.to_string() } else { format!("{container}|{name}") };
    let id = *next_id;
    *next_id += 1;
    let subcommands =
        command.subcommands.iter().map(|sub| entry(sub, &full_name, next_id, run)).collect();
    Entry { id, spec: command.spec, run: run(command.run, &command.spec), full_name, subcommands }
}

fn locking(spec: &Spec) -> Locking {
    const ONLY_KEY_AT_1: fn(&KeySpec) -> bool =
        |keys| keys.first == 1 && keys.last == 1 && keys.step == 1;
    match spec.keys {
        _ if spec.flags.has(Flags::EXCLUSIVE) => Locking::Exclusive,
        _ if spec.flags.has(Flags::WALKS) => Locking::Walks,
        [] => Locking::Walks,
        [keys] if ONLY_KEY_AT_1(keys) => Locking::Single,
        _ => Locking::Several,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name_in_any_case() {
        for entry in TABLE.entries() {
            let upper = entry.spec.name.to_ascii_uppercase();
            for name in [entry.spec.name, &upper] {
                let found = TABLE.find(name.as_bytes()).expect("it is in the table");
                assert_eq!(found.id, entry.id);
                for entry in found.subcommands.iter().chain([found]) {
                    assert_eq!(TABLE.by_id(entry.id).map(|e| &e.full_name), Some(&entry.full_name));
                }
            }
        }
        for name in ["", "gett", "ge", "get\0", "no-such-command", "a-name-longer-than-any-other"] {
            assert!(TABLE.find(name.as_bytes()).is_none(), "{name}");
        }
    }
}
