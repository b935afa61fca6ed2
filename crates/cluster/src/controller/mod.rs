//! (being written)

mod options;
mod plan;
mod stage;

pub use options::ControllerOptions;
pub use plan::{Fitness, Outcome, Plan, PlanRow};
pub use stage::{Lack, Stage};
