//! Which module of the store's crates may use which. What Cargo keeps is not said again: the adapters are crates of their
//! own, and the core has neither of them among its dependencies.

use super::modules::Table;

/// Modules of the service. `main` and `commands` need its wiring, for the runtime.
pub(super) const SERVICE: Table = &[
    ("main", &["commands", "config", "telemetry", "lib"]),
    ("commands", &["config", "telemetry", "lib"]),
    ("http", &["config"]),
    ("telemetry", &["config"]),
    ("config", &[]),
];

/// Modules of the core.
pub(super) const CORE: Table = &[
    ("maintenance", &["attest", "data_dir", "failpoint", "ingest"]),
    ("ingest", &["attest", "budget", "failpoint", "metrics", "settings", "trace"]),
    ("attest", &["data_dir"]),
    ("metrics", &["trace"]),
    ("settings", &["budget"]),
    ("budget", &[]),
    ("data_dir", &[]),
    ("failpoint", &[]),
    ("trace", &[]),
];

/// Modules of the download.
pub(super) const FETCH: Table = &[
    ("client", &["client::*", "config", "source"]),
    (
        "client::download",
        &[
            "client::attempts",
            "client::min_rate",
            "client::page",
            "client::range_fetcher",
            "client::representation",
            "client::retry",
            "source",
        ],
    ),
    (
        "client::attempts",
        &["client::range_fetcher", "client::redirects", "client::representation", "client::retry", "config", "source"],
    ),
    (
        "client::range_fetcher",
        &["client::min_rate", "client::redirects", "client::representation", "client::retry", "source"],
    ),
    ("client::representation", &["client::validator", "source"]),
    ("client::redirects", &["client::guard", "client::unreachable", "config", "source"]),
    ("client::unreachable", &["client::guard", "source"]),
    ("client::validator", &["client::retry"]),
    ("client::retry", &["source"]),
    ("client::page", &["source"]),
    ("client::min_rate", &["config", "source"]),
    ("client::guard", &["source"]),
    ("config", &[]),
    ("source", &[]),
];
