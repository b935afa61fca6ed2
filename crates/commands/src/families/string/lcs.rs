//! LCS: what two strings have in common, in order but not necessarily side by side.

use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::READS;
use crate::spec::{Access, Arg, ArgKind, Command, Group, KeySpec, Spec};

/// Bytes that a cell of the table takes in Redis, whose limit is ours, though our cells take a bit.
const CELL_LEN: usize = 4;

pub(super) const LCS: Command<DataHandler> = Command::new(
    Spec {
        name: "lcs",
        arity: -3,
        flags: READS,
        keys: &[KeySpec { first: 1, last: 2, step: 1, access: Access::Read }],
        group: Group::String,
        since: "7.0.0",
        summary: "Finds the longest sequence of bytes that is within both strings.",
        complexity: "O(N*M) in the lengths of the strings",
        args: &[
            Arg::required("key1", ArgKind::Key(0)),
            Arg::required("key2", ArgKind::Key(0)),
            Arg::optional("len", "LEN", ArgKind::PureToken),
            Arg::optional("idx", "IDX", ArgKind::PureToken),
            Arg::optional("min-match-len", "MINMATCHLEN", ArgKind::Integer),
            Arg::optional("withmatchlen", "WITHMATCHLEN", ArgKind::PureToken),
        ],
        ..Spec::BASE
    },
    lcs,
);

#[derive(Default)]
struct Options {
    len: bool,
    ranges: bool,
    range_len_min: usize,
    range_lens: bool,
}

impl Options {
    fn parse(call: &Call<'_, '_>) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut at = 3;
        while at < call.len() {
            match () {
                () if call.is(at, "LEN") => options.len = true,
                () if call.is(at, "IDX") => options.ranges = true,
                () if call.is(at, "WITHMATCHLEN") => options.range_lens = true,
                () if call.is(at, "MINMATCHLEN") && at + 1 < call.len() => {
                    at += 1;
                    options.range_len_min = usize::try_from(call.integer(at)?).unwrap_or(0);
                }
                () => return Err(CommandError::Syntax),
            }
            at += 1;
        }
        if options.len && options.ranges {
            return Err(CommandError::Other(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

fn lcs(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let (a, b) = (string(call, 1)?, string(call, 2)?);
    let options = Options::parse(call)?;
    let mut table = Table::new(&a, &b, call.string_len_max)?;
    let len = table.fill(&a, &b);
    if options.len {
        call.out.integer(len as i64);
    } else if options.ranges {
        reply_ranges(call, &options, &table.ranges(&a, &b), len);
    } else {
        let mut common = Vec::with_capacity(len);
        for range in table.ranges(&a, &b).iter().rev() {
            common.extend_from_slice(&a[range.a..range.a + range.len]);
        }
        call.out.bulk(&common);
    }
    Ok(())
}

fn string(call: &mut Call<'_, '_>, at: usize) -> Result<Vec<u8>, CommandError> {
    let key = call.key(at);
    match call.txn.string(&key) {
        Ok(view) => Ok(view.map_or_else(Vec::new, |view| view.bytes().to_vec())),
        Err(_) => Err(CommandError::Other("ERR The specified keys must contain string values")),
    }
}

fn reply_ranges(call: &mut Call<'_, '_>, options: &Options, ranges: &[Range], len: usize) {
    let out = &mut call.out;
    let long = || ranges.iter().filter(|range| range.len >= options.range_len_min);
    out.map(2);
    out.bulk(b"matches");
    out.array(long().count());
    for range in long() {
        out.array(if options.range_lens { 3 } else { 2 });
        for start in [range.a, range.b] {
            out.array(2);
            out.integer(start as i64);
            out.integer((start + range.len - 1) as i64);
        }
        if options.range_lens {
            out.integer(range.len as i64);
        }
    }
    out.bulk(b"len");
    out.integer(len as i64);
}

/// A run of bytes that both strings contribute.
#[derive(Clone, Copy)]
struct Range {
    a: usize,
    b: usize,
    len: usize,
}

/// For each pair of prefixes, whether the last byte of `a` is the one to give up. The lengths of
/// the common sequences need only the row before.
struct Table {
    columns: usize,
    gives_up_a: Vec<u64>,
}

impl Table {
    fn new(a: &[u8], b: &[u8], len_max: usize) -> Result<Table, CommandError> {
        const NO_MEMORY: CommandError = CommandError::Other(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        );
        (a.len() + 1)
            .checked_mul(b.len() + 1)
            .and_then(|cells| cells.checked_mul(CELL_LEN))
            .filter(|&len| len <= len_max)
            .ok_or(NO_MEMORY)?;
        let words = (a.len() * b.len()).div_ceil(64);
        Ok(Table { columns: b.len(), gives_up_a: vec![0; words] })
    }

    /// Fills the table and returns the length of the longest common sequence.
    fn fill(&mut self, a: &[u8], b: &[u8]) -> usize {
        let mut row = vec![0_u32; b.len() + 1];
        for (i, &from_a) in a.iter().enumerate() {
            let mut diagonal = 0;
            for (j, &from_b) in b.iter().enumerate() {
                let (above, left) = (row[j + 1], row[j]);
                row[j + 1] = if from_a == from_b { diagonal + 1 } else { above.max(left) };
                let cell = i * self.columns + j;
                self.gives_up_a[cell / 64] |= u64::from(above > left) << (cell % 64);
                diagonal = above;
            }
        }
        row[b.len()] as usize
    }

    /// The runs of one longest common sequence, the last one first.
    fn ranges(&self, a: &[u8], b: &[u8]) -> Vec<Range> {
        let (mut i, mut j) = (a.len(), b.len());
        let mut ranges = Vec::new();
        let mut open: Option<Range> = None;
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                open = Some(Range { a: i, b: j, len: open.map_or(0, |range| range.len) + 1 });
                continue;
            }
            ranges.extend(open.take());
            let cell = (i - 1) * self.columns + (j - 1);
            if self.gives_up_a[cell / 64] >> (cell % 64) & 1 == 1 {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        ranges.extend(open);
        ranges
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    #[test]
    fn the_longest_common_sequence_is_shown_measured_and_located() {
        let mut server = Server::new();
        server.check(&[
            ("MSET a ohmytext b mynewtext", "+OK"),
            ("LCS a b", "$6 mytext"),
            ("LCS a b LEN", ":6"),
            ("LCS a b IDX", "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6"),
            (
                "LCS a b idx minmatchlen 4 withmatchlen",
                "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6",
            ),
            ("LCS a b MINMATCHLEN 4", "$6 mytext"),
            ("LCS a a IDX MINMATCHLEN -1", "*4 $7 matches *1 *2 *2 :0 :7 *2 :0 :7 $3 len :8"),
            ("LCS a none IDX", "*4 $7 matches *0 $3 len :0"),
            ("LCS none b", "$0 "),
            ("LCS none b LEN", ":0"),
            (
                "LCS a b IDX LEN",
                "-ERR If you want both the length and indexes, please just use IDX.",
            ),
            ("LCS a b FOO", "-ERR syntax error"),
            ("LCS a b MINMATCHLEN", "-ERR syntax error"),
            ("LCS a b MINMATCHLEN x", "-ERR value is not an integer or out of range"),
        ]);
        server.string_len_max = 9 * 10 * 4 - 1;
        server.check(&[(
            "LCS a b",
            "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        )]);
        server.speak_resp3();
        server.check(&[("LCS a none IDX", "%2 $7 matches *0 $3 len :0")]);
    }
}
