use std::{fmt, time::Duration};

use super::Visible;
use crate::{
    domain::{Project, WorkItem},
    r#gen::{self as pb, error::Current},
    wire::event,
};

/// The server's answer that it will not, or not now.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection(Box<pb::Error>);

impl Rejection {
    /// What it is about. A code that this client does not know yet is `Unspecified`.
    #[must_use]
    pub fn code(&self) -> pb::Code {
        pb::Code::try_from(self.0.code).unwrap_or(pb::Code::Unspecified)
    }

    /// Whether the same frame may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.0.temporary
    }

    /// How long the server asks to wait before that.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        (self.0.retry_after_ms > 0).then(|| Duration::from_millis(self.0.retry_after_ms))
    }

    /// Names this request in the server's log.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// The work item that is in the way.
    #[must_use]
    pub fn current_item(&self) -> Option<WorkItem> {
        match &self.0.current {
            Some(Current::CurrentItem(item)) => event::item(item),
            Some(Current::CurrentProject(_)) | None => None,
        }
    }

    /// The project that is in the way.
    #[must_use]
    pub fn current_project(&self) -> Option<Project> {
        match &self.0.current {
            Some(Current::CurrentProject(project)) => event::project(project),
            Some(Current::CurrentItem(_)) | None => None,
        }
    }

    /// All of it, as it came.
    #[must_use]
    pub fn as_schema(&self) -> &pb::Error {
        &self.0
    }
}

impl From<pb::Error> for Rejection {
    fn from(error: pb::Error) -> Self {
        Self(Box::new(error))
    }
}

/// The message, and which fields are wrong if the message does not say so itself.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.message.is_empty() {
            f.write_str(self.code().as_str_name())?;
        } else {
            write!(f, "{}", Visible(&self.0.message))?;
        }
        for violation in &self.0.violations {
            if !self.0.message.contains(&violation.text) {
                let (path, text) = (Visible(&violation.path), Visible(&violation.text));
                write!(f, "; {path}: {text}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Rejection {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_is_wrong_once_and_cannot_act_on_a_terminal() {
        let violation = |text: &str| pb::Violation {
            path: "fields.title".to_owned(),
            rule: "blank".to_owned(),
            text: text.to_owned(),
        };
        let rejection = Rejection::from(pb::Error {
            code: pb::Code::Invalid as i32,
            message: "bad\u{1b}[2J: said".to_owned(),
            violations: vec![violation("said"), violation("not said")],
            ..pb::Error::default()
        });
        assert_eq!(
            rejection.to_string(),
            r"bad\u{1b}[2J: said; fields.title: not said"
        );
        assert_eq!(rejection.code(), pb::Code::Invalid);
        assert_eq!(rejection.retry_after(), None);
    }

    #[test]
    fn without_a_message_the_code_is_said() {
        let rejection = Rejection::from(pb::Error {
            code: pb::Code::Overloaded as i32,
            ..pb::Error::default()
        });
        assert_eq!(rejection.to_string(), "CODE_OVERLOADED");
        let newer = pb::Error {
            code: 4711,
            ..pb::Error::default()
        };
        assert_eq!(Rejection::from(newer).code(), pb::Code::Unspecified);
    }
}
