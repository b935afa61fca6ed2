//! A line of CLIENT LIST.

use std::io::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use super::{ClientRecord, Mark};
use crate::table::TABLE;

impl ClientRecord {
    /// Appends the line, without its end. What is counted differently here than in Redis, or not at
    /// all (buffers of queries, the kernel's descriptor), is 0.
    pub fn describe(&self, now_ms: u64, line: &mut Vec<u8>) {
        let labels = self.labels();
        let (id, slot) = (self.address.id, self.address.slot);
        let (peer, local) = (self.peer, self.local);
        write_all(line, format_args!("id={id} addr={peer} laddr={local} fd={slot} name="));
        line.extend_from_slice(&labels.name);
        let (age, idle) = (self.age_s(now_ms), self.idle_s(now_ms));
        write_all(line, format_args!(" age={age} idle={idle} flags="));
        self.letters(line);
        let [sub, psub, ssub] =
            [&self.channels, &self.patterns, &self.shard_channels].map(|count| count.load(Relaxed));
        let (db, multi) = (self.db.load(Relaxed), self.queued.load(Relaxed));
        let omem = self.output_bytes.load(Relaxed);
        let tot_mem = size_of::<ClientRecord>() as u64 + omem;
        write_all(
            line,
            format_args!(
                " db={db} sub={sub} psub={psub} ssub={ssub} multi={multi} qbuf=0 qbuf-free=0 \
                 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem={omem} tot-mem={tot_mem} \
                 events=r cmd={} user=default redir=-1 resp={} lib-name=",
                self.last_command_name(),
                self.resp.load(Relaxed),
            ),
        );
        line.extend_from_slice(&labels.lib_name);
        line.extend_from_slice(b" lib-ver=");
        line.extend_from_slice(&labels.lib_version);
    }

    fn letters(&self, line: &mut Vec<u8>) {
        let before = line.len();
        let letters = Mark::LETTERS.iter().filter(|(mark, _)| self.is_marked(*mark));
        line.extend(letters.map(|(_, letter)| letter));
        if line.len() == before {
            line.push(b'N');
        }
    }

    fn last_command_name(&self) -> &'static str {
        TABLE.by_id(self.last_command.load(Relaxed)).map_or("NULL", |entry| &entry.full_name)
    }
}

fn write_all(line: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("a vector takes every byte");
}
