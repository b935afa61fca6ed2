//! A reply of named values, in either protocol: a map, or names and values in turn.
//!
//! What is missing or of another kind reads as nothing: a node of another release may say less.

use trefoil_wire::resp::client::Value;

/// See the module.
#[derive(Clone, Copy)]
pub(super) struct Record<'v>(&'v Value);

impl<'v> Record<'v> {
    pub(super) fn new(value: &'v Value) -> Record<'v> {
        Record(value)
    }

    /// Its values, in order.
    pub(super) fn fields(self) -> Vec<(String, &'v Value)> {
        match self.0 {
            Value::Map(pairs) => {
                pairs.iter().filter_map(|(name, it)| Some((text(name)?, it))).collect()
            }
            other => {
                let elements = other.as_elements().unwrap_or_default();
                let (pairs, _) = elements.as_chunks::<2>();
                pairs.iter().filter_map(|[name, it]| Some((text(name)?, it))).collect()
            }
        }
    }

    pub(super) fn get(self, wanted: &str) -> Option<&'v Value> {
        let is_it = |name: &Value| name.as_bytes() == Some(wanted.as_bytes());
        match self.0 {
            Value::Map(pairs) => pairs.iter().find(|(name, _)| is_it(name)).map(|(_, value)| value),
            other => {
                let (pairs, _) = other.as_elements()?.as_chunks::<2>();
                pairs.iter().find(|[name, _]| is_it(name)).map(|[_, value]| value)
            }
        }
    }

    /// Empty if it is not there.
    pub(super) fn text(self, name: &str) -> String {
        self.get(name).and_then(text).unwrap_or_default()
    }

    /// A text that says something.
    pub(super) fn said(self, name: &str) -> Option<String> {
        self.get(name).and_then(text).filter(|text| !text.is_empty())
    }

    pub(super) fn number(self, name: &str) -> Option<u64> {
        let value = self.get(name)?;
        let number = value.as_integer().map(|number| u64::try_from(number).ok());
        number.unwrap_or_else(|| text(value)?.parse().ok())
    }

    pub(super) fn flag(self, name: &str) -> bool {
        match self.get(name) {
            Some(Value::Boolean(flag)) => *flag,
            Some(value) => value.as_integer().is_some_and(|number| number != 0),
            None => false,
        }
    }

    pub(super) fn texts(self, name: &str) -> Vec<String> {
        let elements = self.get(name).and_then(Value::as_elements).unwrap_or_default();
        elements.iter().filter_map(text).collect()
    }

    pub(super) fn records(self, name: &str) -> Vec<Record<'v>> {
        self.get(name).map(rows).unwrap_or_default()
    }
}

/// The elements of an array of named values.
pub(super) fn rows(value: &Value) -> Vec<Record<'_>> {
    value.as_elements().unwrap_or_default().iter().map(Record).collect()
}

/// A text or a number, as text.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(if *flag { "yes" } else { "no" }.to_owned()),
        other => other.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_protocols_say_the_same() {
        let pairs =
            || [(Value::bulk("n"), Value::Integer(7)), (Value::bulk("t"), Value::bulk("x"))];
        let map = Value::Map(pairs().into());
        let flat =
            Value::Array(pairs().into_iter().flat_map(|(name, value)| [name, value]).collect());
        for value in [map, flat] {
            let record = Record::new(&value);
            assert_eq!((record.number("n"), record.text("t")), (Some(7), "x".into()));
            assert_eq!((record.number("t"), record.text("no")), (None, String::new()));
            assert!(record.flag("n") && !record.flag("no") && record.records("t").is_empty());
            assert_eq!(record.fields().len(), 2);
        }
    }
}
