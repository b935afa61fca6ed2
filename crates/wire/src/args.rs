//! The arguments of one command: a view of the bytes they arrived in.
//!
//! Neutral to the protocol. Nothing is copied: a command is a list of [`Span`]s in a buffer that
//! outlives it, and [`Args`] pairs the two.

use std::fmt;
use std::iter::FusedIterator;

/// Where one argument stands in its buffer, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// The bytes of `buffer` that this span covers. Panics if it reaches beyond them.
    #[inline]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..self.start as usize + self.len as usize]
    }
}

/// The name and the arguments of one command, borrowed from the buffer they were parsed in.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// The arguments that `spans` mark in `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8], spans: &'a [Span]) -> Self {
        Self { bytes, spans }
    }

    /// Number of arguments, the command's name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no argument at all.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `index`; 0 is the command's name. Panics like a slice if there is no such argument:
    /// arity is checked before a command looks at its arguments.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        self.spans[index].of(self.bytes)
    }

    /// The command's name, in the client's spelling. Panics if there are no arguments.
    #[inline]
    pub fn name(&self) -> &'a [u8] {
        self.get(0)
    }

    /// The arguments from number `count` on. Panics if there are fewer than `count`.
    #[inline]
    pub fn skip(&self, count: usize) -> Args<'a> {
        Args { bytes: self.bytes, spans: &self.spans[count..] }
    }

    /// All arguments in order.
    #[inline]
    pub fn iter(&self) -> ArgsIter<'a> {
        ArgsIter { bytes: self.bytes, spans: self.spans.iter() }
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgsIter<'a>;

    #[inline]
    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|arg| arg.escape_ascii().to_string())).finish()
    }
}

/// Iterates over [`Args`].
#[derive(Clone, Debug)]
pub struct ArgsIter<'a> {
    bytes: &'a [u8],
    spans: std::slice::Iter<'a, Span>,
}

impl<'a> Iterator for ArgsIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.spans.next().map(|span| span.of(self.bytes))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl DoubleEndedIterator for ArgsIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.spans.next_back().map(|span| span.of(self.bytes))
    }
}

impl ExactSizeIterator for ArgsIter<'_> {}
impl FusedIterator for ArgsIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: &[u8] = b"SETkeyvalue";
    const SPANS: [Span; 3] =
        [Span { start: 0, len: 3 }, Span { start: 3, len: 3 }, Span { start: 6, len: 5 }];

    #[test]
    fn arguments_are_slices_of_the_buffer() {
        let args = Args::new(BYTES, &SPANS);
        assert_eq!(args.len(), 3);
        assert_eq!(args.name(), b"SET");
        assert_eq!(args.get(2), b"value");
        assert_eq!(args.iter().rev().collect::<Vec<_>>(), [&b"value"[..], b"key", b"SET"]);
        assert_eq!(format!("{args:?}"), r#"["SET", "key", "value"]"#);
    }

    #[test]
    fn skip_keeps_the_rest_and_may_leave_nothing() {
        let args = Args::new(BYTES, &SPANS);
        assert_eq!(args.skip(1).name(), b"key");
        assert!(args.skip(3).is_empty());
        assert_eq!(args.skip(2).into_iter().len(), 1);
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn an_argument_that_is_not_there_is_our_bug() {
        Args::new(BYTES, &SPANS).get(3);
    }
}
