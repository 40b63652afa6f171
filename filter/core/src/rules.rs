//! The policy's rules at work: each looks at one thing and says whether it would deny it.

pub(crate) mod actions;
pub(crate) mod cors;
pub(crate) mod grants;
pub(crate) mod packages;
pub(crate) mod restrictions;
pub(crate) mod tenants;
