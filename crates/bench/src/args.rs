//! The command line of `trefoil bench`: flags, their help, and the small grammars of their values.
//!
//! Nothing is opened here, and flags are not yet checked against each other; `Plan` does that.

use std::fmt;
use std::str::FromStr;

/// Measures throughput, latency and CPU per request of a server that speaks RESP.
///
/// Without --rate the loop is closed: every connection sends a batch, waits for its
/// replies and sends the next one. That finds the maximum throughput, but hides stalls:
/// a server that stands still is not asked anything meanwhile.
///
/// With --rate the loop is open: requests are due at times fixed in advance, and a
/// latency counts from the moment its request was due. Use this to compare latencies:
/// the same rate for each server, and --spin if the machine has a core to spare.
///
/// Examples:
///
///   bench --preload --expect-hits --command get
///       fill one million keys, then read them with 50 connections for 10 seconds
///
///   bench --ratio 9:1 --distribution zipf --rate 40000 --seconds 30
///       skewed keys, nine reads for a write, 40,000 requests a second
///
///   bench --pipeline 16 --json SETEX __key__ 60 __value__
///       a command of your own, sixteen at a time, result as JSON
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct BenchArgs {
    /// Host name or address of the server.
    #[arg(long, default_value = "127.0.0.1", help_heading = "Server")]
    pub host: String,

    /// TCP port of the server (no TLS: use a TLS-terminating proxy to measure with it).
    #[arg(short, long, default_value_t = 6379, help_heading = "Server")]
    pub port: u16,

    /// Log in as this user; without it --password belongs to the default user.
    #[arg(long, requires = "password", help_heading = "Server")]
    pub user: Option<String>,

    /// Password. Other users of this machine can read it from the process list while the run lasts.
    #[arg(long, help_heading = "Server")]
    pub password: Option<String>,

    /// Database to SELECT on every connection.
    #[arg(long, default_value_t = 0, help_heading = "Server")]
    pub db: u32,

    /// Protocol: 2 is what a connection starts with, 3 sends HELLO 3 first.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=3), help_heading = "Server")]
    pub resp: u8,

    /// Process id of a server on this machine: also report its CPU time per request, summed over its
    /// threads, and its resident memory before and after.
    #[arg(long, value_name = "PID", help_heading = "Server")]
    pub server_pid: Option<u32>,

    /// Commands to send, drawn at random, with optional weights: `get`, `get:9,set:1`, `mset,ping`.
    /// Known: ping, get, set, setex, incr, del, exists, mget, mset, getset-mix, lpush, rpop, sadd,
    /// hset, zadd. Default: get:9,set:1.
    #[arg(
        long,
        value_name = "NAME[:WEIGHT],...",
        conflicts_with_all = ["ratio", "template"],
        help_heading = "Workload"
    )]
    pub command: Option<String>,

    /// Mix of GET and SET, as reads:writes, for example 9:1.
    #[arg(
        long,
        value_name = "READS:WRITES",
        conflicts_with = "template",
        help_heading = "Workload"
    )]
    pub ratio: Option<Ratio>,

    /// A command of your own, word by word, after all options. Each `__key__` becomes a key of the
    /// key space, each `__value__` a value of --value-size.
    #[arg(value_name = "COMMAND WORD", trailing_var_arg = true, allow_hyphen_values = true)]
    pub template: Vec<String>,

    /// Size of the key space. Keys are 16 bytes: key:000000000000 and on.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000), help_heading = "Workload")]
    pub keys: u64,

    /// Which keys are asked for: uniform, zipf (a few keys get most requests; zipf:THETA sets the
    /// skew, 0.99 if not given), sequential (in order, round and round), gaussian (around the middle).
    #[arg(long, default_value = "uniform", help_heading = "Workload")]
    pub distribution: Distribution,

    /// Bytes in a value: a number, or MIN-MAX for sizes drawn evenly between the two.
    #[arg(long, default_value = "64", help_heading = "Workload")]
    pub value_size: ValueSize,

    /// Start of the random sequences: the same seed sends the same requests.
    #[arg(long, default_value_t = 1, help_heading = "Workload")]
    pub seed: u64,

    /// Write every key once, in order, before the measurement, and check that all of them arrived.
    #[arg(long, help_heading = "Workload")]
    pub preload: bool,

    /// Stop after --preload.
    #[arg(long, requires = "preload", help_heading = "Workload")]
    pub preload_only: bool,

    /// Fail if any reply is null. Misses are cheaper for a server than hits, so a benchmark of reads
    /// over keys that do not exist says little; misses are always counted.
    #[arg(long, help_heading = "Workload")]
    pub expect_hits: bool,

    /// Connections, shared out over the threads.
    #[arg(short, long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=65_000), help_heading = "Load")]
    pub connections: u32,

    /// Client threads. One is enough until the report warns that the client is the bottleneck.
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256), help_heading = "Load")]
    pub threads: u32,

    /// Requests sent in one write, before their replies are read.
    #[arg(short = 'P', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Load")]
    pub pipeline: u32,

    /// Send this command after each batch, in the same write: its requests then count as answered
    /// when it is. It is not a request itself. With `--then "WAIT 1 0"` and writes, throughput and
    /// latency are those of writes that a replica has acknowledged.
    #[arg(long, value_name = "COMMAND", conflicts_with = "rate", help_heading = "Load")]
    pub then: Option<String>,

    /// Send the command of --then once the batch is answered, as clients do that call one after the
    /// other: a round trip of its own.
    #[arg(long, requires = "then", help_heading = "Load")]
    pub then_apart: bool,

    /// Measure this many requests.
    #[arg(short = 'n', long, conflicts_with = "seconds", help_heading = "Load")]
    pub requests: Option<u64>,

    /// Measure for so long. Default: 10 seconds.
    #[arg(short, long, help_heading = "Load")]
    pub seconds: Option<f64>,

    /// Run for so many seconds first without measuring.
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS", help_heading = "Load")]
    pub warmup: f64,

    /// Open loop: so many requests per second over all connections, whether or not replies come.
    #[arg(long, value_name = "REQUESTS PER SECOND", help_heading = "Load")]
    pub rate: Option<f64>,

    /// Open loop: gaps between requests, random as from many independent users, or all equal.
    #[arg(long, value_enum, default_value_t = Arrival::Poisson, help_heading = "Load")]
    pub arrival: Arrival,

    /// Open loop: watch the clock instead of sleeping, so that requests leave on time. Takes a whole
    /// core for each thread; the server needs others.
    #[arg(long, requires = "rate", help_heading = "Load")]
    pub spin: bool,

    /// Open loop: rest for so many microseconds between looks for what is due and for replies, instead
    /// of waking for each. For a core that is shared: it costs less of it, and latencies are longer by
    /// at most twice this.
    #[arg(long, requires = "rate", conflicts_with = "spin", value_name = "MICROSECONDS", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Load")]
    pub rest: Option<u32>,

    /// Open loop: the most requests that may wait for replies on one connection. When all connections
    /// are there, requests are sent late; their latency still counts from when they were due.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Load")]
    pub outstanding: u32,

    /// Give up when the server sends nothing for so many seconds although replies are due.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS", help_heading = "Load")]
    pub timeout: f64,

    /// Print one JSON object and nothing else on standard output.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// How the times between requests are chosen in open loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arrival {
    /// Exponentially distributed gaps: many independent users.
    Poisson,
    /// Equal gaps.
    Constant,
}

/// Which keys of the key space are asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Each key equally often.
    Uniform,
    /// The n-th most popular key with a frequency proportional to 1 / n^theta.
    Zipf {
        /// Skew: 0 < theta <= 10.
        theta: f64,
    },
    /// One after the other, starting again at the end.
    Sequential,
    /// Normal around the middle of the key space, one sixth of it as standard deviation.
    Gaussian,
}

/// Bytes of a value, drawn evenly from `min..=max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueSize {
    /// Smallest size, at most `max`.
    pub min: u32,
    /// Largest size, at most 64 MiB.
    pub max: u32,
}

/// Weights of reads and writes; not both zero, each at most 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    /// Weight of GET.
    pub reads: u16,
    /// Weight of SET.
    pub writes: u16,
}

/// The largest value that can be asked for, in bytes.
const VALUE_BYTES_MAX: u32 = 64 << 20;

/// The largest weight of one command in a mix.
pub(crate) const WEIGHT_MAX: u16 = 1000;

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "uniform" => Ok(Self::Uniform),
            None if text == "sequential" => Ok(Self::Sequential),
            None if text == "gaussian" => Ok(Self::Gaussian),
            None if text == "zipf" => Ok(Self::Zipf { theta: 0.99 }),
            Some(("zipf", theta)) => match theta.parse::<f64>() {
                Ok(theta) if theta > 0.0 && theta <= 10.0 => Ok(Self::Zipf { theta }),
                _ => Err("theta is a number above 0 and at most 10, as in zipf:0.99".into()),
            },
            _ => Err("choose uniform, zipf, zipf:THETA, sequential or gaussian".into()),
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf { theta } => write!(f, "zipf:{theta}"),
            Self::Sequential => f.write_str("sequential"),
            Self::Gaussian => f.write_str("gaussian"),
        }
    }
}

impl FromStr for ValueSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        match (min.trim().parse::<u32>(), max.trim().parse::<u32>()) {
            (Ok(min), Ok(max)) if min <= max && max <= VALUE_BYTES_MAX => Ok(Self { min, max }),
            _ => Err(format!(
                "give bytes as 64 or 16-1024, the smaller first, at most {VALUE_BYTES_MAX}"
            )),
        }
    }
}

impl fmt::Display for ValueSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            return write!(f, "{}", self.min);
        }
        write!(f, "{}-{}", self.min, self.max)
    }
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let weight = |word: &str| word.trim().parse::<u16>().ok().filter(|w| *w <= WEIGHT_MAX);
        let (reads, writes) = text.split_once(':').unwrap_or((text, ""));
        match (weight(reads), weight(writes)) {
            (Some(reads), Some(writes)) if reads + writes > 0 => Ok(Self { reads, writes }),
            _ => Err("give reads:writes, as in 9:1, each at most 1000, not both 0".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_sizes_are_a_number_or_a_range() {
        assert_eq!("64".parse(), Ok(ValueSize { min: 64, max: 64 }));
        assert_eq!("16-1024".parse(), Ok(ValueSize { min: 16, max: 1024 }));
        for wrong in ["", "-", "9-8", "-1", "99999999999", "a-b"] {
            assert!(wrong.parse::<ValueSize>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn distributions_read_back_what_they_print() {
        for text in ["uniform", "zipf:0.99", "zipf:1.2", "sequential", "gaussian"] {
            let parsed: Distribution = text.parse().expect("listed spelling");
            assert_eq!(parsed.to_string(), text);
        }
        for wrong in ["zipf:0", "zipf:-1", "zipf:NaN", "zipf:x", "normal", ""] {
            assert!(wrong.parse::<Distribution>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ratios_need_two_weights() {
        assert_eq!("9:1".parse(), Ok(Ratio { reads: 9, writes: 1 }));
        for wrong in ["9", "0:0", "1:2000", "a:b", "1:2:3"] {
            assert!(wrong.parse::<Ratio>().is_err(), "{wrong}");
        }
    }
}
