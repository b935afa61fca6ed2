//! A reply as a tree, for tests and tools.

use super::head::{Head, ReplyError, ReplyKind, read_head, read_text};
use crate::resp::count::strict_i64;

/// How deep [`decode`] follows aggregates in aggregates.
pub const DEPTH_MAX: usize = 128;
/// Elements reserved for an aggregate before any has arrived.
const RESERVED_MAX: u64 = 1024;

/// A decoded reply. Attributes are left out; both nulls of RESP2 are [`Value::Null`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A status line.
    Simple(Vec<u8>),
    /// An error, its code first.
    Error(Vec<u8>),
    /// An integer.
    Integer(i64),
    /// A string of any bytes.
    Bulk(Vec<u8>),
    /// No value.
    Null,
    /// An array.
    Array(Vec<Value>),
    /// A map, in the order it was sent.
    Map(Vec<(Value, Value)>),
    /// A set, in the order it was sent.
    Set(Vec<Value>),
    /// A message that answers no command.
    Push(Vec<Value>),
    /// A floating point number.
    Double(f64),
    /// True or false.
    Boolean(bool),
    /// An integer of any size, in digits.
    BigNumber(Vec<u8>),
    /// A text and its format.
    Verbatim([u8; 3], Vec<u8>),
}

impl Value {
    /// A string reply of these bytes.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Value::Bulk(bytes.as_ref().to_vec())
    }

    /// The text of a status, an error, a string, a big number or a verbatim text.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Simple(text)
            | Value::Error(text)
            | Value::Bulk(text)
            | Value::BigNumber(text)
            | Value::Verbatim(_, text) => Some(text),
            _ => None,
        }
    }

    /// The number of an integer reply.
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            Value::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// The elements of an array, a set or a push.
    pub fn as_elements(&self) -> Option<&[Value]> {
        match self {
            Value::Array(elements) | Value::Set(elements) | Value::Push(elements) => Some(elements),
            _ => None,
        }
    }

    /// Whether this is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }
}

/// The reply at the start of `input` and its length; `None` while it has not arrived whole.
pub fn decode(input: &[u8]) -> Result<Option<(Value, usize)>, ReplyError> {
    let mut decoder = Decoder { input, at: 0 };
    Ok(decoder.value(0)?.map(|value| (value, decoder.at)))
}

struct Decoder<'a> {
    input: &'a [u8],
    /// First byte that was not decoded yet.
    at: usize,
}

impl Decoder<'_> {
    fn value(&mut self, depth: usize) -> Result<Option<Value>, ReplyError> {
        if depth > DEPTH_MAX {
            return Err(ReplyError::TooDeep);
        }
        loop {
            let Some((head, next)) = read_head(self.input, self.at)? else {
                return Ok(None);
            };
            self.at = next;
            return match head {
                Head::Attribute(replies) => match self.values(replies, depth + 1)? {
                    Some(_) => continue,
                    None => Ok(None),
                },
                Head::Line(kind, text) => scalar(kind, text).map(Some),
                Head::Text(kind, len) => {
                    let Some((text, next)) = read_text(self.input, next, len)? else {
                        return Ok(None);
                    };
                    self.at = next;
                    string(kind, text).map(Some)
                }
                Head::Aggregate(kind, replies) => {
                    Ok(self.values(replies, depth + 1)?.map(|values| aggregate(kind, values)))
                }
            };
        }
    }

    fn values(&mut self, count: u64, depth: usize) -> Result<Option<Vec<Value>>, ReplyError> {
        let mut values = Vec::with_capacity(count.min(RESERVED_MAX) as usize);
        for _ in 0..count {
            match self.value(depth)? {
                Some(value) => values.push(value),
                None => return Ok(None),
            }
        }
        Ok(Some(values))
    }
}

/// A reply of one line.
fn scalar(kind: ReplyKind, text: &[u8]) -> Result<Value, ReplyError> {
    Ok(match kind {
        ReplyKind::Error => Value::Error(text.to_vec()),
        ReplyKind::Integer => Value::Integer(strict_i64(text).ok_or(ReplyError::InvalidNumber)?),
        ReplyKind::Null => Value::Null,
        ReplyKind::Double => {
            let text = str::from_utf8(text).map_err(|_| ReplyError::InvalidNumber)?;
            Value::Double(text.parse().map_err(|_| ReplyError::InvalidNumber)?)
        }
        ReplyKind::Boolean => match text {
            b"t" => Value::Boolean(true),
            b"f" => Value::Boolean(false),
            _ => return Err(ReplyError::InvalidNumber),
        },
        ReplyKind::BigNumber => Value::BigNumber(text.to_vec()),
        _ => Value::Simple(text.to_vec()),
    })
}

/// A reply whose length was announced.
fn string(kind: ReplyKind, text: &[u8]) -> Result<Value, ReplyError> {
    Ok(match kind {
        ReplyKind::Error => Value::Error(text.to_vec()),
        ReplyKind::Verbatim => match *text {
            [a, b, c, b':', ref text @ ..] => Value::Verbatim([a, b, c], text.to_vec()),
            _ => return Err(ReplyError::InvalidLength),
        },
        _ => Value::Bulk(text.to_vec()),
    })
}

/// A reply made of replies.
fn aggregate(kind: ReplyKind, values: Vec<Value>) -> Value {
    match kind {
        ReplyKind::Map => {
            let mut values = values.into_iter();
            let mut pairs = Vec::with_capacity(values.len() / 2);
            while let (Some(key), Some(value)) = (values.next(), values.next()) {
                pairs.push((key, value));
            }
            Value::Map(pairs)
        }
        ReplyKind::Set => Value::Set(values),
        ReplyKind::Push => Value::Push(values),
        _ => Value::Array(values),
    }
}
