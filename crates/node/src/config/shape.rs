//! How the values of parameters are spelled: parsed from text, and shown.
//!
//! The words of refusals are Redis's.

use trefoil_commands::parse_i64;

/// A value of a parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A switch.
    Flag(bool),
    /// A number, or bytes of memory, or the index of a word.
    Number(i64),
    /// A text.
    Text(Vec<u8>),
    /// When snapshots are taken by themselves.
    SavePoints(Vec<SavePoint>),
    /// Limits of what waits to be sent: normal, replica, pubsub.
    OutputLimits([OutputLimit; 3]),
}

/// Take a snapshot once that much has changed in that time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SavePoint {
    /// Seconds since the last snapshot.
    pub seconds: u64,
    /// Changes since then.
    pub changes: u64,
}

/// When a connection is closed that does not read its replies; 0: never.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OutputLimit {
    /// At once from this many bytes.
    pub hard_bytes: u64,
    /// From this many bytes ...
    pub soft_bytes: u64,
    /// ... for this long.
    pub soft_seconds: u64,
}

/// What texts a parameter takes.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Two words: the one for false, the one for true.
    Switch(&'static str, &'static str),
    /// An integer from the first to the second.
    Integer(i64, i64),
    /// Bytes, with a unit if one is given: `100mb`, `1g`; from the first to the second.
    Memory(i64, i64),
    /// One of these words; the value is its index.
    Word(&'static [&'static str]),
    /// Any bytes.
    Text,
    /// A text in a form of its own, which this puts into its plainest spelling, or refuses.
    Checked(fn(&[u8]) -> Result<Vec<u8>, &'static str>),
    /// Pairs of seconds and changes; empty for none.
    SavePoints,
    /// `class hard soft seconds`, one or several; classes that are not named stay as they are.
    OutputLimits,
}

/// The classes of `client-output-buffer-limit`, as Redis shows them; `replica` is the same as `slave`.
pub const OUTPUT_CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

/// The words of RESP's own switches.
pub(super) const YES_NO: Shape = Shape::Switch("no", "yes");

impl Shape {
    /// Reads a text; `current` is the value in force, which some texts change only in part.
    pub fn parse(self, text: &[u8], current: &Value) -> Result<Value, String> {
        match self {
            Shape::Switch(no, yes) => match text {
                _ if text.eq_ignore_ascii_case(yes.as_bytes()) => Ok(Value::Flag(true)),
                _ if text.eq_ignore_ascii_case(no.as_bytes()) => Ok(Value::Flag(false)),
                _ => Err(format!("argument must be '{yes}' or '{no}'")),
            },
            Shape::Integer(min, max) => {
                let number =
                    parse_i64(text).ok_or("argument couldn't be parsed into an integer")?;
                within(number, min, max)
            }
            Shape::Memory(min, max) => {
                let bytes = parse_memory(text).ok_or("argument must be a memory value")?;
                within(bytes, min, max)
            }
            Shape::Word(words) => words
                .iter()
                .position(|word| text.eq_ignore_ascii_case(word.as_bytes()))
                .map(|index| Value::Number(index as i64))
                .ok_or_else(|| {
                    format!("argument(s) must be one of the following: {}", words.join(", "))
                }),
            Shape::Text => Ok(Value::Text(text.to_vec())),
            Shape::Checked(spell) => Ok(Value::Text(spell(text)?)),
            Shape::SavePoints => parse_save_points(text).map(Value::SavePoints),
            Shape::OutputLimits => parse_output_limits(text, current).map(Value::OutputLimits),
        }
    }

    /// The text that CONFIG GET shows.
    #[must_use]
    pub fn show(self, value: &Value) -> Vec<u8> {
        match (self, value) {
            (Shape::Switch(no, yes), Value::Flag(flag)) => (if *flag { yes } else { no }).into(),
            (Shape::Word(words), Value::Number(index)) => usize::try_from(*index)
                .ok()
                .and_then(|at| words.get(at))
                .map_or(vec![], |word| word.as_bytes().to_vec()),
            (_, Value::Number(number)) => number.to_string().into_bytes(),
            (_, Value::Text(text)) => text.clone(),
            (_, Value::SavePoints(points)) => {
                let pairs: Vec<String> = points
                    .iter()
                    .map(|point| format!("{} {}", point.seconds, point.changes))
                    .collect();
                pairs.join(" ").into_bytes()
            }
            (_, Value::OutputLimits(limits)) => {
                let classes: Vec<String> = std::iter::zip(OUTPUT_CLASSES, limits)
                    .map(|(class, limit)| {
                        let OutputLimit { hard_bytes, soft_bytes, soft_seconds } = limit;
                        format!("{class} {hard_bytes} {soft_bytes} {soft_seconds}")
                    })
                    .collect();
                classes.join(" ").into_bytes()
            }
            (_, Value::Flag(flag)) => flag.to_string().into_bytes(),
        }
    }
}

fn within(number: i64, min: i64, max: i64) -> Result<Value, String> {
    if (min..=max).contains(&number) {
        Ok(Value::Number(number))
    } else {
        Err(format!("argument must be between {min} and {max} inclusive"))
    }
}

/// Bytes: digits, then nothing or one of Redis's units in any case.
#[must_use]
pub(super) fn parse_memory(text: &[u8]) -> Option<i64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, unit) = text.split_at(digits);
    let number: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let factor = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1_000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn words(text: &[u8]) -> Vec<&[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect()
}

fn parse_save_points(text: &[u8]) -> Result<Vec<SavePoint>, String> {
    const INVALID: &str = "Invalid save parameters";
    let words = words(text);
    let (pairs, rest) = words.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(INVALID.into());
    }
    let number = |word: &[u8]| parse_i64(word).and_then(|number| u64::try_from(number).ok());
    pairs
        .iter()
        .map(|[seconds, changes]| {
            let seconds = number(seconds).filter(|&seconds| seconds > 0)?;
            Some(SavePoint { seconds, changes: number(changes)? })
        })
        .collect::<Option<_>>()
        .ok_or_else(|| INVALID.into())
}

fn parse_output_limits(text: &[u8], current: &Value) -> Result<[OutputLimit; 3], String> {
    let mut limits = match current {
        Value::OutputLimits(limits) => *limits,
        _ => Default::default(),
    };
    let words = words(text);
    let (classes, rest) = words.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    for [class, hard, soft, seconds] in classes {
        let class = if class.eq_ignore_ascii_case(b"replica") { b"slave" } else { *class };
        let at = OUTPUT_CLASSES
            .iter()
            .position(|name| class.eq_ignore_ascii_case(name.as_bytes()))
            .ok_or("Invalid client class specified in buffer limit configuration.")?;
        let bytes = |text: &[u8]| parse_memory(text).map(i64::unsigned_abs);
        let limit = (|| {
            let soft_seconds = u64::try_from(parse_i64(seconds)?).ok()?;
            Some(OutputLimit { hard_bytes: bytes(hard)?, soft_bytes: bytes(soft)?, soft_seconds })
        })();
        limits[at] = limit
            .ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_units_of_a_thousand_and_of_1024() {
        for (text, bytes) in [
            ("100", Some(100)),
            ("1k", Some(1_000)),
            ("1KB", Some(1_024)),
            ("2mb", Some(2 << 20)),
            ("1g", Some(1_000_000_000)),
            ("1gb", Some(1 << 30)),
            ("5b", Some(5)),
            ("", None),
            ("mb", None),
            ("-1", None),
            ("1tb", None),
            ("1 mb", None),
            ("99999999999gb", None),
        ] {
            assert_eq!(parse_memory(text.as_bytes()), bytes, "{text:?}");
        }
    }

    #[test]
    fn a_limit_of_one_class_leaves_the_others() {
        let current = Value::OutputLimits([OutputLimit::default(); 3]);
        let value = Shape::OutputLimits.parse(b"pubsub 32mb 8mb 60", &current);
        let shown = Shape::OutputLimits.show(&value.expect("a good limit"));
        assert_eq!(shown, b"normal 0 0 0 slave 0 0 0 pubsub 33554432 8388608 60");
        for bad in ["pubsub 1 2", "nobody 1 2 3", "normal x 2 3", "normal 1 2 -3"] {
            assert!(Shape::OutputLimits.parse(bad.as_bytes(), &current).is_err(), "{bad}");
        }
    }

    #[test]
    fn save_points_come_in_pairs() {
        let none = Value::SavePoints(vec![]);
        let value = Shape::SavePoints.parse(b"3600 1  300 100", &none).expect("good points");
        assert_eq!(Shape::SavePoints.show(&value), b"3600 1 300 100");
        assert_eq!(Shape::SavePoints.parse(b"", &none), Ok(none.clone()));
        for bad in ["3600", "a b", "0 1", "-1 1"] {
            assert!(Shape::SavePoints.parse(bad.as_bytes(), &none).is_err(), "{bad}");
        }
    }
}
