//! Whether the log still has all that this node ever acknowledged. After a power loss it may not, unless
//! all was synced before it was acknowledged; then the node is no witness of what others may lack, until
//! it has caught up with a leader.
//!
//! What a process handed to its operating system survives the process, so what counts is whether the
//! machine has run since: the name of that boot is kept in a file, by whoever knows the log to be intact.

use trefoil_log::Disk;

use super::saved::{Boot, load_boot, save_boot};
use super::{Part, Peers};
use crate::log::Fsync;
use crate::replication::AckLevel;

/// See the module.
pub(super) struct Intact {
    boot: Option<String>,
    is_intact: bool,
    /// Whether the file, if this process wrote it, says that all is synced.
    kept: Option<bool>,
}

impl Intact {
    /// As a start finds it. `proven`: the last stop was clean, or there is nothing in the log.
    pub(super) fn find<D: Disk>(disk: &D, boot: Option<String>, proven: bool) -> Intact {
        let is_intact = load_boot(disk).map_or_else(
            |error| {
                eprintln!("trefoil: it is not known whether the log lacks anything: {error}");
                false
            },
            |kept| was_intact(kept, boot.as_deref(), proven),
        );
        if !is_intact {
            keep(disk, &Boot::Doubtful);
        }
        Intact { boot, is_intact, kept: None }
    }
}

fn was_intact(kept: Option<Boot>, boot: Option<&str>, proven: bool) -> bool {
    match kept {
        None => proven,
        Some(Boot::Doubtful) => false,
        Some(Boot::Intact { name, synced }) => {
            proven || synced || boot.is_some_and(|boot| name.as_deref() == Some(boot))
        }
    }
}

/// Without the file a restart takes the log for worse than it is, but after a clean stop.
fn keep<D: Disk>(disk: &D, boot: &Boot) {
    if let Err(error) = save_boot(disk, boot) {
        eprintln!("trefoil: whether the log is intact could not be kept: {error}");
    }
}

impl<D: Disk> Peers<D> {
    pub(super) fn is_intact(&self) -> bool {
        self.intact.is_intact
    }

    /// The log is about to be given up, to be had from a leader again.
    pub(super) fn doubt_log(&mut self) {
        self.intact.is_intact = false;
        self.intact.kept = None;
        keep(&self.disk, &Boot::Doubtful);
    }

    /// Looks whether the log has become intact again, and keeps that it is.
    pub(super) fn look_whether_intact(&mut self) {
        let again = match &self.part {
            Part::Leading(_) => true,
            Part::Following(following) => following.core.has_all_committed(),
            Part::Idle | Part::Recovering(_) => false,
        };
        self.intact.is_intact |= again;
        // Followers that acknowledge what they have received do so before they sync it.
        let received = self.policy().level == AckLevel::Received;
        let synced = self.node.log.fsync() == Fsync::Always && !received;
        if !self.intact.is_intact || self.intact.kept == Some(synced) {
            return;
        }
        keep(&self.disk, &Boot::Intact { name: self.intact.boot.clone(), synced });
        self.intact.kept = Some(synced);
    }
}

#[cfg(test)]
mod tests {
    use trefoil_log::FaultDisk;

    use super::*;

    fn finds(disk: &FaultDisk, boot: Option<&str>) -> bool {
        Intact::find(disk, boot.map(str::to_owned), false).is_intact
    }

    fn intact_in(boot: Option<&str>, synced: bool) -> FaultDisk {
        let disk = FaultDisk::new();
        let boot = Boot::Intact { name: boot.map(str::to_owned), synced };
        save_boot(&disk, &boot).expect("saved");
        assert_eq!(load_boot(&disk).expect("readable"), Some(boot));
        disk
    }

    #[test]
    fn a_log_is_intact_in_the_same_boot_or_if_all_of_it_was_synced() {
        assert!(finds(&intact_in(Some("one"), false), Some("one")), "the process was killed");
        assert!(!finds(&intact_in(Some("one"), false), Some("two")), "the power went");
        assert!(!finds(&intact_in(Some("one"), false), None), "nobody knows");
        assert!(!finds(&intact_in(None, false), None), "nobody knows");
        assert!(finds(&intact_in(Some("one"), true), Some("two")), "nothing can be missing");
    }

    #[test]
    fn a_log_that_is_in_doubt_stays_so_whatever_starts_and_stops_follow() {
        let disk = intact_in(Some("one"), false);
        assert!(!finds(&disk, Some("two")));
        assert!(!finds(&disk, Some("two")), "in the same boot again");
        assert!(!Intact::find(&disk, None, true).is_intact, "after a clean stop");
        assert!(Intact::find(&FaultDisk::new(), None, true).is_intact, "a new node");
    }
}
