//! Golden transcripts of the cores: a script says what happens, below each line stands what is done.
//!
//! One script per behaviour, its file is named like its test. `UPDATE_GOLDEN=1` writes the answers anew;
//! read the difference before you commit it. The words are explained in `scripts/README.md`.

mod describe;
mod follower_stage;
mod leader_stage;
mod line;

use std::path::{Path, PathBuf};

use follower_stage::FollowerStage;
use leader_stage::LeaderStage;
use line::Line;

/// The core that a script plays with.
enum Stage {
    Leader(Box<LeaderStage>),
    Follower(Box<FollowerStage>),
}

impl Stage {
    /// The first line says which core it is about.
    fn open(line: &Line) -> Stage {
        match line.word.as_str() {
            "leader" => Stage::Leader(Box::new(LeaderStage::new(line))),
            "follower" => Stage::Follower(Box::new(FollowerStage::new(line))),
            other => panic!("a script begins with a leader or a follower, not {other:?}"),
        }
    }

    fn play(&mut self, line: &Line) -> Vec<String> {
        match self {
            Stage::Leader(stage) => stage.play(line),
            Stage::Follower(stage) => stage.play(line),
        }
    }
}

/// Plays a script: its own lines, each with the answer below.
fn play(script: &str) -> String {
    let mut played = String::new();
    let mut stage = None;
    for text in script.lines().filter(|text| !text.starts_with(' ')) {
        played.push_str(text);
        played.push('\n');
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let line = Line::parse(text);
        let answers = match &mut stage {
            None => {
                stage = Some(Stage::open(&line));
                Vec::new()
            }
            Some(stage) => stage.play(&line),
        };
        for answer in answers {
            played.push_str("    ");
            played.push_str(&answer);
            played.push('\n');
        }
    }
    played
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scripts")
}

fn check(name: &str) {
    let path = scripts().join(format!("{name}.txt"));
    let script = std::fs::read_to_string(&path).expect("the script is there");
    let played = play(&script);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, played).expect("the script can be written");
        return;
    }
    for (at, (expected, found)) in script.lines().zip(played.lines()).enumerate() {
        assert_eq!(found, expected, "{}:{}", path.display(), at + 1);
    }
    assert_eq!(script.lines().count(), played.lines().count(), "{}", path.display());
}

macro_rules! golden {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(stringify!($name)); })*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

golden! {
    a_commit_needs_k_members_and_tells_idle_followers_at_once
    a_follower_becomes_a_member_once_that_is_written_down
    a_follower_that_comes_and_goes_has_to_wait
    a_forgotten_member_does_not_count
    a_full_window_holds_records_back
    a_full_window_of_chunks_and_a_broken_transfer_go_on
    a_new_epoch_commits_through_its_barrier
    a_silent_link_is_closed
    a_slow_transfer_is_given_up
    a_snapshot_that_comes_too_late_is_replaced_a_few_times
    a_stricter_policy_applies_besides_the_old_one_at_first
    a_newer_epoch_deposes_the_leader
    degraded_commits_are_not_safe_and_end
    lag_is_honest_and_raises_alerts
    level_applied_holds_replies_back_not_commits
    stale_and_impossible_acknowledgements_count_for_nothing
    sync_without_members_commits_nothing
    what_a_follower_lost_does_not_count_any_more
    who_falls_behind_the_kept_log_is_lost_and_seeded

    a_diverged_tail_is_archived_and_cut
    a_duplicate_is_acknowledged_and_a_gap_asks_again
    a_follower_applies_what_is_committed
    a_follower_is_ready_when_what_it_replayed_is_committed
    a_person_may_give_up_a_whole_history
    a_recovering_leader_gets_the_tail
    a_snapshot_is_installed_and_resumed
    a_snapshot_is_served_once_its_end_is_committed
    probes_tell_how_fresh_reads_are
    what_a_predecessor_may_have_committed_is_held_by_those_who_stay
    what_is_safe_is_not_cut
    who_may_not_lead_is_not_believed
}

#[test]
fn every_script_is_played() {
    let files = std::fs::read_dir(scripts()).expect("the scripts are there");
    for file in files {
        let path = file.expect("it can be listed").path();
        let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        assert!(name == "README" || NAMES.contains(&name.as_str()), "{name} is not played");
    }
}
