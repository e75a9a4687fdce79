//! What the server is told: flags, and the environment variables of the same meaning.
//!
//! This is the only place that reads the environment, and files with settings; flags go before variables, variables before
//! defaults. What leaves here is typed and checked.

mod blocking;
mod down;
mod limits;
mod limits_file;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use pm_core::{Cidr, TrustedProxies, duration};
use pm_ratelimit::Rules;
use tracing_subscriber::EnvFilter;

use crate::{
    auth::Role,
    cli::{ImportArgs, WatchArgs},
    guard::GuardSettings,
    tenant::TenantName,
    ws::Origin,
};

pub use self::{
    blocking::Blocking,
    down::Down,
    limits::{Limits, LimitsError},
};

const ENV_ALLOWED_ORIGINS: &str = "PM_SERVER_ALLOWED_ORIGINS";
const ENV_AUTO_BLOCK: &str = "PM_SERVER_AUTO_BLOCK";
const ENV_CONNECTIONS: &str = "PM_SERVER_CONNECTIONS";
const ENV_DATA: &str = "PM_SERVER_DATA";
const ENV_DRAIN_DELAY: &str = "PM_SERVER_DRAIN_DELAY";
const ENV_LIMITS: &str = "PM_SERVER_LIMITS";
const ENV_LISTEN: &str = "PM_SERVER_LISTEN";
const ENV_LOG: &str = "PM_SERVER_LOG";
const ENV_NEVER_BLOCK: &str = "PM_SERVER_NEVER_BLOCK";
const ENV_QUOTAS: &str = "PM_SERVER_QUOTAS";
const ENV_SHUTDOWN_BUDGET: &str = "PM_SERVER_SHUTDOWN_BUDGET";
const ENV_TENANTS: &str = "PM_SERVER_TENANTS";
const ENV_TRUSTED_PROXIES: &str = "PM_SERVER_TRUSTED_PROXIES";

/// Where the data is unless it is said otherwise.
pub const DEFAULT_DATA: &str = "./pm-data";

/// The command line of `pm-server`.
#[derive(Debug, Parser)]
#[command(
    name = "pm-server",
    version,
    about = "A live, multi-tenant project-management server",
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve (what happens without a command, too)
    Serve(Serve),
    /// Print a token for somebody
    Token(MakeToken),
    /// Show everything that happens in a tenant, live
    Watch(WatchArgs),
    /// Make a Markdown plan a backlog
    Import(ImportArgs),
}

impl Arguments {
    /// What to do: serve, if nothing is said.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

/// Where the data is.
#[derive(Clone, Debug, Args)]
pub struct Data {
    /// The folder with the tenants and the signing key
    #[arg(long = "data", env = ENV_DATA, value_name = "DIR", default_value = DEFAULT_DATA)]
    pub folder: PathBuf,
}

/// `pm-server serve`
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Where the data is.
    #[command(flatten)]
    pub data: Data,

    /// The address to listen on; port 0 picks a free one
    #[arg(long, env = ENV_LISTEN, value_name = "ADDR", default_value = "127.0.0.1:7171",
          value_parser = listen)]
    pub listen: SocketAddr,

    /// The tenants that are made where they do not exist, separated by commas
    #[arg(long, env = ENV_TENANTS, value_name = "NAMES", default_value = "demo",
          value_delimiter = ',')]
    pub tenants: Vec<TenantName>,

    /// Who may do how much.
    #[command(flatten)]
    pub limits: Limits,

    /// Who is kept out.
    #[command(flatten)]
    pub blocking: Blocking,

    /// Address blocks of the proxies in front, separated by commas, like 10.0.0.0/8; without them,
    /// X-Forwarded-For is not believed
    #[arg(long, env = ENV_TRUSTED_PROXIES, value_name = "CIDRS", value_delimiter = ',')]
    trusted_proxies: Vec<Cidr>,

    /// Pages, other than this server's own, that may open a socket.
    #[arg(long, env = ENV_ALLOWED_ORIGINS, value_name = "ORIGINS", value_delimiter = ',',
          help = "Origins of pages, other than this server's own, that may open a socket, \
                  separated by commas, like https://pm.example")]
    pub allowed_origins: Vec<Origin>,

    /// How it goes down.
    #[command(flatten)]
    pub down: Down,

    /// What to log to stderr, like info or pm_server=debug,warn
    #[arg(long, env = ENV_LOG, value_name = "FILTER", default_value = "info", value_parser = log)]
    pub log: String,
}

impl Serve {
    /// The proxies whose `X-Forwarded-For` is believed.
    #[must_use]
    pub fn trusted_proxies(&self) -> TrustedProxies {
        if self.trusted_proxies.is_empty() {
            return TrustedProxies::none();
        }
        let blocks = self.trusted_proxies.iter().map(Cidr::to_string);
        TrustedProxies::cidrs(blocks).expect("each was parsed when it was read")
    }

    /// Who may do how much, by these rules, and who is kept out. A proxy of ours never is: it is what
    /// everybody behind it comes through.
    #[must_use]
    pub fn guard(&self, rules: Rules) -> GuardSettings {
        GuardSettings {
            rules,
            automatic: self.blocking.automatic(),
            never: [self.blocking.never(), &self.trusted_proxies].concat(),
        }
    }
}

/// `pm-server token`
#[derive(Clone, Debug, Args)]
pub struct MakeToken {
    /// Where the data is.
    #[command(flatten)]
    pub data: Data,

    /// The tenant that it is for
    #[arg(long, value_name = "NAME", default_value = "demo")]
    pub tenant: TenantName,

    /// For an operator, who looks after the server and is in none of its tenants
    #[arg(long, conflicts_with_all = ["tenant", "role"])]
    pub operator: bool,

    /// Who it is for: a name that appears in every activity
    #[arg(long, value_name = "NAME", value_parser = subject)]
    pub subject: String,

    /// What they may do
    #[arg(long, value_enum, default_value = "editor")]
    pub role: Role,

    /// How long it is good for
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = duration::parse)]
    pub expires: Duration,
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "write an address and a port, like 127.0.0.1:7171 or [::1]:0 (also in {ENV_LISTEN})"
        )
    })
}

fn log(text: &str) -> Result<String, String> {
    let parsed = EnvFilter::try_new(text).map_err(|error| {
        format!("{error}; write a level, like info, or pm_server=debug,warn (also in {ENV_LOG})")
    });
    parsed.map(|_| text.to_owned())
}

/// As long as an assignee may be, since that is a subject, too.
fn subject(text: &str) -> Result<String, String> {
    let valid = (1..=128).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control);
    if valid {
        Ok(text.to_owned())
    } else {
        Err("write 1 to 128 characters, without control characters or space around".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};
    use pm_ratelimit::AutoBlock;

    use super::*;

    fn parse(words: &[&str]) -> Result<Command, clap::Error> {
        let words = std::iter::once("pm-server").chain(words.iter().copied());
        Arguments::try_parse_from(words).map(Arguments::into_command)
    }

    fn serve(words: &[&str]) -> Serve {
        match parse(words).unwrap() {
            Command::Serve(serve) => serve,
            other => panic!("not serve: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn without_a_word_it_serves_with_the_defaults() {
        for words in [&[][..], &["serve"]] {
            let serve = serve(words);
            assert_eq!(serve.data.folder, PathBuf::from("./pm-data"));
            assert_eq!(serve.listen, "127.0.0.1:7171".parse().unwrap());
            assert_eq!(serve.tenants, ["demo".parse().unwrap()]);
            assert_eq!(serve.limits.connections.get(), 64);
            assert_eq!(serve.limits.file, None);
            let down = serve.down.settings().unwrap();
            assert_eq!(
                (down.delay, down.budget),
                (Duration::from_secs(1), Duration::from_secs(30))
            );
            assert!(serve.allowed_origins.is_empty());
            let guard = serve.guard(Rules::new());
            assert_eq!(guard.automatic, Some(AutoBlock::new()));
            assert!(guard.never.is_empty());
        }
    }

    #[test]
    fn proxies_and_who_is_never_to_be_blocked_are_not() {
        let words = ["--never-block", "192.0.2.0/24,2001:db8::1"];
        let words = [
            &words[..],
            &["--trusted-proxies", "10.0.0.0/8"],
            &["--auto-block", "off"],
        ];
        let guard = serve(&words.concat()).guard(Rules::new());
        let never: Vec<_> = guard.never.iter().map(Cidr::to_string).collect();
        assert_eq!(never, ["192.0.2.0/24", "2001:db8::1/128", "10.0.0.0/8"]);
        assert_eq!(guard.automatic, None);
    }

    #[test]
    fn flags_go_with_and_without_the_command() {
        for words in [
            &["--listen", "[::1]:0"][..],
            &["serve", "--listen", "[::1]:0"],
        ] {
            assert_eq!(serve(words).listen, "[::1]:0".parse().unwrap());
        }
        let serve = serve(&["--tenants", "a,b", "--drain-delay", "250ms"]);
        assert_eq!(serve.tenants.len(), 2);
        let down = serve.down.settings().unwrap();
        assert_eq!(down.delay, Duration::from_millis(250));
    }

    #[test]
    fn every_setting_of_the_server_is_also_a_variable() {
        let command = Arguments::command();
        for argument in command
            .get_arguments()
            .filter(|argument| argument.get_id() != "help")
        {
            let Some(flag) = argument.get_long().filter(|flag| *flag != "version") else {
                continue;
            };
            let variable = format!("PM_SERVER_{}", flag.replace('-', "_").to_uppercase());
            assert_eq!(argument.get_env().unwrap(), variable.as_str());
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (words, flag, right) in [
            (["--listen", "7171"], "--listen", "127.0.0.1:7171"),
            (["--tenants", "a,../b"], "--tenants", "a-z, 0-9 and -"),
            (["--quotas", "user"], "--quotas", "user=600/minute"),
            (["--quotas", "user=many"], "--quotas", "300/minute"),
            (["--quotas", "frames=0/second"], "--quotas", "at least 1"),
            (["--connections", "0"], "--connections", "at least 1"),
            (["--auto-block", "often"], "--auto-block", "50/10m"),
            (["--auto-block", "0/10m"], "--auto-block", "from 1 to"),
            (
                ["--never-block", "10.0.0.1/8"],
                "--never-block",
                "10.0.0.0/8",
            ),
            (
                ["--trusted-proxies", "10.0.0.1/8"],
                "--trusted-proxies",
                "10.0.0.0/8",
            ),
            (
                ["--allowed-origins", "pm.example"],
                "--allowed-origins",
                "https://",
            ),
            (["--drain-delay", "soon"], "--drain-delay", "10s"),
            (["--shutdown-budget", "30"], "--shutdown-budget", "10s"),
            (["--log", "pm_server=loud"], "--log", "pm_server=debug"),
        ] {
            let error = parse(&words).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation, "{error}");
            let text = error.to_string();
            assert!(text.contains(flag) && text.contains(right), "{text}");
        }
    }

    #[test]
    fn a_token_needs_a_subject() {
        let error = parse(&["token"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
        for subject in ["", " ada", "a\nb", &"x".repeat(129)] {
            assert!(
                parse(&["token", "--subject", subject]).is_err(),
                "{subject:?}"
            );
        }
        let words = [
            "token",
            "--subject",
            "ada",
            "--role",
            "admin",
            "--expires",
            "2h",
        ];
        let Command::Token(token) = parse(&words).unwrap() else {
            panic!("not token");
        };
        assert_eq!(
            (token.role, token.expires),
            (Role::Admin, Duration::from_secs(7200))
        );
        assert!(parse(&["token", "--subject", "ada", "--role", "root"]).is_err());
    }

    #[test]
    fn an_operator_has_no_tenant_and_no_other_role() {
        let operator = ["token", "--operator", "--subject", "ada"];
        let Command::Token(token) = parse(&operator).unwrap() else {
            panic!("not token");
        };
        assert!(token.operator);
        for other in [["--tenant", "demo"], ["--role", "admin"]] {
            let error = parse(&[&operator[..], &other].concat()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
        }
    }
}
