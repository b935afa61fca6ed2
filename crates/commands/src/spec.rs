//! What is declared of a command.

use std::ops::BitOr;

/// A command: its declaration and its code. `H` is the kind of handler.
pub struct Command<H: 'static> {
    /// The declaration.
    pub spec: Spec,
    /// The code.
    pub run: H,
    /// Commands that are its first argument (`CONFIG GET`); empty for most.
    pub subcommands: &'static [Command<H>],
}

impl<H> Command<H> {
    /// A command without subcommands.
    pub const fn new(spec: Spec, run: H) -> Command<H> {
        Command { spec, run, subcommands: &[] }
    }
}

/// The declaration of a command, in the terms of COMMAND INFO and COMMAND DOCS.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Lower case; a subcommand's own name without its container's.
    pub name: &'static str,
    /// Arguments with the name: exactly n, or at least -n.
    pub arity: i16,
    /// What it does and where it is allowed.
    pub flags: Flags,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// The chapter of the manual.
    pub group: Group,
    /// The release of Redis that had it first.
    pub since: &'static str,
    /// One line.
    pub summary: &'static str,
    /// In the terms of COMMAND DOCS.
    pub complexity: &'static str,
    /// For COMMAND DOCS.
    pub args: &'static [Arg],
    /// Hints for clients and proxies that COMMAND INFO passes on.
    pub tips: &'static [&'static str],
}

impl Spec {
    /// A declaration to start from with `..Spec::BASE`.
    pub const BASE: Spec = Spec {
        name: "",
        arity: -1,
        flags: Flags::NONE,
        keys: &[],
        group: Group::Generic,
        since: "1.0.0",
        summary: "",
        complexity: "O(1)",
        args: &[],
        tips: &[],
    };

    /// Whether a call with this many arguments (the name included) fits.
    #[inline]
    #[must_use]
    pub fn takes(&self, len: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity >= 0 { len == arity } else { len >= arity }
    }
}

/// A set of properties of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags(u32);

impl Flags {
    /// None.
    pub const NONE: Flags = Flags(0);
    /// It may change data.
    pub const WRITE: Flags = Flags(1);
    /// It reads data and changes none.
    pub const READONLY: Flags = Flags(1 << 1);
    /// It may need more memory: refused when `maxmemory` is reached.
    pub const DENYOOM: Flags = Flags(1 << 2);
    /// It is about the server itself.
    pub const ADMIN: Flags = Flags(1 << 3);
    /// It is about channels.
    pub const PUBSUB: Flags = Flags(1 << 4);
    /// Not allowed in scripts.
    pub const NOSCRIPT: Flags = Flags(1 << 5);
    /// Allowed while data is loaded.
    pub const LOADING: Flags = Flags(1 << 6);
    /// Allowed on a follower that has lost its leader.
    pub const STALE: Flags = Flags(1 << 7);
    /// Not shown by MONITOR.
    pub const SKIP_MONITOR: Flags = Flags(1 << 8);
    /// Not kept by SLOWLOG.
    pub const SKIP_SLOWLOG: Flags = Flags(1 << 9);
    /// Constant or logarithmic time.
    pub const FAST: Flags = Flags(1 << 10);
    /// Allowed before AUTH.
    pub const NO_AUTH: Flags = Flags(1 << 11);
    /// It may be refused where writes are refused, though it is none (PUBLISH).
    pub const MAY_REPLICATE: Flags = Flags(1 << 12);
    /// Not allowed within MULTI.
    pub const NO_MULTI: Flags = Flags(1 << 13);
    /// It may park its connection.
    pub const BLOCKING: Flags = Flags(1 << 14);
    /// Its keys can't be told from its arguments alone.
    pub const MOVABLE_KEYS: Flags = Flags(1 << 15);
    /// Allowed while a script runs for too long.
    pub const ALLOW_BUSY: Flags = Flags(1 << 16);
    /// Not allowed while a follower loads its leader's data and still serves its own.
    pub const NO_ASYNC_LOADING: Flags = Flags(1 << 17);
    /// Ours, not shown: it walks over keys that it does not name, a stripe at a time.
    pub const WALKS: Flags = Flags(1 << 24);
    /// Ours, not shown: it needs the exclusive gate.
    pub const EXCLUSIVE: Flags = Flags(1 << 25);
    /// Ours: shown in the ACL category `dangerous`.
    pub const DANGEROUS: Flags = Flags(1 << 26);
    /// Ours: executed at once within MULTI instead of being queued (EXEC, DISCARD, WATCH, ...).
    pub const NOT_QUEUED: Flags = Flags(1 << 27);
    /// Ours: shown in the ACL categories `admin` and `dangerous`, though it only tells.
    pub const REVEALS: Flags = Flags(1 << 28);
    /// Ours: shown in the ACL category `connection`, whatever its chapter.
    pub const CONNECTION: Flags = Flags(1 << 29);

    /// Whether all of `other` are set.
    #[inline]
    #[must_use]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is set.
    #[inline]
    #[must_use]
    pub const fn has_any(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets together, in constants.
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// The names that COMMAND INFO shows, in its order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(Flags, &str); 18] = [
            (Flags::WRITE, "write"),
            (Flags::READONLY, "readonly"),
            (Flags::DENYOOM, "denyoom"),
            (Flags::ADMIN, "admin"),
            (Flags::PUBSUB, "pubsub"),
            (Flags::NOSCRIPT, "noscript"),
            (Flags::BLOCKING, "blocking"),
            (Flags::LOADING, "loading"),
            (Flags::STALE, "stale"),
            (Flags::SKIP_MONITOR, "skip_monitor"),
            (Flags::SKIP_SLOWLOG, "skip_slowlog"),
            (Flags::FAST, "fast"),
            (Flags::NO_AUTH, "no_auth"),
            (Flags::MAY_REPLICATE, "may_replicate"),
            (Flags::NO_ASYNC_LOADING, "no_async_loading"),
            (Flags::NO_MULTI, "no_multi"),
            (Flags::MOVABLE_KEYS, "movablekeys"),
            (Flags::ALLOW_BUSY, "allow_busy"),
        ];
        NAMES.into_iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| name)
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        self.with(other)
    }
}

/// The chapter of the manual a command stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Keys of any type.
    Generic,
    /// Strings and counters.
    String,
    /// Strings as rows of bits.
    Bitmap,
    /// The connection itself.
    Connection,
    /// The server.
    Server,
    /// Channels.
    Pubsub,
    /// MULTI and what belongs to it.
    Transactions,
    /// The cluster that a node belongs to.
    Cluster,
    /// What clients of Sentinel ask.
    Sentinel,
}

impl Group {
    /// As COMMAND DOCS spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::Bitmap => "bitmap",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Pubsub => "pubsub",
            Group::Transactions => "transactions",
            Group::Cluster => "cluster",
            Group::Sentinel => "sentinel",
        }
    }
}

/// What a command does with a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reads the value: `RO ACCESS`.
    Read,
    /// Reads only what is known about the key: `RO`.
    Inspect,
    /// Overwrites without reading: `OW UPDATE`.
    Overwrite,
    /// Overwrites what may be new: `OW INSERT`.
    Insert,
    /// Reads and changes: `RW ACCESS UPDATE`.
    ReadUpdate,
    /// Changes without showing: `RW UPDATE`.
    Update,
    /// Adds to what may be there: `RW INSERT`.
    Extend,
    /// Reads and changes, or less, as the options say: `RW ACCESS UPDATE VARIABLE_FLAGS`.
    Variable,
    /// Shows and deletes: `RW ACCESS DELETE`.
    ReadDelete,
    /// Deletes: `RM DELETE`.
    Delete,
    /// It is no key but a channel, which has a slot like one: `not_key`.
    Channel,
}

impl Access {
    /// The flags that COMMAND INFO shows for such a key.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Access::Read => &["RO", "access"],
            Access::Inspect => &["RO"],
            Access::Overwrite => &["OW", "update"],
            Access::Insert => &["OW", "insert"],
            Access::ReadUpdate => &["RW", "access", "update"],
            Access::Update => &["RW", "update"],
            Access::Extend => &["RW", "insert"],
            Access::Variable => &["RW", "access", "update", "variable_flags"],
            Access::ReadDelete => &["RW", "access", "delete"],
            Access::Delete => &["RM", "delete"],
            Access::Channel => &["not_key"],
        }
    }
}

/// A run of keys among the arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeySpec {
    /// Index of the first key; the name is 0.
    pub first: u8,
    /// Index of the last one; negative counts from the end, -1 is the last argument.
    pub last: i8,
    /// Distance between keys.
    pub step: u8,
    /// What is done with them.
    pub access: Access,
}

impl KeySpec {
    /// One key at an index.
    #[must_use]
    pub const fn one(at: u8, access: Access) -> KeySpec {
        KeySpec { first: at, last: at as i8, step: 1, access }
    }

    /// Every `step`-th argument from `first` to the end.
    #[must_use]
    pub const fn to_end(first: u8, step: u8, access: Access) -> KeySpec {
        KeySpec { first, last: -1, step, access }
    }

    /// The indexes of the keys in a call with `len` arguments.
    pub fn indexes(self, len: usize) -> impl Iterator<Item = usize> {
        let last = if self.last < 0 {
            len.saturating_sub(usize::from(self.last.unsigned_abs()))
        } else {
            usize::from(self.last.unsigned_abs())
        };
        (usize::from(self.first)..=last.min(len.saturating_sub(1))).step_by(usize::from(self.step))
    }
}

/// An argument, for COMMAND DOCS.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: ArgKind,
    /// The word before or instead of the value; empty for none.
    pub token: &'static str,
    /// May be left out.
    pub optional: bool,
    /// May be given several times.
    pub multiple: bool,
}

impl Arg {
    /// A required argument.
    #[must_use]
    pub const fn required(name: &'static str, kind: ArgKind) -> Arg {
        Arg { name, kind, token: "", optional: false, multiple: false }
    }

    /// An optional argument, behind a word (or, with [`ArgKind::PureToken`], the word itself).
    #[must_use]
    pub const fn optional(name: &'static str, token: &'static str, kind: ArgKind) -> Arg {
        Arg { name, kind, token, optional: true, multiple: false }
    }

    /// A required value behind a word, as a choice or within a block.
    #[must_use]
    pub const fn behind(name: &'static str, token: &'static str, kind: ArgKind) -> Arg {
        Arg { name, kind, token, optional: false, multiple: false }
    }

    /// A word that stands for itself, as a choice.
    #[must_use]
    pub const fn word(name: &'static str, token: &'static str) -> Arg {
        Arg::behind(name, token, ArgKind::PureToken)
    }

    /// One or more.
    #[must_use]
    pub const fn several(name: &'static str, kind: ArgKind) -> Arg {
        Arg { name, kind, token: "", optional: false, multiple: true }
    }
}

/// The kind of an argument.
#[derive(Clone, Copy, Debug)]
pub enum ArgKind {
    /// A key; the index of its key spec.
    Key(u8),
    /// Any bytes.
    String,
    /// A signed integer.
    Integer,
    /// A floating point number.
    Double,
    /// Seconds or milliseconds since 1970.
    UnixTime,
    /// A glob pattern.
    Pattern,
    /// The word alone.
    PureToken,
    /// One of these.
    OneOf(&'static [Arg]),
    /// All of these, together.
    Block(&'static [Arg]),
}
