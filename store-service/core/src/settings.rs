//! What the operator decides about the core: plain values, which whoever reads the settings fills in.

mod files;
mod inspection;
mod modules;
mod queue;

pub use files::FileRules;
pub use inspection::InspectionRules;
pub use modules::{ModuleRules, SourceOrigin, UnknownModules};
pub use queue::QueueLimits;
