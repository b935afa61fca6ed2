//! Inline commands: a line of words, as a person types it into a terminal.
//!
//! Words and quotes follow Redis: blanks separate; double quotes know `\xHH`, `\n`, `\r`, `\t`,
//! `\b`, `\a` and take any other escaped byte as itself; single quotes know `\'` only; a closing
//! quote ends its word and must be followed by a blank or the end. A NUL byte is a byte like any
//! other (Redis never sees the end of such a line).

use crate::Span;

/// A quote is not closed, or is followed by text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unbalanced;

/// What separates words.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// What ends a bare word: not all blanks do, as in Redis.
fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Appends the words of a line without quotes as spans of that line.
pub(super) fn split_bare(line: &[u8], spans: &mut Vec<Span>) {
    let mut at = 0;
    loop {
        at += line[at..].iter().take_while(|&&byte| is_blank(byte)).count();
        if at == line.len() {
            return;
        }
        let len = line[at..].iter().take_while(|&&byte| !ends_word(byte)).count();
        spans.push(Span { start: at as u32, len: len as u32 });
        at += len;
    }
}

/// Splits a line with quotes. The words are written out one behind the other, the spans that are
/// appended are relative to that.
pub(super) fn split_quoted(line: &[u8], spans: &mut Vec<Span>) -> Result<Vec<u8>, Unbalanced> {
    let mut words = Vec::with_capacity(line.len());
    let mut rest = line;
    loop {
        while let [byte, tail @ ..] = rest
            && is_blank(*byte)
        {
            rest = tail;
        }
        if rest.is_empty() {
            return Ok(words);
        }
        let start = words.len();
        rest = word(rest, &mut words)?;
        spans.push(Span { start: start as u32, len: (words.len() - start) as u32 });
    }
}

/// Writes out the word that `rest` begins with and returns what follows it.
fn word<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        rest = match *rest {
            [b'"', ref tail @ ..] => return double_quoted(tail, out),
            [b'\'', ref tail @ ..] => return single_quoted(tail, out),
            [byte, ref tail @ ..] if !ends_word(byte) => {
                out.push(byte);
                tail
            }
            _ => return Ok(rest),
        }
    }
}

/// The rest of a word behind an opening double quote.
fn double_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        let (byte, tail) = match *rest {
            [b'"', ref tail @ ..] => return closed(tail),
            [b'\\', b'x', high, low, ref tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(high) << 4 | hex(low), tail)
            }
            [b'\\', escaped, ref tail @ ..] => (unescape(escaped), tail),
            [byte, ref tail @ ..] => (byte, tail),
            [] => return Err(Unbalanced),
        };
        out.push(byte);
        rest = tail;
    }
}

/// The rest of a word behind an opening single quote.
fn single_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        let (byte, tail) = match *rest {
            [b'\'', ref tail @ ..] => return closed(tail),
            [b'\\', b'\'', ref tail @ ..] => (b'\'', tail),
            [byte, ref tail @ ..] => (byte, tail),
            [] => return Err(Unbalanced),
        };
        out.push(byte);
        rest = tail;
    }
}

/// Behind a closing quote the word must be over.
fn closed(rest: &[u8]) -> Result<&[u8], Unbalanced> {
    match rest.first() {
        Some(&byte) if !is_blank(byte) => Err(Unbalanced),
        _ => Ok(rest),
    }
}

/// The byte that a letter behind a backslash stands for.
fn unescape(letter: u8) -> u8 {
    match letter {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(line: &str) -> Result<Vec<Vec<u8>>, Unbalanced> {
        let mut spans = Vec::new();
        let words = split_quoted(line.as_bytes(), &mut spans)?;
        Ok(spans.iter().map(|span| span.of(&words).to_vec()).collect())
    }

    #[test]
    fn both_ways_agree_on_lines_without_quotes() {
        for line in ["", " ", "a", " a  b\t\tc ", "a\\n b", "a\x0bb \x0b c", "\x0c\x0bx", "a\rb"] {
            let mut spans = Vec::new();
            split_bare(line.as_bytes(), &mut spans);
            let bare: Vec<_> = spans.iter().map(|s| s.of(line.as_bytes()).to_vec()).collect();
            assert_eq!(quoted(line).unwrap(), bare, "{line:?}");
        }
    }

    #[test]
    fn escapes_are_redis_s() {
        let words = quoted(r#"SET "a\x41\xfF\n\r\t\b\a\"\\\q" 'it\'s \n' x"y z" """#).unwrap();
        assert_eq!(words[1], b"aA\xff\n\r\t\x08\x07\"\\q");
        assert_eq!(words[2], b"it's \\n");
        assert_eq!(words[3], b"xy z");
        assert_eq!(words[4], b"");
        assert_eq!(quoted(r#""\xg1\x1""#).unwrap(), [b"xg1x1"]);
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in [r#"""#, r#""abc"#, "'abc", r#""a"b"#, "'a'b", r#""a\""#, r"'a\'", r#""a\"#] {
            assert_eq!(quoted(line), Err(Unbalanced), "{line:?}");
        }
    }
}
