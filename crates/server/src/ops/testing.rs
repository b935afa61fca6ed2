//! Replies for tests, as nodes would give them.

use trefoil_wire::resp::client::Value;

/// A map of these.
pub(super) fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Map(pairs.into_iter().map(|(name, value)| (Value::bulk(name), value)).collect())
}

/// A text.
pub(super) fn text(text: &str) -> Value {
    Value::bulk(text)
}

/// A number.
pub(super) fn number(number: i64) -> Value {
    Value::Integer(number)
}

/// A list of texts.
pub(super) fn texts<const N: usize>(texts: [&str; N]) -> Value {
    Value::Array(texts.into_iter().map(Value::bulk).collect())
}

/// The whole name of a node.
pub(super) fn name(digits: &str) -> String {
    format!("{digits}{}", "0".repeat(32 - digits.len()))
}
