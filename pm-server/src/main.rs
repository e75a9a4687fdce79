//! `pm-server`: reads the command line, and does what it says.

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use pm_core::Clock;
use pm_resilience::shutdown::{Ended, Signals};
use pm_server::{
    cli::{self, ImportArgs, WatchArgs, import::ImportOptions, watch::WatchOptions},
    config::{Arguments, Command, Serve},
};
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

/// What a shell reports for a process that Ctrl-C ended.
const FORCED: u8 = 130;

fn main() -> ExitCode {
    match execute(Arguments::parse().into_command()) {
        Ok(code) => code,
        Err(error) => {
            // If this cannot be said, there is nobody to say it to.
            let _ = writeln!(io::stderr(), "pm-server: {}", one_line(&*error));
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<ExitCode, Box<dyn Error>> {
    let clock = Clock::system();
    match command {
        Command::Serve(settings) => {
            log_to_stderr(&settings.log)?;
            let runtime = Runtime::new()?;
            let code = runtime.block_on(serve(&settings, clock));
            // What blocks its thread, or was ended at once, is not waited for.
            runtime.shutdown_timeout(Duration::from_millis(100));
            code
        }
        Command::Watch(arguments) => Runtime::new()?.block_on(watch(&arguments, &clock)),
        Command::Import(arguments) => Runtime::new()?.block_on(import(&arguments, &clock)),
        Command::Token(settings) => {
            let token = cli::token(&settings, &clock)?;
            writeln!(io::stdout(), "{}", token.expose())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Serves until a signal; a second one ends it at once.
async fn serve(settings: &Serve, clock: Clock) -> Result<ExitCode, Box<dyn Error>> {
    let summary = cli::serve(settings, clock, &mut io::stdout()).await?;
    Ok(match summary.ended() {
        Ended::Forced => ExitCode::from(FORCED),
        _ => ExitCode::SUCCESS,
    })
}

/// The error with what caused it, each said once.
fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !line.contains(&words) {
            line = format!("{line}: {words}");
        }
        cause = error.source();
    }
    line
}

/// Watches until a signal.
async fn watch(arguments: &WatchArgs, clock: &Clock) -> Result<ExitCode, Box<dyn Error>> {
    let mut signals = Signals::listen()?;
    let options = WatchOptions {
        server: arguments.target.options(clock)?,
        since_start: arguments.since_start,
        colour: cli::wants_colour(),
    };
    let stop = async {
        signals.next().await;
    };
    ended(cli::watch::watch(&options, clock, &mut anstream::stdout(), stop).await)
}

async fn import(arguments: &ImportArgs, clock: &Clock) -> Result<ExitCode, Box<dyn Error>> {
    let options = ImportOptions {
        server: arguments.target.options(clock)?,
        project: arguments.project.clone(),
        bar: cli::wants_progress_bar(),
    };
    let plan = cli::import::read(&arguments.file)?;
    let name = arguments.file.to_string_lossy();
    ended(cli::import::import(&options, clock, &plan, &name, &mut io::stdout()).await)
}

/// `pm-server watch | head` is no failure.
fn ended<T>(result: Result<T, cli::Error>) -> Result<ExitCode, Box<dyn Error>> {
    match result {
        Err(error) if !error.is_closed_output() => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn log_to_stderr(filter: &str) -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .init();
    Ok(())
}
