//! Writes replies in the version of the protocol that the client chose.
//!
//! A command says what it answers ("a map of three pairs"), this file knows how RESP2 and RESP3
//! spell it. Nothing here can fail. That as many elements follow as an aggregate announced is the
//! caller's duty.

use super::double::format_double;
use super::reply_buf::{ReplyBuf, SharedBytes};

/// Shared values below this length are copied: an entry of a gathering write costs more.
const SHARED_LEN_MIN: usize = 4096;
/// Longest line made of a type byte and a number: `:-9223372036854775808\r\n`.
const NUMBER_LINE_LEN_MAX: usize = 23;
/// Lengths whose `$N\r\n` line is kept ready.
const READY_LINES: usize = 256;

/// Ready `$N\r\n` lines; the last byte is the line's length.
static BULK_LINES: [[u8; 8]; READY_LINES] = bulk_lines();

const fn bulk_lines() -> [[u8; 8]; READY_LINES] {
    let mut lines = [[0; 8]; READY_LINES];
    let mut n = 0;
    while n < READY_LINES {
        let (hundreds, tens, ones) = (n / 100, n / 10 % 10, n % 10);
        let mut line = [b'$', 0, 0, 0, 0, 0, 0, 0];
        let mut at = 1;
        if hundreds > 0 {
            line[at] = b'0' + hundreds as u8;
            at += 1;
        }
        if n >= 10 {
            line[at] = b'0' + tens as u8;
            at += 1;
        }
        line[at] = b'0' + ones as u8;
        line[at + 1] = b'\r';
        line[at + 2] = b'\n';
        line[7] = at as u8 + 3;
        lines[n] = line;
        n += 1;
    }
    lines
}

/// The version of RESP that a connection speaks, chosen by HELLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2, where every connection starts.
    #[default]
    Resp2,
    /// RESP3: null, doubles, booleans, maps, sets and pushes have types of their own.
    Resp3,
}

/// An aggregate whose number of elements is not known yet; goes to one of `Reply::end_*`.
#[derive(Debug)]
#[must_use = "an aggregate that was begun must be ended"]
pub struct Aggregate {
    /// Number of the own byte of the buffer at which the header stands.
    own: u64,
}

/// Stands for a header that is set later; long enough for numbers of one digit.
const PLACEHOLDER: &[u8] = b"*0\r\n";

/// Where a command writes its reply.
#[derive(Debug)]
pub struct Reply<'a> {
    /// The connection's output.
    pub buf: &'a mut ReplyBuf,
    /// How to spell it.
    pub protocol: Protocol,
}

impl<'a> Reply<'a> {
    /// Replies into `buf`.
    #[inline]
    pub fn new(buf: &'a mut ReplyBuf, protocol: Protocol) -> Self {
        Self { buf, protocol }
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.buf.extend(b"+OK\r\n");
    }

    /// A status such as `QUEUED`. Line ends in it become blanks.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error; `text` begins with its code, as in `WRONGTYPE ...`. Line ends in it become blanks.
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text.trim_end_matches(['\r', '\n']).as_bytes());
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        if let digit @ 0..=9 = value {
            self.buf.extend(&[b':', b'0' + digit as u8, b'\r', b'\n']);
        } else {
            self.number_line(b':', value);
        }
    }

    /// A string of any bytes.
    #[inline]
    pub fn bulk(&mut self, value: &[u8]) {
        self.buf.bytes.reserve(value.len() + NUMBER_LINE_LEN_MAX + 2);
        self.bulk_line(value.len());
        self.buf.bytes.extend_from_slice(value);
        self.buf.bytes.extend_from_slice(b"\r\n");
    }

    /// A string that the store goes on holding; a long one is referenced, not copied.
    pub fn bulk_shared(&mut self, value: &SharedBytes) {
        if value.len() < SHARED_LEN_MIN {
            return self.bulk(value);
        }
        self.bulk_line(value.len());
        self.buf.extend_shared(value);
        self.buf.extend(b"\r\n");
    }

    /// An integer as a string, as GET answers for a counter.
    #[inline]
    pub fn bulk_integer(&mut self, value: i64) {
        let mut digits = itoa::Buffer::new();
        self.bulk(digits.format(value).as_bytes());
    }

    /// No value where a string could be.
    #[inline]
    pub fn null(&mut self) {
        self.buf.extend(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// No value where an array could be.
    #[inline]
    pub fn null_array(&mut self) {
        self.buf.extend(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// An array; its `count` elements follow.
    #[inline]
    pub fn array(&mut self, count: usize) {
        self.count_line(b'*', count);
    }

    /// An array without elements.
    #[inline]
    pub fn empty_array(&mut self) {
        self.buf.extend(b"*0\r\n");
    }

    /// A map; its `pairs` keys and values follow in turn. RESP2: an array of them.
    #[inline]
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.count_line(b'*', pairs * 2),
            Protocol::Resp3 => self.count_line(b'%', pairs),
        }
    }

    /// A set; its `count` elements follow. RESP2: an array.
    #[inline]
    pub fn set(&mut self, count: usize) {
        self.count_line(self.kind(b'~'), count);
    }

    /// A message that answers no command; its `count` elements follow. RESP2: an array.
    #[inline]
    pub fn push(&mut self, count: usize) {
        self.count_line(self.kind(b'>'), count);
    }

    /// A floating point number, spelled by [`format_double`]. RESP2: a string.
    pub fn double(&mut self, value: f64) {
        if self.protocol == Protocol::Resp3 {
            self.buf.extend(b",");
            format_double(value, &mut self.buf.bytes);
        } else {
            let own = self.buf.own_end();
            self.buf.extend(PLACEHOLDER);
            let start = self.buf.bytes.len();
            format_double(value, &mut self.buf.bytes);
            // Never longer than 25 bytes, so its line is among the ready ones.
            let line = &BULK_LINES[self.buf.bytes.len() - start];
            self.buf.replace_header(own, PLACEHOLDER.len(), &line[..usize::from(line[7])]);
        }
        self.buf.extend(b"\r\n");
    }

    /// True or false. RESP2: 1 or 0.
    #[inline]
    pub fn boolean(&mut self, value: bool) {
        self.buf.extend(match (self.protocol, value) {
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
        });
    }

    /// An integer of any size, in decimal digits. RESP2: a string.
    pub fn big_number(&mut self, digits: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits.as_bytes()),
            Protocol::Resp3 => self.line(b'(', digits.as_bytes()),
        }
    }

    /// A text and its format, such as `txt` or `mkd`. RESP2: a string.
    pub fn verbatim(&mut self, format: [u8; 3], text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.number_line(b'=', text.len() as i64 + 4);
                self.buf.extend(&format);
                self.buf.extend(b":");
                self.buf.extend(text);
                self.buf.extend(b"\r\n");
            }
        }
    }

    /// Begins an aggregate whose length is known only once its elements are written. It costs
    /// nothing if fewer than ten elements come, and one move of the elements otherwise.
    #[inline]
    pub fn begin_aggregate(&mut self) -> Aggregate {
        let own = self.buf.own_end();
        self.buf.extend(PLACEHOLDER);
        Aggregate { own }
    }

    /// `at` is an array, and `count` elements were written since.
    pub fn end_array(&mut self, at: Aggregate, count: usize) {
        self.end(at, b'*', count);
    }

    /// `at` is a map, and `pairs` keys and values were written since. RESP2: an array of them.
    pub fn end_map(&mut self, at: Aggregate, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.end(at, b'*', pairs * 2),
            Protocol::Resp3 => self.end(at, b'%', pairs),
        }
    }

    /// `at` is a set, and `count` elements were written since. RESP2: an array.
    pub fn end_set(&mut self, at: Aggregate, count: usize) {
        self.end(at, self.kind(b'~'), count);
    }

    fn end(&mut self, at: Aggregate, kind: u8, count: usize) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(count).as_bytes();
        let mut header = [0; NUMBER_LINE_LEN_MAX];
        let len = digits.len() + 3;
        header[0] = kind;
        header[1..=digits.len()].copy_from_slice(digits);
        header[len - 2..len].copy_from_slice(b"\r\n");
        self.buf.replace_header(at.own, PLACEHOLDER.len(), &header[..len]);
    }

    /// The type byte of a RESP3 aggregate, or an array's in RESP2.
    #[inline]
    fn kind(&self, resp3: u8) -> u8 {
        match self.protocol {
            Protocol::Resp2 => b'*',
            Protocol::Resp3 => resp3,
        }
    }

    /// A line of text.
    #[inline]
    fn line(&mut self, kind: u8, text: &[u8]) {
        let out = &mut self.buf.bytes;
        out.reserve(text.len() + 3);
        out.push(kind);
        let start = out.len();
        out.extend_from_slice(text);
        if memchr::memchr2(b'\r', b'\n', text).is_some() {
            for byte in &mut out[start..] {
                if matches!(byte, b'\r' | b'\n') {
                    *byte = b' ';
                }
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The line in front of a string of `len` bytes.
    #[inline]
    fn bulk_line(&mut self, len: usize) {
        if let Some(line) = BULK_LINES.get(len) {
            // Eight bytes at once are cheaper than the exact few.
            let end = self.buf.bytes.len() + usize::from(line[7]);
            self.buf.bytes.extend_from_slice(line);
            self.buf.bytes.truncate(end);
        } else {
            self.number_line(b'$', len as i64);
        }
    }

    /// The line in front of an aggregate.
    #[inline]
    fn count_line(&mut self, kind: u8, count: usize) {
        if count < 10 {
            self.buf.extend(&[kind, b'0' + count as u8, b'\r', b'\n']);
        } else {
            self.number_line(kind, count as i64);
        }
    }

    /// A type byte and a number.
    fn number_line(&mut self, kind: u8, value: i64) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value).as_bytes();
        let out = &mut self.buf.bytes;
        out.reserve(NUMBER_LINE_LEN_MAX);
        out.push(kind);
        out.extend_from_slice(digits);
        out.extend_from_slice(b"\r\n");
    }
}
