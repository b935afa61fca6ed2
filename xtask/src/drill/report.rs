//! The tale in tables, and what is wrong with it.

use std::collections::BTreeMap;

use super::regions::NAMES;
use super::tale::{Phase, Tale};
use crate::failover::{Change, SILENT, check_epochs, to_ms};
use crate::terminal::table;

/// All is to be well so soon after the heal.
const NORMAL_MS: f64 = 10_000.0;

pub(super) fn print(tale: &Tale<'_>, errors: &BTreeMap<String, (u64, String)>) {
    print_writes(tale);
    print_course(tale);
    print_archives(tale);
    let phases = tale.phases;
    println!(
        "after the heal: all nodes follow one leader after {:.0} ms, every client writes after {:.0} ms",
        to_ms(phases.whole_us - phases.healed_us),
        to_ms(phases.writing_us - phases.healed_us)
    );
    println!(
        "acknowledged and not there: {}, of these found in archives with receipts: {}",
        tale.audit.lost(),
        tale.audit.accounted()
    );
    for (word, (count, first)) in errors {
        println!("error {word}, {count} times, first: {first}");
    }
}

fn print_writes(tale: &Tale<'_>) {
    let mut rows = table(["clients", "phase", "acknowledged", "refused", "unknown"]);
    for region in NAMES {
        for phase in Phase::ALL {
            let counts = tale.counts(region, phase);
            rows.add_row([
                region.to_owned(),
                phase.name().to_owned(),
                counts.acked.to_string(),
                counts.refused.to_string(),
                counts.unknown.to_string(),
            ]);
        }
    }
    println!("{rows}");
    for region in NAMES {
        match tale.acked_while_apart_us(region) {
            Some((first_us, last_us)) => println!(
                "{region} had writes acknowledged from {:.1} s to {:.1} s after the cut",
                first_us as f64 / 1e6,
                last_us as f64 / 1e6
            ),
            None => println!("{region} had no write acknowledged while the regions were apart"),
        }
    }
}

/// Who was what since when, seconds from the cut.
fn print_course(tale: &Tale<'_>) {
    let mut rows = table(["seconds from the cut", "node", "region", "is", "epoch"]);
    for Change { at_us, node, role, epoch } in tale.changes {
        let after_cut = (*at_us as f64 - tale.phases.cut_us as f64) / 1e6;
        // A busy machine may keep a question waiting; that is no event.
        if role != SILENT {
            rows.add_row([
                format!("{after_cut:.1}"),
                node.to_string(),
                tale.regions.name_of(*node).to_owned(),
                role.clone(),
                epoch.to_string(),
            ]);
        }
    }
    println!("{rows}");
}

fn print_archives(tale: &Tale<'_>) {
    let mut rows = table(["node", "archive", "epoch", "records", "acks", "acknowledged", "keys"]);
    for (node, archive) in tale.audit.archives() {
        let receipt = archive.receipt.as_ref();
        let of = |text: Option<String>| text.unwrap_or_else(|| "no receipt".to_owned());
        rows.add_row([
            node.to_string(),
            archive.id.clone(),
            archive.epoch.to_string(),
            archive.records.to_string(),
            of(receipt.map(|receipt| receipt.acks.clone())),
            of(receipt.map(|receipt| receipt.acknowledged.to_string())),
            of(receipt.map(|receipt| receipt.keys.to_string())),
        ]);
    }
    if tale.audit.archives().next().is_none() {
        println!("nothing was cut off from any log");
    } else {
        println!("cut off and archived:\n{rows}");
    }
}

/// Whatever must not be.
pub(super) fn wrong(tale: &Tale<'_>) -> Vec<String> {
    let mut wrong = tale.audit.complaints();
    let epochs = check_epochs(tale.changes);
    if !epochs.holds() {
        wrong.push(epochs.to_string());
    }
    let normal_ms = to_ms(tale.phases.normal_after_us());
    if normal_ms >= NORMAL_MS {
        wrong.push(format!(
            "all was well {normal_ms:.0} ms after the heal; the target is under {NORMAL_MS:.0}"
        ));
    }
    for region in NAMES {
        for phase in [Phase::Before, Phase::After] {
            if tale.counts(region, phase).acked == 0 {
                wrong.push(format!("{region} had no write acknowledged {}", phase.name()));
            }
        }
    }
    wrong
}
