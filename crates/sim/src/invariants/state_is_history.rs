//! What a node shows is what its history makes: no half transactions, no holes, nothing twice, after
//! replay, installs of snapshots and rebuilt stores. Pitfalls 12, 24, 25 and 27.

use super::Judge;

impl Judge {
    /// A node's store, at a record, has this digest.
    pub(crate) fn check_state(&mut self, slot: usize, id: u64, digest: u64) {
        let expected = self.known[id as usize].state.digest();
        if digest != expected {
            let position = self.known[id as usize].position;
            let text = format!(
                "n{slot} at record {id} ({position:?}) does not show what its history makes"
            );
            self.broken("state is history", text);
        }
    }
}
