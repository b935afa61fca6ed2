//! Blanks out what is not code, so that braces and words can be counted without a parser.
//!
//! Not a Rust lexer: it knows comments, strings, raw strings, characters and lifetimes. What it
//! blanks becomes spaces, so that lines and columns stay where they were.

/// The same text twice: once without strings and comments, once without strings only.
pub(super) struct Masked {
    /// Code alone.
    pub(super) code: String,
    /// Code and comments.
    pub(super) prose: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// Masks a source text.
pub(super) fn mask(text: &str) -> Masked {
    let bytes = text.as_bytes();
    let mut masked = Masked {
        code: String::with_capacity(text.len()),
        prose: String::with_capacity(text.len()),
    };
    let mut at = 0;
    while at < bytes.len() {
        let (kind, end) = token(bytes, at);
        for &byte in &bytes[at..end] {
            masked.code.push(shown(byte, kind == Kind::Code));
            masked.prose.push(shown(byte, kind != Kind::Literal));
        }
        at = end;
    }
    masked
}

/// Bytes beyond ASCII become a letter: no rule looks for them, and columns stay columns.
fn shown(byte: u8, keep: bool) -> char {
    match byte {
        b'\n' => '\n',
        _ if !keep => ' ',
        _ if byte.is_ascii() => byte as char,
        _ => 'a',
    }
}

/// What starts at `at`, and where it ends.
fn token(bytes: &[u8], at: usize) -> (Kind, usize) {
    let rest = &bytes[at..];
    match rest[0] {
        b'/' if rest.starts_with(b"//") => (Kind::Comment, line_end(bytes, at)),
        b'/' if rest.starts_with(b"/*") => (Kind::Comment, block_comment_end(bytes, at)),
        b'"' => (Kind::Literal, string_end(bytes, at + 1)),
        b'r' | b'b' | b'c' if !continues_word(bytes, at) => prefixed(bytes, at),
        b'\'' => character(bytes, at),
        _ => (Kind::Code, at + 1),
    }
}

fn continues_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n)
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0;
    let mut here = at;
    while here < bytes.len() {
        if bytes[here..].starts_with(b"/*") {
            depth += 1;
            here += 2;
        } else if bytes[here..].starts_with(b"*/") {
            depth -= 1;
            here += 2;
            if depth == 0 {
                return here;
            }
        } else {
            here += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `b"…"`, `r"…"`, `br#"…"#`, `b'…'`, or a plain word that begins with one of these letters.
fn prefixed(bytes: &[u8], at: usize) -> (Kind, usize) {
    let letters = bytes[at..].iter().take(2).take_while(|b| b"rbc".contains(b)).count();
    let hashes = bytes[at + letters..].iter().take_while(|b| **b == b'#').count();
    let quote = at + letters + hashes;
    let raw = bytes[at..at + letters].contains(&b'r');
    match bytes.get(quote) {
        Some(b'"') if raw => {
            let mut close = vec![b'"'];
            close.resize(1 + hashes, b'#');
            let body = quote + 1;
            let end = bytes[body..].windows(close.len()).position(|w| w == close);
            (Kind::Literal, end.map_or(bytes.len(), |n| body + n + close.len()))
        }
        Some(b'"') if hashes == 0 => (Kind::Literal, string_end(bytes, quote + 1)),
        Some(b'\'') if hashes == 0 && bytes[at] == b'b' => character(bytes, quote),
        _ => (Kind::Code, at + 1),
    }
}

/// A character literal, or the quote of a lifetime.
fn character(bytes: &[u8], at: usize) -> (Kind, usize) {
    if bytes.get(at + 1) == Some(&b'\\') {
        let end = bytes[at + 3..].iter().position(|b| *b == b'\'');
        return (Kind::Literal, end.map_or(bytes.len(), |n| at + 3 + n + 1));
    }
    // A character is up to four bytes of UTF-8; a lifetime has no quote right after its letter.
    let width = match bytes.get(at + 1) {
        Some(b) if b.is_ascii() => 1,
        Some(b) => b.leading_ones() as usize,
        None => return (Kind::Code, at + 1),
    };
    if bytes.get(at + 1 + width) == Some(&b'\'') {
        return (Kind::Literal, at + width + 2);
    }
    (Kind::Code, at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_become_spaces() {
        let masked = mask("let a = \"{\"; // {\nlet b = '{';\n");
        assert_eq!(masked.code, "let a =    ;     \nlet b =    ;\n");
        assert_eq!(masked.prose, "let a =    ; // {\nlet b =    ;\n");
    }

    #[test]
    fn raw_strings_end_at_their_own_hashes() {
        assert_eq!(mask("r#\"a\"{\"#;x").code.trim(), ";x");
        assert_eq!(mask("br\"\\\";x").code.trim(), ";x");
    }

    #[test]
    fn lifetimes_are_code_and_escaped_quotes_are_not() {
        assert_eq!(mask("fn f<'a>(x: &'a str) {}").code, "fn f<'a>(x: &'a str) {}");
        assert_eq!(mask(r"'\'';x").code.trim(), ";x");
        assert_eq!(mask(r"b'\\';x").code.trim(), ";x");
    }

    #[test]
    fn block_comments_nest() {
        assert_eq!(mask("/* a /* b */ { */x").code.trim(), "x");
    }
}
