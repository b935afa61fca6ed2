//! What is sent: a mix of command templates over keys and values.
//!
//! The named commands are templates like any other; a mix draws one per request.

use anyhow::{Context, bail};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::args::{Distribution, Ratio, ValueSize, WEIGHT_MAX};
use crate::keys::KeyPicker;
use crate::template::Template;
use crate::values::ValueSource;

/// Commands that `--command` knows, as templates.
const NAMED: &[(&str, &str)] = &[
    ("ping", "PING"),
    ("get", "GET __key__"),
    ("set", "SET __key__ __value__"),
    ("setex", "SETEX __key__ 3600 __value__"),
    ("incr", "INCR counter:__key__"),
    ("del", "DEL __key__"),
    ("exists", "EXISTS __key__"),
    ("lpush", "LPUSH list:__key__ __value__"),
    ("rpop", "RPOP list:__key__"),
    ("sadd", "SADD set:__key__ __value__"),
    ("hset", "HSET hash:__key__ field __value__"),
    ("zadd", "ZADD zset:__key__ 1 __value__"),
];

/// Keys in one MGET or MSET.
const KEYS_PER_MULTI: usize = 10;

/// Commands with their weights, each at least 1, before sizes are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mix {
    entries: Vec<(Vec<String>, u16)>,
}

impl Mix {
    /// One command of the user's own.
    pub(crate) fn single(words: Vec<String>) -> Self {
        Self { entries: vec![(words, 1)] }
    }

    /// GET and SET in the given ratio.
    pub(crate) fn ratio(ratio: Ratio) -> Self {
        let both = [("GET __key__", ratio.reads), ("SET __key__ __value__", ratio.writes)];
        let entries = both
            .into_iter()
            .filter(|(_, weight)| *weight > 0)
            .map(|(text, weight)| (split(text), weight))
            .collect();
        Self { entries }
    }

    /// Reads `name[:weight],...`.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut entries = Vec::new();
        for item in text.split(',') {
            let (name, weight) = item.trim().split_once(':').unwrap_or((item.trim(), "1"));
            let weight = weight
                .parse::<u16>()
                .ok()
                .filter(|weight| (1..=WEIGHT_MAX).contains(weight))
                .with_context(|| format!("the weight in `{item}` must be 1 to {WEIGHT_MAX}"))?;
            named(&name.to_ascii_lowercase(), weight, &mut entries)?;
        }
        if entries.len() > 64 {
            bail!("a mix holds at most 64 commands");
        }
        Ok(Self { entries })
    }

    /// One line for the report.
    pub(crate) fn describe(&self) -> String {
        let alone = self.entries.len() == 1;
        let texts = self.entries.iter().map(|(words, weight)| match alone {
            true => words.join(" "),
            false => format!("{} x{weight}", words.join(" ")),
        });
        texts.collect::<Vec<_>>().join(", ")
    }

    /// The longest request of the mix, in bytes.
    pub(crate) fn request_bytes_max(&self, size: ValueSize) -> usize {
        let lengths =
            self.entries.iter().map(|(words, _)| Template::compile(words, size).bytes_max());
        lengths.max().unwrap_or(0)
    }
}

fn split(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn named(name: &str, weight: u16, entries: &mut Vec<(Vec<String>, u16)>) -> anyhow::Result<()> {
    match name {
        "mget" => {
            let keys = " __key__".repeat(KEYS_PER_MULTI);
            entries.push((split(&format!("MGET{keys}")), weight));
        }
        "mset" => {
            let pairs = " __key__ __value__".repeat(KEYS_PER_MULTI);
            entries.push((split(&format!("MSET{pairs}")), weight));
        }
        "getset-mix" => {
            named("get", weight, entries)?;
            named("set", weight, entries)?;
        }
        _ => {
            let Some((_, text)) = NAMED.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = NAMED.iter().map(|(known, _)| *known).collect();
                bail!(
                    "`{name}` is not a command of the benchmark; it knows {}, mget, mset and getset-mix. \
                     Any other command can be written out after the options, as in: bench HGET h __key__",
                    known.join(", ")
                );
            };
            entries.push((split(text), weight));
        }
    }
    Ok(())
}

/// The endless stream of requests of one thread.
#[derive(Debug)]
pub(crate) struct Workload {
    templates: Vec<Template>,
    /// Indices of templates, each as often as its weight says; at most 64 * [`WEIGHT_MAX`].
    draws: Vec<u8>,
    keys: KeyPicker,
    values: ValueSource,
    rng: SmallRng,
}

/// What a thread's workload starts from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkloadStart {
    pub(crate) seed: u64,
    /// First key of a sequential distribution.
    pub(crate) first_key: u64,
}

impl Workload {
    pub(crate) fn new(
        mix: &Mix,
        keys: u64,
        distribution: Distribution,
        size: ValueSize,
        start: WorkloadStart,
    ) -> Self {
        let mut rng = SmallRng::seed_from_u64(start.seed);
        let templates =
            mix.entries.iter().map(|(words, _)| Template::compile(words, size)).collect();
        let mut draws = Vec::new();
        for (index, (_, weight)) in mix.entries.iter().enumerate() {
            draws.extend(std::iter::repeat_n(index as u8, usize::from(*weight)));
        }
        Self {
            templates,
            draws,
            keys: KeyPicker::new(distribution, keys, start.first_key),
            values: ValueSource::new(size, &mut rng),
            rng,
        }
    }

    /// Appends `count` requests.
    pub(crate) fn append(&mut self, out: &mut Vec<u8>, count: u32) {
        for _ in 0..count {
            let index = match self.templates.len() {
                1 => 0,
                _ => usize::from(self.draws[self.rng.random_range(0..self.draws.len())]),
            };
            self.templates[index].append(out, &mut self.keys, &self.values, &mut self.rng);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: ValueSize = ValueSize { min: 8, max: 8 };

    fn bytes(mix: &Mix, seed: u64, count: u32) -> Vec<u8> {
        let start = WorkloadStart { seed, first_key: 0 };
        let mut workload = Workload::new(mix, 1_000, Distribution::Uniform, SIZE, start);
        let mut out = Vec::new();
        workload.append(&mut out, count);
        out
    }

    #[test]
    fn the_same_seed_sends_the_same_bytes() {
        let mix = Mix::parse("get:3,set").expect("known commands");
        assert_eq!(bytes(&mix, 9, 500), bytes(&mix, 9, 500));
        assert_ne!(bytes(&mix, 9, 500), bytes(&mix, 10, 500));
    }

    #[test]
    fn weights_decide_how_often_a_command_comes() {
        let mix = Mix::ratio(Ratio { reads: 9, writes: 1 });
        let text = String::from_utf8(bytes(&mix, 1, 10_000)).expect("letters");
        let (gets, sets) =
            (text.matches("\r\nGET\r\n").count(), text.matches("\r\nSET\r\n").count());
        assert_eq!(gets + sets, 10_000);
        assert!((8_800..9_200).contains(&gets), "{gets}");
    }

    #[test]
    fn a_ratio_without_writes_sends_none() {
        let mix = Mix::ratio(Ratio { reads: 1, writes: 0 });
        assert_eq!(mix.describe(), "GET __key__");
    }

    #[test]
    fn unknown_commands_and_weights_are_refused() {
        for wrong in ["", "nosuch", "get:0", "get:x", "get,,set", "get:5000"] {
            assert!(Mix::parse(wrong).is_err(), "{wrong}");
        }
        let all =
            "ping,get,set,setex,incr,del,exists,mget,mset,getset-mix,lpush,rpop,sadd,hset,zadd";
        assert_eq!(Mix::parse(all).expect("all are known").entries.len(), 16);
    }
}
