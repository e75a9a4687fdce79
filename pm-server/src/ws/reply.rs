//! Answers and errors as frames.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    domain::{Refusal, Subject},
    r#gen::{self as pb, Code, error::Current, server_frame::Body},
    store::{Answer, Position, Snapshot},
    sync::Failure,
    wire::encode,
};

/// About this many bytes of a snapshot travel in one frame.
const SNAPSHOT_PART: usize = 12 << 10;

/// How long a client should wait before it repeats what the storage could not do.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(1);
/// How long before it repeats what found the writer's queue full.
const OVERLOADED_RETRY: Duration = Duration::from_millis(100);

pub(super) fn ok(frame: u32, ok: pb::Ok) -> Bytes {
    encode::packet(frame, Body::Ok(ok))
}

pub(super) fn answer(frame: u32, answer: &Answer) -> Bytes {
    let result = Some(encode::subject(&answer.subject));
    ok(
        frame,
        pb::Ok {
            rev: answer.rev,
            replayed: answer.replayed,
            result,
        },
    )
}

pub(super) fn subscribed(frame: u32, position: Position, recovered: bool) -> Bytes {
    let subscribed = pb::Subscribed {
        position: Some(place(position)),
        recovered,
    };
    let result = Some(pb::ok::Result::Subscribed(subscribed));
    ok(
        frame,
        pb::Ok {
            rev: position.rev,
            replayed: false,
            result,
        },
    )
}

pub(super) fn error(frame: u32, error: pb::Error) -> Bytes {
    encode::packet(frame, Body::Error(error))
}

pub(super) fn place(position: Position) -> pb::Position {
    pb::Position {
        epoch: encode::id(position.epoch),
        rev: position.rev,
    }
}

/// An error of a kind that only this server's own code makes.
pub(super) fn plain(code: Code, message: impl Into<String>) -> pb::Error {
    pb::Error {
        code: code as i32,
        message: message.into(),
        ..pb::Error::default()
    }
}

/// An error that goes away.
pub(super) fn temporary(code: Code, message: impl Into<String>, wait: Duration) -> pb::Error {
    // Rounded up: a client that waits as told must not be too early.
    let retry_after_ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    pb::Error {
        temporary: true,
        retry_after_ms,
        ..plain(code, message)
    }
}

pub(super) fn failure(failure: &Failure) -> pb::Error {
    match failure {
        Failure::Refused(refused) => refusal(refused),
        Failure::Overloaded => temporary(Code::Overloaded, failure.to_string(), OVERLOADED_RETRY),
        Failure::NotAsked { retry_after } => {
            temporary(Code::Unavailable, failure.to_string(), *retry_after)
        }
        Failure::Unavailable => {
            temporary(Code::Unavailable, failure.to_string(), UNAVAILABLE_RETRY)
        }
    }
}

pub(super) fn refusal(refusal: &Refusal) -> pb::Error {
    let code = match refusal {
        Refusal::Invalid(_) => Code::Invalid,
        Refusal::NotFound { .. } => Code::NotFound,
        Refusal::AlreadyExists(_) => Code::AlreadyExists,
        Refusal::Conflict { .. } => Code::Conflict,
        Refusal::Hierarchy(_) => Code::Hierarchy,
        Refusal::Archived => Code::Archived,
        Refusal::MutationReused => Code::MutationReused,
    };
    let mut error = plain(code, refusal.to_string());
    match refusal {
        Refusal::Invalid(violations) => {
            let violations = violations.iter().map(|violation| pb::Violation {
                path: violation.path.to_owned(),
                rule: violation.rule.to_owned(),
                text: violation.text.clone(),
            });
            error.violations = violations.collect();
        }
        Refusal::AlreadyExists(Some(current)) | Refusal::Conflict { current, .. } => {
            error.current = match &**current {
                Subject::Project(project) => {
                    Some(Current::CurrentProject(encode::project(project)))
                }
                Subject::Item(item) => Some(Current::CurrentItem(encode::item(item))),
                Subject::Deleted(_) => None,
            };
        }
        _ => {}
    }
    error
}

/// A snapshot in parts, each a packet.
pub(super) fn snapshot(frame: u32, scope: Bytes, snapshot: &Snapshot) -> Vec<Bytes> {
    let part = || pb::Snapshot {
        project_id: scope.clone(),
        position: Some(place(snapshot.position)),
        ..pb::Snapshot::default()
    };
    let mut parts = Vec::new();
    let mut open = part();
    let mut size = 0;
    let mut room = |size_of_next: usize, open: &mut pb::Snapshot| {
        if size > 0 && size + size_of_next > SNAPSHOT_PART {
            parts.push(encode::packet(
                frame,
                Body::Snapshot(std::mem::replace(open, part())),
            ));
            size = 0;
        }
        size += size_of_next;
    };
    for project in snapshot.projects.iter().map(encode::project) {
        room(prost::Message::encoded_len(&project), &mut open);
        open.projects.push(project);
    }
    for item in snapshot.items.iter().map(encode::item) {
        room(prost::Message::encoded_len(&item), &mut open);
        open.items.push(item);
    }
    open.last = true;
    parts.push(encode::packet(frame, Body::Snapshot(open)));
    parts
}
