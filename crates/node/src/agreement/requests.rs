//! What people ask of the cluster, and the answers. A command asks, its connection waits, the control
//! thread answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use trefoil_cluster::control::{Done, Request, RequestError};

/// Requests that wait at the same time, and answers that nobody has fetched.
const KEPT_MAX: usize = 256;

/// What came of a request.
pub type Answer = Result<Done, RequestError>;

/// A request on its way to the control thread.
pub struct Asked {
    /// Its number on this node.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// See the module.
#[derive(Default)]
pub struct Requests(Mutex<All>);

#[derive(Default)]
struct All {
    last: u64,
    asked: VecDeque<Asked>,
    answers: BTreeMap<u64, Answer>,
}

impl Requests {
    /// Asks; the caller wakes the control thread. None: too many wait.
    pub fn ask(&self, request: Request) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.asked.len() >= KEPT_MAX {
            return None;
        }
        all.last += 1;
        let id = all.last;
        all.asked.push_back(Asked { id, request });
        Some(id)
    }

    /// Taken by the control thread.
    pub fn take(&self) -> Option<Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).asked.pop_front()
    }

    /// Told by the control thread; it wakes those who wait.
    pub fn answer(&self, id: u64, answer: Answer) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.answers.insert(id, answer);
        // Whose client has gone does not come for its answer.
        while all.answers.len() > KEPT_MAX {
            all.answers.pop_first();
        }
    }

    /// The answer, if it is there.
    pub fn fetch(&self, id: u64) -> Option<Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).answers.remove(&id)
    }
}
