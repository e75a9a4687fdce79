use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
};

use crate::{
    config::{DEFAULT_DATA, Serve},
    data_folder::reachable,
};

/// What a server that has just started says: where it is, and how to go on.
pub(super) struct Greeting<'a> {
    pub(super) settings: &'a Serve,
    pub(super) listening: SocketAddr,
    pub(super) made: Made,
}

/// What had to be made first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) folder: bool,
    pub(super) key: bool,
    pub(super) tenants: Vec<String>,
}

impl Greeting<'_> {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let folder = &self.settings.data.folder;
        let address = reachable(self.listening);
        let flags = Flags { folder };
        writeln!(out, "pm-server {}", env!("CARGO_PKG_VERSION"))?;
        writeln!(out, "  listening  http://{}", self.listening)?;
        writeln!(out, "  socket     ws://{address}/ws")?;
        writeln!(out, "  data       {}{}", folder.display(), self.made)?;
        writeln!(out)?;
        writeln!(out, "  watch      pm-server watch{flags}")?;
        writeln!(out, "  import     pm-server import{flags} FILE.md")?;
        writeln!(out, "  token      pm-server token{flags} --subject NAME")?;
        out.flush()
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut what = Vec::new();
        if self.folder {
            what.push("the folder".to_owned());
        }
        if self.key {
            what.push("a signing key".to_owned());
        }
        what.extend(self.tenants.iter().map(|name| format!("tenant {name}")));
        if what.is_empty() {
            return Ok(());
        }
        write!(f, " (new: {})", what.join(", "))
    }
}

/// What the other commands need to find this server.
struct Flags<'a> {
    folder: &'a Path,
}

impl fmt::Display for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.folder == Path::new(DEFAULT_DATA) {
            return Ok(());
        }
        write!(f, " --data {}", self.folder.display())
    }
}
