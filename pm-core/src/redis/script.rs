use std::borrow::Cow;
use std::fmt;

use super::Argument;

/// A Lua script: the one atomic step of a store.
///
/// It is called by its digest. A server that does not know it, because it is new or was restarted,
/// is given the text once more.
#[derive(Clone)]
pub struct Script {
    code: Cow<'static, str>,
    digest: String,
}

impl Script {
    /// The script of this text, usually an included `.lua` file.
    #[must_use]
    pub fn new(code: impl Into<Cow<'static, str>>) -> Self {
        let code = code.into();
        let digest = redis::Script::new(&code).get_hash().to_owned();
        Self { code, digest }
    }

    /// A call of it on these keys, in Lua `KEYS`; in a cluster all must have one hash tag.
    pub fn on<K: Argument>(&self, keys: impl IntoIterator<Item = K>) -> Invocation<'_> {
        // The number of keys stands before them.
        let keys: Vec<K> = keys.into_iter().collect();
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.digest).arg(keys.len());
        for key in keys {
            key.append_to(&mut command);
        }
        Invocation {
            script: self,
            command,
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// A call of a [`Script`].
#[derive(Clone)]
#[must_use = "it is not called until it is run"]
pub struct Invocation<'a> {
    script: &'a Script,
    command: redis::Cmd,
}

impl Invocation<'_> {
    /// The same call with one more argument, in Lua `ARGV`.
    pub fn arg(mut self, argument: impl Argument) -> Self {
        argument.append_to(&mut self.command);
        self
    }

    pub(super) fn by_digest(&self) -> &redis::Cmd {
        &self.command
    }

    /// Carries the script's text, which the server keeps.
    pub(super) fn in_full(&self) -> redis::Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(self.script.code.as_bytes());
        for argument in self.command.args_iter().skip(2) {
            if let redis::Arg::Simple(bytes) = argument {
                command.arg(bytes);
            }
        }
        command
    }
}

/// Shows neither keys nor arguments.
impl fmt::Debug for Invocation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("script", &self.script)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_have_the_same_keys_and_arguments() {
        let script = Script::new("return 1");
        let invocation = script.on(["a", "b"]).arg(7).arg("x");
        let arguments = |command: &redis::Cmd| -> Vec<String> {
            let arguments = command.args_iter().map(|argument| match argument {
                redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                _ => unreachable!("no cursor was given"),
            });
            arguments.collect()
        };
        let digest = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
        assert_eq!(
            arguments(invocation.by_digest()),
            ["EVALSHA", digest, "2", "a", "b", "7", "x"]
        );
        assert_eq!(
            arguments(&invocation.in_full()),
            ["EVAL", "return 1", "2", "a", "b", "7", "x"]
        );
    }
}
