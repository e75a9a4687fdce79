use prost::Message;

use super::*;
use crate::client::Token;

fn session() -> Session {
    Session::new(&Options::new("ws://a/ws", "demo", Token::new("secret")))
}

fn welcomed(limits: pb::Limits) -> Session {
    let mut session = session();
    session.take();
    let welcome = pb::Welcome {
        limits: Some(limits),
        ..pb::Welcome::default()
    };
    receive(&mut session, 1, ServerBody::Welcome(welcome)).unwrap();
    assert!(matches!(session.next(), Some(Incoming::Welcome(_))));
    session
}

fn roomy() -> Session {
    welcomed(pb::Limits {
        max_message_bytes: 256 * 1024,
        ..pb::Limits::default()
    })
}

fn receive(session: &mut Session, id: u32, body: ServerBody) -> Result<(), Error> {
    session.receive(encode::packet(id, body))
}

fn sent(message: Option<Bytes>) -> Vec<pb::ClientFrame> {
    pb::ClientPacket::decode(message.unwrap()).unwrap().frames
}

fn named(name: &str) -> pb::Mutate {
    let create = pb::CreateProject {
        id: Bytes::from_static(&[1; 16]),
        name: name.to_owned(),
    };
    pb::Mutate {
        mutation_id: Bytes::from_static(&[2; 16]),
        operation: Some(pb::mutate::Operation::CreateProject(create)),
    }
}

#[test]
fn hello_comes_first_with_token_and_tenant() {
    let mut session = session();
    let frames = sent(session.take());
    let hello = pb::Hello {
        token: "secret".to_owned(),
        tenant: "demo".to_owned(),
        client: concat!("pm-server/", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    assert_eq!(frames, [frame(1, ClientBody::Hello(hello))]);
    assert_eq!(session.take(), None);
}

#[test]
fn debug_keeps_the_token() {
    assert!(!format!("{:?}", session()).contains("secret"));
}

#[test]
fn frames_that_are_queued_together_leave_together() {
    let mut session = roomy();
    let ids: Vec<_> = (0..3)
        .map(|_| session.mutate(named("a")).unwrap())
        .collect();
    assert_eq!(ids, [2, 3, 4]);
    let frames = sent(session.take());
    assert_eq!(frames.iter().map(|f| f.id).collect::<Vec<_>>(), ids);
    assert!(!session.has_queued());
    assert_eq!(session.in_flight(), 3);
}

#[test]
fn a_message_ends_before_it_is_too_large_and_frames_keep_their_order() {
    let mut session = roomy();
    let ids: Vec<_> = (0..100)
        .map(|_| session.mutate(named(&"x".repeat(1_000))).unwrap())
        .collect();
    let mut seen = Vec::new();
    let mut messages = 0;
    while let Some(message) = session.take() {
        assert!(message.len() <= MESSAGE_BYTES);
        seen.extend(sent(Some(message)).iter().map(|f| f.id));
        messages += 1;
    }
    assert_eq!(seen, ids);
    assert_eq!(messages, 7);
}

#[test]
fn one_frame_may_be_as_large_as_the_server_takes_and_no_larger() {
    let mut session = welcomed(pb::Limits {
        max_message_bytes: 40_000,
        ..pb::Limits::default()
    });
    session.mutate(named(&"x".repeat(39_000))).unwrap();
    assert!(session.take().unwrap().len() > MESSAGE_BYTES);
    let error = session.mutate(named(&"x".repeat(40_000))).unwrap_err();
    assert!(matches!(error, Error::TooLarge { max: 40_000, .. }));
    assert!(!session.has_queued());
    assert_eq!(session.in_flight(), 1);
}

#[test]
fn answers_find_their_frames_in_any_order_and_once() {
    let mut session = roomy();
    let first = session.mutate(named("a")).unwrap();
    let second = session.mutate(named("b")).unwrap();
    let error = pb::Error {
        code: pb::Code::Invalid as i32,
        ..pb::Error::default()
    };
    receive(&mut session, second, ServerBody::Error(error.clone())).unwrap();
    receive(&mut session, first, ServerBody::Ok(pb::Ok::default())).unwrap();
    assert_eq!(session.in_flight(), 0);
    let Some(Incoming::Answered { id, answer: Err(_) }) = session.next() else {
        panic!("no rejection");
    };
    assert_eq!(id, second);
    let Some(Incoming::Answered { id, answer: Ok(_) }) = session.next() else {
        panic!("no success");
    };
    assert_eq!(id, first);
    assert!(session.next().is_none());
    for id in [first, 99] {
        let again = receive(&mut session, id, ServerBody::Ok(pb::Ok::default()));
        assert!(matches!(again, Err(Error::Protocol(_))));
    }
}

#[test]
fn an_error_without_an_id_is_handed_on() {
    let mut session = roomy();
    receive(&mut session, 0, ServerBody::Error(pb::Error::default())).unwrap();
    assert!(matches!(session.next(), Some(Incoming::Rejected(_))));
}

#[test]
fn a_ping_is_answered_by_itself() {
    let mut session = roomy();
    receive(&mut session, 0, ServerBody::Ping(pb::Ping {})).unwrap();
    assert!(matches!(session.next(), Some(Incoming::Ping)));
    let pong = frame(0, ClientBody::Pong(pb::Pong {}));
    assert_eq!(sent(session.take()), [pong]);
}

#[test]
fn ids_go_round_without_zero_and_without_those_that_wait() {
    let mut session = roomy();
    assert_eq!(session.mutate(named("a")).unwrap(), 2);
    session.last_id = u32::MAX - 1;
    assert_eq!(session.mutate(named("a")).unwrap(), u32::MAX);
    assert_eq!(session.mutate(named("a")).unwrap(), 1);
    assert_eq!(session.mutate(named("a")).unwrap(), 3);
}

#[test]
fn the_goodbye_is_remembered() {
    let mut session = roomy();
    let goodbye = pb::Goodbye {
        close_code: 4513,
        reason: "draining".to_owned(),
        retry_after_ms: 250,
    };
    receive(&mut session, 0, ServerBody::Goodbye(goodbye)).unwrap();
    let Some(Incoming::Goodbye(said)) = session.next() else {
        panic!("no goodbye");
    };
    assert_eq!(
        said.retry_after,
        Some(std::time::Duration::from_millis(250))
    );
    assert_eq!(session.goodbye(), Some(&said));
}

#[test]
fn nonsense_is_an_error_and_what_a_newer_server_tells_everybody_is_not() {
    let mut session = roomy();
    let unknown = pb::ServerPacket {
        frames: vec![pb::ServerFrame { id: 0, body: None }],
    };
    session.receive(unknown.encode_to_vec().into()).unwrap();
    assert!(session.next().is_none());
    let events = pb::Events {
        events: vec![pb::Event::default()],
    };
    let snapshot = pb::Snapshot::default();
    for error in [
        session.receive(Bytes::from_static(b"\xff\xff\xff")),
        receive(&mut session, 0, ServerBody::Events(events)),
        receive(&mut session, 0, ServerBody::Snapshot(snapshot)),
        receive(&mut session, 1, ServerBody::Welcome(pb::Welcome::default())),
    ] {
        assert!(matches!(error, Err(Error::Protocol(_))));
    }
}
