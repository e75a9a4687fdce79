use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use clap::Args;
use pm_core::Clock;

use crate::{
    auth::{self, KeyError, Token},
    client::Options,
    config::Data,
};

/// The file in the data folder in which a running server leaves its address.
pub const ADDRESS_FILE: &str = "address";

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
    /// A token of `pm-server token`; else one is made with the key in --data
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
    /// key in the data folder.
    ///
    /// # Errors
    ///
    /// No token was given, and there is no key, or this user may not read it.
    pub fn options(&self, clock: &Clock) -> Result<Options, KeyError> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => auth::local_token(&self.data.folder, &self.tenant, clock)?,
        };
        Ok(Options::new(self.url(), self.tenant.clone(), token))
    }

    fn local_address(&self) -> SocketAddr {
        let left = fs::read_to_string(self.data.folder.join(ADDRESS_FILE)).ok();
        let left = left.and_then(|text| text.trim().parse::<SocketAddr>().ok());
        let mut address = left.unwrap_or(DEFAULT_ADDRESS);
        // Who listens on all addresses is reached on this machine's own.
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use std::path::PathBuf;

    use super::*;

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
        for (left, url) in [
            ("127.0.0.1:40123\n", "ws://127.0.0.1:40123/ws"),
            ("0.0.0.0:80", "ws://127.0.0.1:80/ws"),
            ("[::]:7171", "ws://[::1]:7171/ws"),
            ("nonsense", "ws://127.0.0.1:7171/ws"),
        ] {
            fs::write(folder.path().join(ADDRESS_FILE), left).unwrap();
            assert_eq!(target.url(), url);
        }
        target.url = Some("ws://elsewhere/ws".to_owned());
        assert_eq!(target.url(), "ws://elsewhere/ws");
    }

    #[test]
    fn debug_keeps_the_token() {
        let target = target(&["--token", "secret"]);
        assert!(target.token.is_some());
        assert!(!format!("{target:?}").contains("secret"));
    }
}
