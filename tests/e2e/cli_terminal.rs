//! What the command line draws: on terminals of two widths, on a dumb one, and where there is none.

use linkgate_tests::gateway::path_from;
use linkgate_tests::screen::Screen;
use linkgate_tests::terminal::{Terminal, lines_of};
use linkgate_tests::{Behaviour, package_of_size, wait_until_holds};

use crate::cli::{Desk, finish};

const PULL: [&str; 5] = ["pull", "1", "-o", "got.tar.gz", "--force"];

async fn holding() -> Desk {
    let desk = Desk::new().await;
    std::fs::write(desk.path("app.tar.gz"), package_of_size(3 << 20)).unwrap();
    desk.json(&["push", "app.tar.gz", "--version", "1.0"]).await;
    desk
}

/// Runs a command in a terminal; its exit code and what it drew.
async fn draw(
    desk: &Desk,
    arguments: &[&str],
    term: &str,
    columns: u16,
    set: &[(&str, &str)],
) -> (Option<i32>, String) {
    let mut command = desk.command(arguments);
    command.env("TERM", term).envs(set.iter().copied());
    let run = move || {
        let (status, drawn) = Terminal::start(&mut command, columns).finish();
        (status.code(), drawn)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn a_bar_is_as_wide_as_its_terminal() {
    let desk = holding().await;
    for (columns, has_rate) in [(40, false), (200, true)] {
        let (code, drawn) = draw(&desk, &PULL, "xterm-256color", columns, &[]).await;
        assert_eq!(code, Some(0), "{drawn}");
        let lines = lines_of(&drawn);
        let last = lines.iter().rfind(|line| line.contains("100%")).unwrap_or_else(|| panic!("{lines:?}"));
        assert!(last.contains("app.tar.gz") && last.contains("[==") && last.contains("==]"), "{last}");
        assert_eq!(last.contains("ETA"), has_rate, "{last}");
        assert!(last.chars().count() <= usize::from(columns), "{last}");
        assert!(last.chars().count() > usize::from(columns) / 2, "{last}");
    }
}

#[tokio::test]
async fn a_push_by_link_shows_its_stage_and_its_job() {
    let desk = holding().await;
    let link = desk.stack.source().url();
    let (code, drawn) = draw(&desk, &["push", &link, "--version", "2.0"], "xterm", 120, &[]).await;
    assert_eq!(code, Some(0), "{drawn}");
    let lines = lines_of(&drawn);
    assert!(lines.iter().any(|line| line.contains("job 0")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("example.tar.gz stored")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("version: 2.0")), "{lines:?}");
}

#[tokio::test]
async fn a_dumb_terminal_and_a_pipe_get_plain_lines() {
    let desk = holding().await;
    let (code, drawn) = draw(&desk, &PULL, "dumb", 80, &[]).await;
    assert!(code == Some(0) && !drawn.contains('\u{1b}'), "{drawn:?}");
    assert!(drawn.contains("app.tar.gz complete: 3."), "{drawn:?}");
    let said = finish(desk.command(&PULL)).await;
    assert!(said.code == Some(0) && !said.err.contains('\u{1b}') && !said.err.contains('\r'), "{said:?}");
    assert!(said.err.lines().last().unwrap().starts_with("app.tar.gz complete: "), "{said:?}");
    let (_, drawn) = draw(&desk, &[&PULL[..], &["--quiet"]].concat(), "xterm", 80, &[]).await;
    assert!(!drawn.contains('%') && drawn.contains("sha256:"), "{drawn:?}");
}

#[tokio::test]
async fn colours_are_for_terminals_whose_owners_want_them() {
    let desk = holding().await;
    for (term, set, is_coloured) in
        [("xterm", &[][..], true), ("xterm", &[("NO_COLOR", "1")][..], false), ("dumb", &[][..], false)]
    {
        let (code, drawn) = draw(&desk, &["show", "99"], term, 80, set).await;
        assert_eq!((code, drawn.contains("\u{1b}[1;31merror:")), (Some(5), is_coloured), "{drawn:?}");
    }
}

#[tokio::test]
async fn a_package_is_not_written_to_a_terminal() {
    let desk = holding().await;
    let (code, drawn) = draw(&desk, &["pull", "1", "-o", "-"], "xterm", 80, &[]).await;
    assert!(code == Some(2) && drawn.contains("not written to a terminal"), "{drawn:?}");
}

#[tokio::test]
async fn a_secret_that_is_typed_is_not_shown() {
    let desk = holding().await;
    let secret = desk.stack.gateway().credentials().secret.clone();
    let mut command = desk.command(&["login", "--save", "prod"]);
    command.env_remove("LINKGATE_APP_SECRET").env("TERM", "xterm");
    let mut terminal = Terminal::start(&mut command, 80);
    wait_until_holds("the question", async || terminal.drawn().contains("Secret of the application:")).await;
    terminal.type_in(&format!("{secret}\n"));
    let (status, drawn) = tokio::task::spawn_blocking(move || terminal.finish()).await.unwrap();
    assert!(status.success() && drawn.contains("may") && !drawn.contains(&secret), "{drawn:?}");
}

/// How wide the terminal of the pictures is.
const COLUMNS: u16 = 100;

/// Saves the picture of a command and what it drew, for the README.
fn save(name: &str, title: &str, typed: &str, drawn: &str) {
    let folder = path_from("LINKGATE_ROOT").join("target/cli");
    std::fs::create_dir_all(&folder).unwrap();
    let screen = Screen::of(&format!("\u{1b}[1m$ linkgate {typed}\u{1b}[0m\r\n{drawn}"));
    std::fs::write(folder.join(format!("{name}.svg")), screen.picture(title, COLUMNS.into())).unwrap();
}

/// What was drawn up to a bar that stands in its midst, if there was one.
fn up_to_a_bar(drawn: &str) -> Option<&str> {
    let is_bar = |end: &usize| {
        let shown = Screen::of(&drawn[..*end]).lines();
        shown.last().is_some_and(|line| line.contains("[=") && line.contains('%') && !line.contains("100%"))
    };
    // What is drawn of a bar ends where it is drawn again.
    let end = drawn.match_indices('\r').map(|(at, _)| at).rfind(is_bar)?;
    Some(&drawn[..end])
}

/// docs/pictures has them as they were once; the source has a name there that is the same each time.
#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_show_a_push_and_a_list() {
    let desk = Desk::new().await;
    for version in ["1.2.0", "1.3.0"] {
        let name = format!("shop-{version}.tar.gz");
        std::fs::copy(desk.path("app.tar.gz"), desk.path(&name)).unwrap();
        desk.json(&["push", &name, "--version", version]).await;
    }
    // Half of it comes, so that the bar is seen on any machine.
    let link = desk.stack.link_to("/shop-1.4.0.tar.gz", Behaviour::Held(package_of_size(32 << 20)));
    let mut command = desk.command(&["push", &link, "--version", "1.4.0"]);
    let terminal = Terminal::start(command.env("TERM", "xterm-256color"), COLUMNS);
    wait_until_holds("a bar", async || up_to_a_bar(&terminal.drawn()).is_some()).await;
    desk.stack.source().release();
    let (status, drawn) = tokio::task::spawn_blocking(move || terminal.finish()).await.unwrap();
    assert!(status.success(), "{drawn}");
    let typed = "push https://packages.example.com/shop-1.4.0.tar.gz --version 1.4.0";
    save("push", "linkgate push, with a bar", typed, up_to_a_bar(&drawn).unwrap());
    let (code, listed) = draw(&desk, &["list"], "xterm-256color", COLUMNS, &[]).await;
    assert!(code == Some(0) && ["1.2.0", "1.3.0", "1.4.0"].iter().all(|version| listed.contains(version)), "{listed}");
    save("list", "linkgate list", "list", &listed);
}
