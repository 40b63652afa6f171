//! What the operator decides about the core: plain values, which whoever reads the settings fills in.

mod files;
mod inspection;
mod modules;
mod patterns;
mod queue;
mod quotas;
mod retention;

pub use files::FileRules;
pub use inspection::InspectionRules;
pub use modules::{ModuleRules, SourceOrigin, UnknownModules};
pub use patterns::Patterns;
pub use queue::QueueLimits;
pub use quotas::{Demand, Quota, QuotaExceeded, QuotaLimits, QuotaRule, QuotaRules, Usage, UsageOfTarget};
pub use retention::{RetentionMode, RetentionOrder, RetentionRule, RetentionRules};
