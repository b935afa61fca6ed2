//! A command as pieces: the bytes that never change, and the holes for keys and values.
//!
//! Compiled once, so that encoding a request copies a few slices and formats one key.

use rand::rngs::SmallRng;

use crate::args::ValueSize;
use crate::keys::{KEY_BYTES, KeyPicker, append_key};
use crate::values::ValueSource;

const KEY_HOLE: &str = "__key__";
const VALUE_HOLE: &str = "__value__";

/// A command ready to be encoded again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
    /// The longest that one encoded request can be.
    bytes_max: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Bytes as they are: headers of fixed sizes included.
    Literal(Vec<u8>),
    Key,
    /// Header of an argument of `fixed` bytes plus `values` values of a size that is drawn here.
    Header {
        fixed: usize,
        values: usize,
    },
    /// A value of the size drawn last.
    Value,
}

/// A command without holes, encoded.
pub(crate) fn encoded(words: &[String]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    text.into_bytes()
}

impl Template {
    /// Compiles the words of a command.
    pub(crate) fn compile(words: &[String], size: ValueSize) -> Self {
        let mut template = Self { pieces: Vec::new(), bytes_max: 0 };
        template.literal(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            template.argument(word, size);
        }
        template
    }

    fn argument(&mut self, word: &str, size: ValueSize) {
        let keys = word.matches(KEY_HOLE).count();
        let values = word.matches(VALUE_HOLE).count();
        let letters = word.len() - keys * KEY_HOLE.len() - values * VALUE_HOLE.len();
        let fixed = letters + keys * KEY_BYTES;
        if values == 0 || size.min == size.max {
            let len = fixed + values * size.max as usize;
            self.literal(format!("${len}\r\n").as_bytes());
        } else {
            // Twenty digits, a dollar sign and a line end are the longest header.
            self.bytes_max += 23;
            self.pieces.push(Piece::Header { fixed, values });
        }
        self.holes(word, size);
        self.literal(b"\r\n");
    }

    fn holes(&mut self, word: &str, size: ValueSize) {
        let mut rest = word;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(KEY_HOLE) {
                self.pieces.push(Piece::Key);
                self.bytes_max += KEY_BYTES;
                rest = after;
            } else if let Some(after) = rest.strip_prefix(VALUE_HOLE) {
                self.pieces.push(Piece::Value);
                self.bytes_max += size.max as usize;
                rest = after;
            } else {
                let holes = [rest.find(KEY_HOLE), rest.find(VALUE_HOLE)];
                let end = holes.into_iter().flatten().min().unwrap_or(rest.len());
                self.literal(&rest.as_bytes()[..end]);
                rest = &rest[end..];
            }
        }
    }

    fn literal(&mut self, bytes: &[u8]) {
        self.bytes_max += bytes.len();
        if let Some(Piece::Literal(last)) = self.pieces.last_mut() {
            last.extend_from_slice(bytes);
        } else {
            self.pieces.push(Piece::Literal(bytes.to_vec()));
        }
    }

    /// The longest that one encoded request can be, in bytes.
    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Appends one request with fresh keys and values.
    pub(crate) fn append(
        &self,
        out: &mut Vec<u8>,
        keys: &mut KeyPicker,
        values: &ValueSource,
        rng: &mut SmallRng,
    ) {
        let mut len = None;
        for piece in &self.pieces {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Key => append_key(out, keys.pick(rng)),
                Piece::Header { fixed, values: n } => {
                    let drawn = values.draw_len(rng);
                    len = Some(drawn);
                    out.push(b'$');
                    out.extend_from_slice(itoa::Buffer::new().format(fixed + n * drawn).as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
                Piece::Value => {
                    // Without a header before it all values have one size.
                    let len = len.unwrap_or_else(|| values.draw_len(rng));
                    out.extend_from_slice(values.draw(len, rng));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Distribution;
    use rand::SeedableRng;

    fn encode(words: &[&str], size: ValueSize) -> Vec<u8> {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        let mut rng = SmallRng::seed_from_u64(1);
        let values = ValueSource::new(size, &mut rng);
        let mut keys = KeyPicker::new(Distribution::Sequential, 10, 4);
        let template = Template::compile(&words, size);
        let mut out = Vec::new();
        template.append(&mut out, &mut keys, &values, &mut rng);
        assert!(out.len() <= template.bytes_max());
        out
    }

    const SMALL: ValueSize = ValueSize { min: 2, max: 2 };

    #[test]
    fn holes_are_filled_and_lengths_fit() {
        let get = encode(&["GET", "__key__"], SMALL);
        assert_eq!(get, b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000004\r\n");
        let two = encode(&["DEL", "a:__key__", "__key__:b"], SMALL);
        assert_eq!(
            two,
            b"*3\r\n$3\r\nDEL\r\n$18\r\na:key:000000000004\r\n$18\r\nkey:000000000005:b\r\n"
        );
    }

    #[test]
    fn values_of_a_fixed_size_need_no_header_of_their_own() {
        let set = encode(&["SET", "k", "<__value__|__value__>"], SMALL);
        let text = String::from_utf8(set).expect("letters");
        assert!(text.starts_with("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$7\r\n<"), "{text}");
        assert!(text.ends_with(">\r\n"), "{text}");
    }

    #[test]
    fn values_of_varying_size_announce_the_size_drawn() {
        let set = encode(&["SET", "k", "__value__+__value__"], ValueSize { min: 5, max: 500 });
        let text = String::from_utf8(set).expect("letters");
        let (header, body) = text
            .strip_prefix("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$")
            .and_then(|rest| rest.split_once("\r\n"))
            .expect("a header");
        let body = body.strip_suffix("\r\n").expect("an end");
        assert_eq!(header.parse::<usize>().expect("a number"), body.len());
        let (left, right) = body.split_once('+').expect("the literal between");
        assert_eq!(left.len(), right.len());
    }
}
