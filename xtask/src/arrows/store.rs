//! Which module of the store's crates may use which. What Cargo keeps is not said again: the adapters are crates of their
//! own, and the core has neither of them among its dependencies.

use super::modules::Table;

/// Modules of the service. `main` and `commands` need its wiring, for the runtime.
pub(super) const SERVICE: Table = &[
    ("main", &["commands", "config", "telemetry", "lib"]),
    ("commands", &["bucket", "config", "telemetry", "lib"]),
    ("http", &["config"]),
    ("telemetry", &["config"]),
    ("bucket", &[]),
    ("config", &[]),
];

/// Modules of the core.
pub(super) const CORE: Table = &[
    ("download", &["ingest", "metrics"]),
    ("lifecycle", &["ingest", "metrics", "settings"]),
    (
        "maintenance",
        &["attest", "data_dir", "failpoint", "hasher", "ingest", "metrics", "own_key", "retention", "signed_url"],
    ),
    ("retention", &["ingest", "metrics", "settings", "version_order"]),
    (
        "ingest",
        &[
            "attest",
            "block",
            "budget",
            "conditions",
            "failpoint",
            "keyed_locks",
            "metrics",
            "sealing",
            "settings",
            "trace",
        ],
    ),
    ("attest", &["own_key"]),
    ("signed_url", &["csrf", "own_key"]),
    ("csrf", &["own_key"]),
    ("own_key", &["data_dir"]),
    ("metrics", &["trace"]),
    ("settings", &["budget"]),
    ("block", &[]),
    ("budget", &[]),
    ("hasher", &[]),
    ("keyed_locks", &[]),
    ("conditions", &[]),
    ("data_dir", &[]),
    ("failpoint", &[]),
    ("sealing", &[]),
    ("trace", &[]),
    ("version_order", &[]),
];

/// Modules of the download.
pub(super) const FETCH: Table = &[
    ("client", &["client::*", "config", "credentials", "source", "trust"]),
    (
        "client::download",
        &[
            "client::attempts",
            "client::exchange",
            "client::page",
            "client::range_fetcher",
            "client::representation",
            "client::retry",
            "config",
            "min_rate",
            "source",
        ],
    ),
    (
        "client::attempts",
        &[
            "client::exchange",
            "client::range_fetcher",
            "client::redirects",
            "client::representation",
            "client::retry",
            "config",
            "credentials",
            "source",
        ],
    ),
    ("client::range_fetcher", &["client::redirects", "client::representation", "client::retry", "min_rate", "source"]),
    ("client::representation", &["client::exchange", "client::validator", "credentials", "source"]),
    (
        "client::redirects",
        &[
            "client::connector",
            "client::exchange",
            "client::guard",
            "client::tunnel",
            "client::unreachable",
            "config",
            "credentials",
            "source",
            "trust",
        ],
    ),
    (
        "client::connector",
        &[
            "client::guard",
            "client::stream",
            "client::tls",
            "client::tunnel",
            "client::unreachable",
            "config",
            "proxy",
            "source",
            "trust",
        ],
    ),
    ("client::tunnel", &["client::exchange", "client::stream", "proxy", "source"]),
    ("client::unreachable", &["client::exchange", "client::guard", "client::tls", "source"]),
    ("client::tls", &["client::stream", "trust"]),
    ("client::validator", &["client::retry"]),
    ("client::retry", &["client::exchange", "credentials", "source"]),
    ("client::page", &["client::exchange", "source"]),
    ("client::exchange", &["client::stream", "source"]),
    ("client::stream", &[]),
    ("client::guard", &[]),
    ("min_rate", &["config", "source"]),
    ("config", &["credentials", "proxy", "trust"]),
    ("credentials", &["shared_list", "source"]),
    ("proxy", &[]),
    ("source", &[]),
    ("trust", &["shared_list"]),
    ("shared_list", &[]),
];
