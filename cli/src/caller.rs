//! The commands of those who upload and download packages.
//!
//! Promises: results stand on standard output and nothing else does; a failure says code, reason, request and next
//! step, and has the exit code of its kind; whoever presses Ctrl-C is told what goes on and how to go on. Refuses
//! secrets as arguments.

pub mod args;
mod config;
mod credentials;
mod failure;
mod jobs;
mod login;
mod output;
mod packages;
mod progress;
mod pull;
mod push;
mod session;
mod verify;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::PoisonError;

use args::{CallerCommand, Cleanup, Common, Job, WatchJob};
use failure::{Failure, Kind};
use session::{Ongoing, Session, Situation};

/// Does what was asked, to the end or until somebody presses Ctrl-C.
pub fn run(command: CallerCommand) -> ExitCode {
    let json = common_of(&command).show.json;
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("cannot start: {error}")))
        .and_then(|runtime| {
            let outcome = runtime.block_on(run_or_interrupt(command));
            // A thread may still read standard input, which nobody will end.
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure, json);
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

async fn run_or_interrupt(command: CallerCommand) -> Result<(), Failure> {
    let situation = Situation::default();
    tokio::select! {
        outcome = dispatch(command, &situation) => outcome,
        pressed = tokio::signal::ctrl_c() => {
            pressed.map_err(|error| Failure::usage(format!("cannot wait for Ctrl-C: {error}")))?;
            let ongoing = situation.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Err(interrupted(&ongoing))
        }
    }
}

/// What goes on, and what is left.
fn interrupted(ongoing: &Ongoing) -> Failure {
    let failure = |message: String| Failure::new(Kind::Interrupted, message);
    match ongoing {
        Ongoing::Nothing => failure("interrupted".to_owned()),
        Ongoing::Job(id) => {
            failure(format!("interrupted; the upload goes on as job {id}")).next(jobs::how_to_go_on(*id))
        }
        Ongoing::Sending => failure("interrupted; nothing is stored of a file that was cut off".to_owned())
            .next("the same command sends it again"),
        Ongoing::Receiving(part) => {
            failure("interrupted".to_owned()).next(format!("the same command resumes from {}", part.display()))
        }
    }
}

async fn dispatch(command: CallerCommand, situation: &Situation) -> Result<(), Failure> {
    let command = match command {
        CallerCommand::Login(command) => return login::login(command, situation).await,
        CallerCommand::Verify(command) => return verify::verify(&command, situation).await,
        command => command,
    };
    let session = Session::open(common_of(&command), situation)?;
    match &command {
        CallerCommand::Push(command) => push::push(&session, command).await,
        CallerCommand::Pull(command) => pull::pull(&session, command).await,
        CallerCommand::List(command) => packages::list(&session, command).await,
        CallerCommand::Show(command) => packages::show(&session, command).await,
        CallerCommand::Rm(command) => packages::rm(&session, command).await,
        CallerCommand::Restore(command) => packages::restore(&session, command).await,
        CallerCommand::Pin(command) => packages::pin(&session, command).await,
        CallerCommand::Unpin(command) => packages::unpin(&session, command).await,
        CallerCommand::Url(command) => packages::make_url(&session, command).await,
        CallerCommand::Cleanup(command) => packages::cleanup(&session, command).await,
        CallerCommand::Usage(_) => packages::usage(&session).await,
        CallerCommand::Events(command) => packages::events(&session, command).await,
        CallerCommand::Job(command) => jobs::job(&session, command).await,
        CallerCommand::Login(_) | CallerCommand::Verify(_) => Ok(()),
    }
}

fn common_of(command: &CallerCommand) -> &Common {
    match command {
        CallerCommand::Login(command) => &command.common,
        CallerCommand::Push(command) => &command.common,
        CallerCommand::List(command) => &command.common,
        CallerCommand::Show(command) => &command.common,
        CallerCommand::Pull(command) => &command.common,
        CallerCommand::Rm(command) => &command.common,
        CallerCommand::Restore(command) => &command.common,
        CallerCommand::Pin(command) => &command.common,
        CallerCommand::Unpin(command) => &command.common,
        CallerCommand::Url(command) => &command.common,
        CallerCommand::Cleanup(Cleanup::Plan { common } | Cleanup::Run { common, .. }) => common,
        CallerCommand::Usage(command) => &command.common,
        CallerCommand::Events(command) => &command.common,
        CallerCommand::Job(Job::Show(which) | Job::Watch(WatchJob { job: which, .. }) | Job::Cancel(which)) => {
            &which.common
        }
        CallerCommand::Verify(command) => &command.common,
    }
}

/// Says what went wrong. Nobody is left to tell if standard error is closed.
fn report(failure: &Failure, json: bool) {
    let mut err = std::io::stderr();
    let wants_colour = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let bold = if err.is_terminal() && wants_colour && !is_dumb { ("\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "") };
    let text = if json { format!("{}\n", failure.to_json()) } else { failure.describe(bold) };
    let _unheard = err.write_all(text.as_bytes());
}
