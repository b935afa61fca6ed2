//! Answers that are maps of named values: a map in RESP3, names and values in turn in RESP2.

use trefoil_wire::resp::Reply;

/// Named values, in order.
#[derive(Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
    List(Vec<String>),
    Maps(Vec<Fields>),
    Unknown,
}

impl Fields {
    pub(super) fn text(&mut self, name: &'static str, text: impl Into<String>) {
        self.0.push((name, Value::Text(text.into())));
    }

    pub(super) fn number(&mut self, name: &'static str, number: u64) {
        self.0.push((name, Value::Number(number)));
    }

    /// Nil if it is not known.
    pub(super) fn perhaps(&mut self, name: &'static str, number: Option<u64>) {
        self.0.push((name, number.map_or(Value::Unknown, Value::Number)));
    }

    pub(super) fn flag(&mut self, name: &'static str, flag: bool) {
        self.0.push((name, Value::Flag(flag)));
    }

    pub(super) fn list(&mut self, name: &'static str, texts: Vec<String>) {
        self.0.push((name, Value::List(texts)));
    }

    /// An array of maps.
    pub(super) fn maps(&mut self, name: &'static str, maps: Vec<Fields>) {
        self.0.push((name, Value::Maps(maps)));
    }

    /// Writes the map.
    pub(super) fn write(&self, reply: &mut Reply<'_>) {
        reply.map(self.0.len());
        for (name, value) in &self.0 {
            reply.bulk(name.as_bytes());
            match value {
                Value::Text(text) => reply.bulk(text.as_bytes()),
                Value::Number(number) => reply.integer(number.cast_signed()),
                Value::Flag(flag) => reply.boolean(*flag),
                Value::List(texts) => write_texts(reply, texts),
                Value::Maps(maps) => write_all(reply, maps),
                Value::Unknown => reply.null(),
            }
        }
    }
}

fn write_texts(reply: &mut Reply<'_>, texts: &[String]) {
    if texts.is_empty() {
        return reply.empty_array();
    }
    reply.array(texts.len());
    for text in texts {
        reply.bulk(text.as_bytes());
    }
}

/// Writes an array of maps.
pub(super) fn write_all(reply: &mut Reply<'_>, maps: &[Fields]) {
    if maps.is_empty() {
        return reply.empty_array();
    }
    reply.array(maps.len());
    for map in maps {
        map.write(reply);
    }
}
