use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;
use http::Uri;
use pm_core::Clock;

use super::Error;
use crate::{
    auth::{self, Token},
    client::Options,
    config::Data,
    data_folder::announced,
};

const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7171);

/// Which server a command talks to, and as whom.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// The server's socket, such as ws://127.0.0.1:7171/ws; else the one that runs on --data
    #[arg(long)]
    pub url: Option<String>,
    /// The tenant
    #[arg(long, default_value = "demo")]
    pub tenant: String,
    /// A token of `pm-server token`; else, for a server on this machine, one is made with the key in
    /// --data
    #[arg(long)]
    pub token: Option<Token>,
    /// The data folder of a server on this machine.
    #[command(flatten)]
    pub data: Data,
}

impl Target {
    /// The address of the server: the one that was given, else the one that a server on the data
    /// folder left there, else the one that a server has unless told otherwise.
    #[must_use]
    pub fn url(&self) -> String {
        self.url
            .clone()
            .unwrap_or_else(|| format!("ws://{}/ws", self.local_address()))
    }

    /// Where to connect, and as whom: with the token that was given, else with one that is made with the
    /// key in the data folder. Such a token is an administrator's, so it does not leave this machine.
    ///
    /// # Errors
    ///
    /// No token was given, and the server is elsewhere, or there is no key, or this user may not read it.
    pub fn options(&self, clock: &Clock) -> Result<Options, Error> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => {
                if let Some(host) = self.url.as_deref().and_then(elsewhere) {
                    return Err(Error::Elsewhere { host });
                }
                auth::local_token(&self.data.folder, &self.tenant, clock)?
            }
        };
        Ok(Options::new(self.url(), self.tenant.clone(), token))
    }

    fn local_address(&self) -> SocketAddr {
        // A folder that cannot be read is said to be so when the key is looked for.
        announced(&self.data.folder)
            .ok()
            .flatten()
            .unwrap_or(DEFAULT_ADDRESS)
    }
}

/// The host of a URL, if it is not this machine. What is no URL has none, and nothing connects to it.
fn elsewhere(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?;
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let here = host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback());
    (!here).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use std::{fs, path::PathBuf};

    use super::*;
    use crate::{auth::Keys, data_folder::DataFolder};

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        target: Target,
    }

    fn target(args: &[&str]) -> Target {
        let args = ["pm-server"].iter().chain(args);
        Command::try_parse_from(args).unwrap().target
    }

    #[test]
    fn without_arguments_it_is_the_demo_tenant_of_the_default_server() {
        let target = target(&[]);
        assert_eq!(target.tenant, "demo");
        assert_eq!(target.data.folder, PathBuf::from("./pm-data"));
        assert_eq!(target.url(), "ws://127.0.0.1:7171/ws");
    }

    #[test]
    fn a_running_server_is_found_by_its_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut target = target(&["--data", folder.path().to_str().unwrap()]);
        let data = DataFolder::open(folder.path()).unwrap();
        for (listening, url) in [
            ("127.0.0.1:40123", "ws://127.0.0.1:40123/ws"),
            ("0.0.0.0:80", "ws://127.0.0.1:80/ws"),
            ("[::]:7171", "ws://[::1]:7171/ws"),
        ] {
            let _announcement = data.announce(listening.parse().unwrap()).unwrap();
            assert_eq!(target.url(), url);
        }
        fs::write(folder.path().join("address"), "nonsense").unwrap();
        assert_eq!(target.url(), "ws://127.0.0.1:7171/ws");
        target.url = Some("ws://elsewhere/ws".to_owned());
        assert_eq!(target.url(), "ws://elsewhere/ws");
    }

    #[test]
    fn a_token_that_is_made_here_stays_here() {
        let folder = tempfile::tempdir().unwrap();
        Keys::load_or_create(folder.path()).unwrap();
        let mut target = target(&["--data", folder.path().to_str().unwrap()]);
        let (clock, _time) = Clock::manual();
        for url in [
            None,
            Some("ws://127.0.0.1:7171/ws"),
            Some("ws://127.9.9.9/ws"),
            Some("ws://[::1]:7171"),
            Some("ws://[::ffff:127.0.0.1]/ws"),
            Some("ws://LocalHost/ws"),
        ] {
            target.url = url.map(str::to_owned);
            target.token = None;
            assert!(target.options(&clock).is_ok(), "{url:?}");
        }
        for (url, host) in [
            ("ws://pm.example/ws", "pm.example"),
            ("ws://192.0.2.1:7171/ws", "192.0.2.1"),
            ("ws://[2001:db8::1]/ws", "[2001:db8::1]"),
            ("ws://0.0.0.0/ws", "0.0.0.0"),
            ("ws://localhost.example/ws", "localhost.example"),
            ("ws://127.0.0.1:secret@pm.example/ws", "pm.example"),
        ] {
            target.url = Some(url.to_owned());
            target.token = None;
            let error = target.options(&clock).unwrap_err().to_string();
            assert!(error.contains("--token"), "{error}");
            assert!(error.starts_with(host), "{error}");
            target.token = Some(Token::new("given"));
            assert!(target.options(&clock).is_ok(), "{url}");
        }
    }

    #[test]
    fn debug_keeps_the_token() {
        let target = target(&["--token", "secret"]);
        assert!(target.token.is_some());
        assert!(!format!("{target:?}").contains("secret"));
    }
}
