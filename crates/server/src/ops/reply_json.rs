//! Any reply of a node as JSON, for programs.

use serde_json::{Map, Number, Value as Json};
use trefoil_wire::resp::client::Value;

use super::record::text;

/// Maps stay maps; texts that are no UTF-8 have their odd bytes replaced.
pub(super) fn json(reply: &Value) -> Json {
    match reply {
        Value::Null => Json::Null,
        Value::Integer(number) => Json::from(*number),
        Value::Boolean(flag) => Json::from(*flag),
        Value::Double(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Array(all) | Value::Set(all) | Value::Push(all) => all.iter().map(json).collect(),
        Value::Map(pairs) => {
            let named = |(name, value): &(Value, Value)| Some((text(name)?, json(value)));
            Json::Object(pairs.iter().filter_map(named).collect::<Map<_, _>>())
        }
        other => other.as_bytes().map_or(Json::Null, |bytes| String::from_utf8_lossy(bytes).into()),
    }
}

/// The text of it, ending with a line end.
pub(super) fn lines(json: &Json) -> String {
    format!("{json:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_stay_maps() {
        let row = Value::Map(vec![
            (Value::bulk("id"), Value::bulk("3-5-6")),
            (Value::bulk("keys"), Value::Null),
            (Value::bulk("records"), Value::Integer(2)),
        ]);
        let text = json(&Value::Array(vec![row])).to_string();
        assert_eq!(text, r#"[{"id":"3-5-6","keys":null,"records":2}]"#);
    }
}
