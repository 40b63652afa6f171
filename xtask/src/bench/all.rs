//! `cargo xtask bench all`: one measurement after the other, and for each a page with its table and its charts in
//! `docs/benchmarks/`.
//!
//! Promises: each runs as it does by itself; a page says when, on what machine, beside which peers and by which command; what
//! was not measured keeps the page that it had. One that fails keeps none of the others from running, and is named at the
//! end. Refuses to say where anything lies on the machine, or what it is called.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::chart::Chart;
use super::machine;
use crate::error::{Failure, Outcome, Trying};
use crate::release::Release;
use crate::workspace::Workspace;

/// Where the pages are; nothing else is there.
const FOLDER: &str = "docs/benchmarks";
const GENERATED: &str = "<!-- generated: cargo xtask bench all -->";
/// The variable by which a bench learns where its figures go.
const FIGURES: &str = "LINKGATE_BENCH_FIGURES";

/// What there is to measure.
struct Measurement {
    name: &'static str,
    title: &'static str,
    /// What makes it short, and less exact.
    short: &'static [&'static str],
}

const ALL: [Measurement; 11] = [
    Measurement { name: "gate", title: "What the gate costs Envoy, in clear and under TLS", short: &["--rounds", "7"] },
    Measurement {
        name: "ingest",
        title: "How fast the store takes a package in, in clear and under TLS",
        short: &["--mib", "256", "--rounds", "3", "--small", "400"],
    },
    Measurement {
        name: "transfers",
        title: "How fast callers send and get files",
        short: &["--mib", "256", "--rounds", "3"],
    },
    Measurement {
        name: "push",
        title: "How fast the command line sends files",
        short: &["--mib", "256", "--files", "50", "--rounds", "3"],
    },
    Measurement {
        name: "shared",
        title: "What stores cost that share a database and a bucket",
        short: &["--mib", "256", "--rounds", "1"],
    },
    Measurement {
        name: "catalog",
        title: "What queries of the catalog cost as it grows",
        short: &["--packages", "100000", "--rounds", "3"],
    },
    Measurement {
        name: "pages",
        title: "What a page of a module's packages costs",
        short: &["--packages", "100000", "--rounds", "3"],
    },
    Measurement { name: "queue", title: "What uploads cost PostgreSQL", short: &["--cycles", "100"] },
    Measurement {
        name: "deletes",
        title: "What uploads take while packages are deleted",
        short: &["--packages", "300", "--rounds", "3"],
    },
    Measurement {
        name: "load",
        title: "Many uploads at once, and many small ones in a row",
        short: &["--small", "200"],
    },
    Measurement { name: "instructions", title: "How many instructions of the filter a request takes", short: &[] },
];

/// Flags of `all`.
#[derive(Args)]
pub struct Options {
    /// Smaller packages and fewer rounds: much sooner done, and less exact
    #[arg(long)]
    short: bool,
    /// Which ones, if not all
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(ALL.iter().map(|one| one.name)))]
    only: Vec<String>,
}

/// Measures, and writes the pages.
pub fn all(workspace: &Workspace, options: &Options) -> Outcome<()> {
    let folder = workspace.path(FOLDER);
    fs::create_dir_all(&folder).trying(|| format!("make {FOLDER}"))?;
    let context = Context {
        facts: machine::describe(workspace)?,
        commit: Release::find(workspace)?.commit,
        root: format!("{}/", workspace.root.display()),
    };
    let mut failed = Vec::new();
    let is_wanted = |one: &&Measurement| options.only.is_empty() || options.only.iter().any(|name| name == one.name);
    for one in ALL.iter().filter(is_wanted) {
        println!("\n== bench {}", one.name);
        if let Err(failure) = one.measure(&folder, &context, options.short) {
            println!("{failure}\n== bench {}: FAILED", one.name);
            failed.push(one.name);
        }
    }
    write(&folder.join("README.md"), &index(&folder))?;
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(format!("not measured: {}", failed.join(", ")))) }
}

/// What all pages say.
struct Context {
    facts: machine::Facts,
    commit: String,
    /// Where the sources are, which a page leaves out.
    root: String,
}

impl Measurement {
    fn measure(&self, folder: &Path, context: &Context, is_short: bool) -> Outcome<()> {
        let figures = tempfile::NamedTempFile::new().trying(|| "make a file for figures".to_owned())?;
        let arguments = [&["bench", self.name][..], if is_short { self.short } else { &[] }].concat();
        let own = std::env::current_exe().trying(|| "find this program".to_owned())?;
        let said =
            run_aloud(Command::new(own).args(&arguments).env(FIGURES, figures.path()))?.replace(&context.root, "");
        let lines = fs::read_to_string(figures.path()).trying(|| "read the figures".to_owned())?;
        let charts = Chart::read_all(&lines)?;
        self.remove_charts(folder)?;
        let below = format!("{} · {}", context.facts.machine, context.facts.date);
        for chart in &charts {
            write(&folder.join(self.file_of(chart)), &chart.draw(&below))?;
        }
        let command = format!("cargo xtask {}", arguments.join(" "));
        write(&folder.join(format!("{}.md", self.name)), &self.page(context, &command, &charts, &said))
    }

    /// Charts of another day would stand beside those of this one.
    fn remove_charts(&self, folder: &Path) -> Outcome<()> {
        let begins = format!("{}-", self.name);
        for entry in fs::read_dir(folder).trying(|| format!("read {FOLDER}"))? {
            let path = entry.trying(|| format!("read {FOLDER}"))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&begins) && name.ends_with(".svg") {
                fs::remove_file(&path).trying(|| format!("remove {name}"))?;
            }
        }
        Ok(())
    }

    fn file_of(&self, chart: &Chart) -> String {
        format!("{}-{}.svg", self.name, chart.name)
    }

    fn page(&self, context: &Context, command: &str, charts: &[Chart], said: &str) -> String {
        let Context { facts, commit, .. } = context;
        let pictures: String =
            charts.iter().map(|chart| format!("![{}]({})\n\n", chart.title, self.file_of(chart))).collect();
        format!(
            "{GENERATED}\n# {}\n\n`{command}`, on {}, commit {commit}.\nThe machine: {}. Beside: {}.\n\n{pictures}```text\n{}\n```\n",
            self.title,
            facts.date,
            facts.machine,
            facts.peers,
            said.trim_matches('\n')
        )
    }
}

/// A list of the pages that there are.
fn index(folder: &Path) -> String {
    let pages = ALL.iter().filter(|one| folder.join(format!("{}.md", one.name)).exists());
    let pages: String = pages.map(|one| format!("- [{}]({}.md)\n", one.title, one.name)).collect();
    format!(
        "{GENERATED}\n# Benchmarks\n\n`cargo xtask bench all` writes these pages. Each says on what machine it was measured. A bar is the \
         median of all rounds; half of them lie within its line.\n\n{pages}"
    )
}

/// Runs a command and gives what it printed, which is shown as it comes.
fn run_aloud(command: &mut Command) -> Outcome<String> {
    let mut child = command.stdout(Stdio::piped()).spawn().trying(|| "start the bench".to_owned())?;
    let mut said = String::new();
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
        let line = line.trying(|| "read what the bench prints".to_owned())?;
        println!("{line}");
        said += &line;
        said.push('\n');
    }
    let status = child.wait().trying(|| "wait for the bench".to_owned())?;
    if status.success() { Ok(said) } else { Err(Failure::new(format!("it ended with {status}"))) }
}

fn write(path: &Path, text: &str) -> Outcome<()> {
    fs::write(path, text).trying(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURE: &str =
        r#"{"chart":"cpu","title":"CPU of Envoy","unit":"µs","label":"gate","ours":true,"rounds":[1]}"#;

    #[test]
    fn a_page_says_when_on_what_beside_whom_and_how_and_shows_its_charts() {
        let facts = machine::Facts {
            machine: "2 × a processor, 8 GiB".to_owned(),
            date: "2026-11-30".to_owned(),
            peers: "Envoy 1.40.0".to_owned(),
        };
        let context = Context { facts, commit: "abc".to_owned(), root: "/".to_owned() };
        let page = ALL[0].page(&context, "cargo xtask bench gate", &Chart::read_all(FIGURE).unwrap(), "\nfilter\n");
        let want = "<!-- generated: cargo xtask bench all -->\n# What the gate costs Envoy, in clear and under TLS\n\n\
            `cargo xtask bench gate`, on 2026-11-30, commit abc.\nThe machine: 2 × a processor, 8 GiB. Beside: Envoy 1.40.0.\n\n\
            ![CPU of Envoy](gate-cpu.svg)\n\n```text\nfilter\n```\n";
        assert_eq!(page, want);
    }

    #[test]
    fn the_list_has_the_pages_that_there_are() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!index(folder.path()).contains("]("));
        fs::write(folder.path().join("push.md"), "").unwrap();
        assert!(index(folder.path()).ends_with("\n- [How fast the command line sends files](push.md)\n"));
    }

    #[test]
    fn what_a_bench_said_is_given_and_one_that_fails_is_told() {
        let say = |script: &str| run_aloud(Command::new("sh").args(["-c", script]));
        assert_eq!(say("echo a; echo b").unwrap(), "a\nb\n");
        assert!(say("echo a; exit 3").unwrap_err().to_string().contains("it ended with exit status: 3"));
    }

    #[test]
    fn charts_of_before_go_and_those_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["gate-cpu.svg", "gate.md", "gates-cpu.svg"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        ALL[0].remove_charts(folder.path()).unwrap();
        let there = |name: &str| folder.path().join(name).exists();
        assert_eq!([there("gate-cpu.svg"), there("gate.md"), there("gates-cpu.svg")], [false, true, true]);
    }
}
