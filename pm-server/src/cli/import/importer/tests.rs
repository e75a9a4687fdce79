use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use fastrand::Rng;

use super::*;
use crate::{domain::Id, r#gen::mutate::Operation, plan};

const PLAN: &[u8] = b"# Roadmap\n## One\n- [x] a\n  - [ ] b\n  - [ ] c\n## Two\n- [ ] d\n";

fn steps(plan: &[u8]) -> Steps {
    Steps::of(
        &plan::read(plan, "plan.md").unwrap(),
        "demo",
        "plan.md",
        None,
    )
}

fn at(ms: u64) -> Tick {
    Tick::ZERO + Duration::from_millis(ms)
}

fn head(rev: u64) -> Option<Position> {
    let epoch = Id::from_bytes([7; 16]);
    Some(Position { epoch, rev })
}

fn connected(steps: &Steps) -> Importer<'_> {
    let mut importer = Importer::new(steps);
    importer.connected(64, head(0));
    importer
}

fn ok(rev: u64, replayed: bool) -> Answer {
    Ok(Box::new(pb::Ok {
        rev,
        replayed,
        result: None,
    }))
}

fn error(code: pb::Code, retry_after_ms: u64) -> Answer {
    Err(Rejection::from(pb::Error {
        code: code as i32,
        message: "because".to_owned(),
        temporary: retry_after_ms > 0,
        retry_after_ms,
        ..pb::Error::default()
    }))
}

/// The id belongs to something that is there.
fn in_use() -> Answer {
    let current = pb::error::Current::CurrentItem(pb::WorkItem::default());
    Err(Rejection::from(pb::Error {
        code: pb::Code::AlreadyExists as i32,
        current: Some(current),
        ..pb::Error::default()
    }))
}

/// Sends everything that may be sent, under frame ids of 100 plus the step, and returns the steps.
fn send(importer: &mut Importer<'_>, now: Tick) -> Vec<usize> {
    let mut sent = Vec::new();
    while let Next::Send(step) = importer.next(now) {
        importer.sent(step, 100 + u32::try_from(step).unwrap());
        sent.push(step);
    }
    sent
}

fn answer(importer: &mut Importer<'_>, step: u32, answer: Answer) {
    importer.answered(100 + step, answer, at(0)).unwrap();
}

#[test]
fn everything_is_in_flight_at_once_and_the_report_counts_it() {
    let steps = steps(PLAN);
    let mut importer = connected(&steps);
    assert_eq!(send(&mut importer, at(0)), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(importer.next(at(0)), Next::Answer);
    for step in (0..=6).rev() {
        answer(&mut importer, step, ok(1, false));
    }
    assert_eq!(importer.next(at(0)), Next::Finished);
    assert_eq!(importer.settled(), 6);
    assert_eq!(
        importer.report(Vec::new()).to_string(),
        "imported: 2 epics, 2 stories, 2 tasks, 0 skipped, 6 new\n"
    );
}

#[test]
fn no_more_are_in_flight_than_the_server_takes() {
    let steps = steps(PLAN);
    let mut importer = Importer::new(&steps);
    importer.connected(2, head(0));
    assert_eq!(send(&mut importer, at(0)), [0, 1]);
    answer(&mut importer, 0, ok(1, false));
    assert_eq!(send(&mut importer, at(0)), [2]);
}

#[test]
fn what_is_there_already_is_not_new() {
    let steps = steps(PLAN);
    let mut importer = connected(&steps);
    send(&mut importer, at(0));
    answer(&mut importer, 0, ok(1, true));
    answer(&mut importer, 1, in_use());
    for step in 2..=6 {
        answer(&mut importer, step, ok(1, true));
    }
    let report = importer.report(Vec::new()).to_string();
    assert_eq!(
        report,
        "imported: 2 epics, 2 stories, 2 tasks, 0 skipped, 0 new\n"
    );
}

#[test]
fn what_was_deleted_stays_so_and_is_said() {
    let steps = steps(PLAN);
    let mut importer = connected(&steps);
    send(&mut importer, at(0));
    answer(&mut importer, 0, ok(1, true));
    answer(&mut importer, 1, ok(2, true));
    // `a` is deleted, `b` below it is a new line, and `c` was moved away before.
    answer(&mut importer, 3, error(pb::Code::NotFound, 0));
    answer(&mut importer, 2, error(pb::Code::AlreadyExists, 0));
    answer(&mut importer, 4, in_use());
    // It was asked before its parent's answer came, and has to ask again.
    assert_eq!(send(&mut importer, at(0)), [3]);
    answer(&mut importer, 3, error(pb::Code::NotFound, 0));
    answer(&mut importer, 5, ok(3, true));
    answer(&mut importer, 6, ok(4, false));
    assert_eq!(importer.next(at(0)), Next::Finished);
    assert_eq!(importer.settled(), 6);
    let report = importer.report(Vec::new());
    assert!(report.refused.is_empty());
    assert_eq!(
        report.to_string(),
        "not imported: line 3, \"a\": it was deleted on the server\n\
         not imported: line 4, \"b\": what it is part of was deleted on the server\n\
         imported: 2 epics, 1 stories, 1 tasks, 0 skipped, 1 new\n"
    );
}

#[test]
fn a_step_that_is_turned_away_for_now_is_sent_again_with_its_children() {
    let steps = steps(PLAN);
    let mut importer = connected(&steps);
    send(&mut importer, at(0));
    answer(&mut importer, 0, ok(1, false));
    answer(&mut importer, 1, error(pb::Code::RateLimited, 1_000));
    // Its children find no parent; the grandchildren neither.
    for step in [2, 3, 4] {
        answer(&mut importer, step, error(pb::Code::NotFound, 0));
    }
    answer(&mut importer, 5, ok(2, false));
    answer(&mut importer, 6, ok(3, false));
    let Next::Wait(due) = importer.next(at(999)) else {
        panic!("too early");
    };
    assert!(at(1_000) <= due && due <= at(1_500));
    assert_eq!(send(&mut importer, due), [1, 2, 3, 4]);
    for step in 1..=4 {
        answer(&mut importer, step, ok(9, false));
    }
    assert_eq!(importer.next(due), Next::Finished);
    assert_eq!(importer.report(Vec::new()).new, 6);
}

#[test]
fn a_child_that_was_answered_late_is_sent_again() {
    let steps = steps(PLAN);
    let mut importer = connected(&steps);
    send(&mut importer, at(0));
    answer(&mut importer, 0, ok(1, false));
    answer(&mut importer, 1, error(pb::Code::Overloaded, 1));
    let resent = send(&mut importer, at(600));
    assert_eq!(resent, [1]);
    answer(&mut importer, 1, ok(2, false));
    // Looked at before the parent came, answered after it.
    answer(&mut importer, 2, error(pb::Code::NotFound, 0));
    assert_eq!(send(&mut importer, at(600)), [2]);
    // Now the parent was there before: it must be gone for good.
    answer(&mut importer, 2, error(pb::Code::NotFound, 0));
    answer(&mut importer, 3, error(pb::Code::NotFound, 0));
    answer(&mut importer, 4, error(pb::Code::NotFound, 0));
    answer(&mut importer, 5, ok(3, false));
    answer(&mut importer, 6, ok(4, false));
    assert_eq!(importer.next(at(600)), Next::Finished);
    let report = importer.report(Vec::new());
    assert_eq!(
        report.to_string(),
        "not imported: line 3, \"a\": what it is part of was deleted on the server\n\
         not imported: line 4, \"b\": what it is part of was deleted on the server\n\
         not imported: line 5, \"c\": what it is part of was deleted on the server\n\
         imported: 2 epics, 1 stories, 0 tasks, 0 skipped, 3 new\n"
    );
}

#[test]
fn the_children_of_what_is_refused_are_not_sent() {
    let steps = steps(PLAN);
    let mut importer = Importer::new(&steps);
    importer.connected(3, head(0));
    assert_eq!(send(&mut importer, at(0)), [0, 1, 2]);
    answer(&mut importer, 0, ok(1, false));
    answer(&mut importer, 1, ok(2, false));
    answer(&mut importer, 2, error(pb::Code::Invalid, 0));
    assert_eq!(send(&mut importer, at(0)), [5, 6]);
    answer(&mut importer, 5, ok(3, false));
    answer(&mut importer, 6, ok(4, false));
    assert_eq!(importer.next(at(0)), Next::Finished);
    assert_eq!(importer.settled(), 6);
    let report = importer.report(Vec::new());
    assert_eq!(report.refused.len(), 3);
    assert_eq!(
        report.refused[2].reason,
        "what it is part of was not imported"
    );
}

#[test]
fn what_was_lost_with_the_connection_is_sent_again_and_counted_once() {
    let steps = steps(PLAN);
    let mut importer = Importer::new(&steps);
    importer.connected(64, head(40));
    send(&mut importer, at(0));
    for step in [0, 1] {
        answer(&mut importer, step, ok(41, false));
    }
    let lost = Error::Silent(Duration::ZERO);
    assert!(importer.disconnected(&lost).is_some());
    importer.connected(64, head(43));
    assert_eq!(send(&mut importer, at(0)), [2, 3, 4, 5, 6]);
    answer(&mut importer, 2, ok(43, true)); // committed before the connection was lost
    answer(&mut importer, 3, ok(39, true)); // there before this import
    for step in 4..=6 {
        answer(&mut importer, step, ok(44, false));
    }
    assert_eq!(importer.next(at(0)), Next::Finished);
    assert_eq!(importer.report(Vec::new()).new, 5);
}

#[test]
fn a_failure_of_all_ends_it() {
    for code in [
        pb::Code::Forbidden,
        pb::Code::Unauthenticated,
        pb::Code::Archived,
    ] {
        let steps = steps(PLAN);
        let mut importer = connected(&steps);
        send(&mut importer, at(0));
        answer(&mut importer, 0, ok(1, true));
        assert!(importer.answered(101, error(code, 0), at(0)).is_err());
    }
    let steps = steps(PLAN);
    let mut importer = connected(&steps);
    send(&mut importer, at(0));
    let refused = importer.answered(100, error(pb::Code::Invalid, 0), at(0));
    assert!(matches!(refused, Err(Error::Rejected(_))));
}

#[test]
fn patience_ends() {
    let steps = steps(PLAN);
    let mut importer = connected(&steps);
    let lost = Error::Silent(Duration::ZERO);
    assert_eq!(importer.disconnected(&lost), None, "nothing was sent yet");
    send(&mut importer, at(0));
    let mut waits = 0;
    while let Some(wait) = importer.disconnected(&lost) {
        assert!(wait <= Duration::from_secs(10));
        waits += 1;
    }
    assert_eq!(waits, PATIENCE);
}

/// A server that loses connections, answers and patience at random.
struct Server {
    applied: HashMap<Bytes, u64>,
    ids: HashSet<Bytes>,
    rng: Rng,
}

impl Server {
    fn apply(&mut self, mutation: &pb::Mutate) -> Answer {
        if let Some(rev) = self.applied.get(&mutation.mutation_id) {
            return ok(*rev, true);
        }
        if self.rng.u8(..) < 20 {
            return error(pb::Code::Unavailable, 1 + self.rng.u64(..50));
        }
        let (id, needs) = match mutation.operation.as_ref().unwrap() {
            Operation::CreateProject(create) => (&create.id, None),
            Operation::CreateItem(create) if create.parent_id.is_empty() => {
                (&create.id, Some(&create.project_id))
            }
            Operation::CreateItem(create) => (&create.id, Some(&create.parent_id)),
            other => panic!("unexpected {other:?}"),
        };
        if needs.is_some_and(|needed| !self.ids.contains(needed)) {
            return error(pb::Code::NotFound, 0);
        }
        assert!(self.ids.insert(id.clone()), "created twice");
        let rev = self.applied.len() as u64 + 1;
        self.applied.insert(mutation.mutation_id.clone(), rev);
        ok(rev, false)
    }

    fn head(&self) -> Option<Position> {
        head(self.applied.len() as u64)
    }
}

#[test]
fn whatever_happens_on_the_way_everything_arrives_once() {
    let mut text = "# Roadmap\n".to_owned();
    for epic in 0..5 {
        text += &format!("## {epic}\n");
        for story in 0..5 {
            text += &format!("- [ ] {story}\n  - [x] a\n    - [ ] b\n  - [ ] c\n");
        }
    }
    let steps = steps(text.as_bytes());
    for seed in 0..300 {
        let mut server = Server {
            applied: HashMap::new(),
            ids: HashSet::new(),
            rng: Rng::with_seed(seed),
        };
        let mut importer = Importer::new(&steps);
        let mut now = at(0);
        let mut frame = 0;
        importer.connected(16, server.head());
        // What is sent is applied in order, and answered later or never.
        let mut answers = std::collections::VecDeque::new();
        loop {
            match importer.next(now) {
                Next::Finished => break,
                Next::Send(step) => {
                    frame += 1;
                    importer.sent(step, frame);
                    answers.push_back((frame, server.apply(importer.mutation(step))));
                    if server.rng.u8(..) < 3 {
                        answers.clear();
                        let lost = Error::Silent(Duration::ZERO);
                        now += importer.disconnected(&lost).expect("patience");
                        importer.connected(16, server.head());
                    }
                }
                next @ (Next::Answer | Next::Wait(_)) => match (answers.pop_front(), next) {
                    (Some((frame, answer)), _) => importer.answered(frame, answer, now).unwrap(),
                    (None, Next::Wait(due)) => now = due,
                    (None, _) => panic!("seed {seed}: it waits for an answer to nothing"),
                },
            }
        }
        assert_eq!(server.ids.len(), steps.all().len(), "seed {seed}");
        let report = importer.report(Vec::new());
        assert_eq!(report.new, steps.items(), "seed {seed}");
        assert_eq!((report.epics, report.stories, report.tasks), (5, 25, 75));
    }
}
