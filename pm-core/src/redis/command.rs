use std::fmt;

use super::Argument;

/// A command with its arguments.
///
/// In a cluster it goes to whoever serves its first key. All callers share a connection: what blocks
/// (`BLPOP`), subscribes, or changes the connection (`SELECT`, `WATCH`, `MULTI`) is not for it; what
/// must not come apart is a [`Script`](super::Script).
#[derive(Clone)]
pub struct Command(redis::Cmd);

impl Command {
    /// The command of this name, without arguments yet. The second word of a name such as
    /// `SCRIPT LOAD` is its first argument.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(redis::cmd(name))
    }

    /// The same command with one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Argument) -> Self {
        argument.append_to(&mut self.0);
        self
    }

    pub(super) fn as_cmd(&self) -> &redis::Cmd {
        &self.0
    }
}

/// Shows the name only: keys and values are other people's.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut arguments = self.0.args_iter();
        let name = match arguments.next() {
            Some(redis::Arg::Simple(name)) => String::from_utf8_lossy(name).into_owned(),
            _ => String::new(),
        };
        f.debug_struct("Command")
            .field("name", &name)
            .field("arguments", &arguments.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_argument_arrives_as_its_bytes() {
        let command = Command::new("X")
            .arg("text")
            .arg(String::from("owned"))
            .arg(b"\x00\xff")
            .arg(vec![1u8])
            .arg(bytes::Bytes::from_static(b"shared"))
            .arg(-7i64)
            .arg(u64::MAX);
        assert_eq!(
            command.as_cmd().get_packed_command(),
            b"*8\r\n$1\r\nX\r\n$4\r\ntext\r\n$5\r\nowned\r\n$2\r\n\x00\xff\r\n$1\r\n\x01\r\n\
              $6\r\nshared\r\n$2\r\n-7\r\n$20\r\n18446744073709551615\r\n"
        );
    }

    #[test]
    fn debug_shows_no_argument() {
        let command = Command::new("SET").arg("session:hunter2").arg("value");
        assert_eq!(
            format!("{command:?}"),
            r#"Command { name: "SET", arguments: 2 }"#
        );
    }
}
