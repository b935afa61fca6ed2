//! A keyspace and a dispatcher for tests: a line in, the bytes of the reply out.

use trefoil_clock::{Hlc, Lsn};
use trefoil_store::txn::{StripeId, Txn, Writer};
use trefoil_store::{KeyHasher, Keyspace, Sequencer};
use trefoil_wire::resp::{Protocol, Reply, ReplyBuf};
use trefoil_wire::{Args, Span};

use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families;
use crate::spec::{Command, Flags};

/// When tests begin, Unix milliseconds.
pub(crate) const START_MS: u64 = 1_000_000_000;

/// One client's server.
pub(crate) struct Server {
    pub(crate) keyspace: Keyspace,
    pub(crate) db: u8,
    pub(crate) string_len_max: usize,
    writer: Writer,
    protocol: Protocol,
}

impl Server {
    pub(crate) fn new() -> Server {
        let mut writer = Writer::new(0, 1);
        writer.now_ms = START_MS;
        Server {
            keyspace: Keyspace::new(
                KeyHasher::new(42),
                Sequencer::starting_after(Lsn(0), Hlc(0)),
                1,
            ),
            db: 0,
            string_len_max: 512 << 20,
            writer,
            protocol: Protocol::Resp2,
        }
    }

    pub(crate) fn speak_resp3(&mut self) {
        self.protocol = Protocol::Resp3;
    }

    pub(crate) fn pass_ms(&mut self, millis: u64) {
        self.writer.now_ms += millis;
    }

    /// Runs the commands in order and compares each reply; line ends are written as blanks, control
    /// characters as `\xHH`.
    pub(crate) fn check(&mut self, cases: &[(&str, &str)]) {
        for (line, expected) in cases {
            assert_eq!(self.run(line), *expected, "{line}");
        }
    }

    /// Runs a line: words between blanks, or between double quotes with the escapes of Rust.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let words = words(line);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let reply = self.run_words(&words);
        let reply = reply.strip_suffix(b"\r\n").expect("replies end with a line end");
        let blanked = String::from_utf8_lossy(reply).replace("\r\n", " ");
        blanked
            .chars()
            .map(
                |c| if c.is_control() { format!("\\x{:02x}", u32::from(c)) } else { c.to_string() },
            )
            .collect()
    }

    /// Runs a command and returns its reply as it is.
    pub(crate) fn run_words(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut spans = Vec::new();
        for word in words {
            spans.push(Span { start: bytes.len() as u32, len: word.len() as u32 });
            bytes.extend_from_slice(word);
        }
        let args = Args::new(&bytes, &spans);
        let mut buf = ReplyBuf::new();
        if let Err(error) = self.dispatch(args, &mut buf) {
            assert!(buf.is_empty(), "a failed command wrote a reply: {args:?}");
            Reply::new(&mut buf, self.protocol).error(&error.text());
        }
        let mut reply = Vec::new();
        while !buf.is_empty() {
            let len = {
                let piece = buf.next_slice(buf.position());
                reply.extend_from_slice(piece);
                piece.len()
            };
            buf.advance(len);
        }
        reply
    }

    fn dispatch(&mut self, args: Args<'_>, buf: &mut ReplyBuf) -> Result<(), CommandError> {
        let command = find(args);
        if !command.spec.takes(args.len()) {
            return Err(CommandError::WrongArity(command.spec.name));
        }
        let flags = command.spec.flags;
        let mut stripes: Vec<StripeId> = command
            .spec
            .keys
            .iter()
            .flat_map(|keys| keys.indexes(args.len()))
            .map(|at| StripeId::of(&self.keyspace, self.db, &self.keyspace.key(args.get(at))))
            .collect();
        let mut txn = if flags.has(Flags::EXCLUSIVE) {
            Txn::exclusive(&self.keyspace, &mut self.writer, self.db)
        } else {
            assert!(stripes.is_empty() || !flags.has(Flags::WALKS), "walkers name no keys");
            Txn::several(&self.keyspace, &mut self.writer, self.db, &mut stripes)
        };
        let mut call = Call {
            args,
            txn: &mut txn,
            out: Reply::new(buf, self.protocol),
            db: self.db,
            string_len_max: self.string_len_max,
            first_key: None,
        };
        let result = (command.run)(&mut call);
        let written = txn.commit().written;
        assert!(written.is_none() || flags.has(Flags::WRITE) || result.is_ok(), "{args:?} wrote");
        result
    }
}

fn find(args: Args<'_>) -> &'static Command<DataHandler> {
    let is = |command: &Command<DataHandler>, word: &[u8]| {
        command.spec.name.as_bytes().eq_ignore_ascii_case(word)
    };
    let command = families::all()
        .find(|command| is(command, args.name()))
        .unwrap_or_else(|| panic!("no such command: {args:?}"));
    let subcommand = || command.subcommands.iter().find(|command| is(command, args.get(1)));
    if args.len() > 1 { subcommand().unwrap_or(command) } else { command }
}

fn words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let end = match rest.strip_prefix('"') {
            Some(quoted) => {
                let len = quoted.find('"').expect("a closing quote");
                words.push(unescape(&quoted[..len]));
                len + 2
            }
            None => {
                let len = rest.find(' ').unwrap_or(rest.len());
                words.push(rest.as_bytes()[..len].to_vec());
                len
            }
        };
        rest = rest[end..].trim_start();
    }
    words
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match tail {
            [b'x', high, low, after @ ..] if *first == b'\\' => {
                let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hex digit") as u8;
                bytes.push(digit(*high) << 4 | digit(*low));
                after
            }
            _ => {
                bytes.push(*first);
                tail
            }
        };
    }
    bytes
}
