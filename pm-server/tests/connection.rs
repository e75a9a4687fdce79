//! The conversation, without a socket.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::FutureExt;
use pm_core::{Clock, Identity};
use pm_ratelimit::{
    By, Limiter, Op, Quota, Rule, RuleBook, Rules, Subject, Verdict, guard::MemoryStore,
};
use pm_server::{
    domain::{Operation, Place},
    r#gen::{self as pb, Code, client_frame::Body, server_frame::Body as Said},
    store::{Log, Scope},
    sync::RingLimits,
    ws::{CloseCode, FrameKind, Gate, Rejection, SocketSettings},
};
use prost::Message;
use support::{
    edits::mutation,
    peer::{
        Peer, bytes, create_project, create_story, frame, hello, id, mutate, subscribe, unsubscribe,
    },
};

const P: u8 = 1;
const Q: u8 = 2;

fn code(said: &(u32, Said)) -> Code {
    match &said.1 {
        Said::Error(error) => Code::try_from(error.code).unwrap(),
        other => panic!("not an error: {other:?}"),
    }
}

fn closed(peer: &Peer, said: &[(u32, Said)], code: CloseCode) {
    let Some((0, Said::Goodbye(goodbye))) = said.last() else {
        panic!("no goodbye: {said:?}")
    };
    assert_eq!(goodbye.close_code, u32::from(code.number()));
    assert_eq!(peer.connection.end().map(|close| close.code), Some(code));
    assert!(!peer.connection.wants_input());
    assert_eq!(peer.connection.deadline(), None);
}

/// What was said, in short: `e5` for an event, `a3` for the answer to frame 3, `x4` for an error.
fn short(said: &[(u32, Said)]) -> Vec<String> {
    let events = |events: &pb::Events| {
        events
            .events
            .iter()
            .map(|event| format!("e{}", event.rev))
            .collect::<Vec<_>>()
    };
    let one = |(id, said): &(u32, Said)| match said {
        Said::Events(list) => events(list),
        Said::Ok(_) => vec![format!("a{id}")],
        Said::Error(_) => vec![format!("x{id}")],
        Said::Snapshot(part) => vec![format!("s{id}:{}", part.items.len())],
        Said::Welcome(_) => vec!["welcome".into()],
        Said::Ping(_) => vec!["ping".into()],
        Said::Goodbye(_) => vec!["goodbye".into()],
    };
    said.iter().flat_map(one).collect()
}

#[test]
fn nothing_but_a_hello_comes_first() {
    for first in [
        create_project(3, P),
        subscribe(3, None, None),
        frame(3, Body::Pong(pb::Pong {})),
    ] {
        let mut peer = Peer::new();
        let said = peer.say([first]);
        assert_eq!((said[0].0, code(&said[0])), (3, Code::Protocol));
        closed(&peer, &said, CloseCode::Protocol);
        assert_eq!(peer.hub.head().rev, 0);
    }
}

#[test]
fn a_hello_comes_in_time() {
    let mut peer = Peer::new();
    assert!(peer.wait(Duration::from_millis(4999)).is_empty());
    let said = peer.wait(Duration::from_millis(1));
    closed(&peer, &said, CloseCode::Slow);
}

#[test]
fn a_hello_that_is_not_accepted_is_told_why() {
    let words = || "because".to_owned();
    for (rejection, error, close) in [
        (
            Rejection::Token(words()),
            Code::Unauthenticated,
            CloseCode::Token,
        ),
        (
            Rejection::Rights(words()),
            Code::Forbidden,
            CloseCode::Forbidden,
        ),
        (
            Rejection::UnknownTenant(words()),
            Code::UnknownTenant,
            CloseCode::Forbidden,
        ),
        (
            Rejection::Unavailable(words(), Duration::from_secs(3)),
            Code::Unavailable,
            CloseCode::Unavailable,
        ),
    ] {
        let mut peer = Peer::new();
        peer.admit = Err(rejection);
        let said = peer.say([hello(1), create_project(2, P)]);
        let [(1, Said::Error(told)), (0, Said::Goodbye(_))] = &said[..] else {
            panic!("{said:?}")
        };
        assert_eq!(
            (told.message.as_str(), told.request_id.as_str()),
            ("because", "c1")
        );
        assert_eq!(code(&said[0]), error);
        // Whoever may come back is told so in the answer, too.
        let wait = if close == CloseCode::Unavailable {
            3000
        } else {
            0
        };
        assert_eq!((told.temporary, told.retry_after_ms), (wait > 0, wait));
        closed(&peer, &said, close);
    }
}

#[test]
fn a_token_without_a_role_opens_nothing() {
    let mut peer = Peer::new();
    peer.roles = vec!["janitor"];
    let said = peer.say([hello(1)]);
    assert_eq!(code(&said[0]), Code::Forbidden);
    closed(&peer, &said, CloseCode::Forbidden);
}

#[test]
fn a_second_hello_changes_nothing() {
    let mut peer = Peer::open();
    let said = peer.say([hello(2), create_project(3, P)]);
    assert_eq!(short(&said), ["x2", "a3"]);
}

#[test]
fn everything_may_be_sent_at_once_and_an_answer_is_behind_its_event() {
    let mut peer = Peer::new();
    let said = peer.say([
        hello(1),
        subscribe(2, None, None),
        create_project(3, P),
        create_story(4, P, 1),
        create_story(5, P, 2),
    ]);
    let short = short(&said);
    let at = |what: &str| short.iter().position(|said| said == what).unwrap();
    assert_eq!(at("welcome"), 0);
    assert!(
        at("e1") < at("a3") && at("e2") < at("a4") && at("e3") < at("a5"),
        "{short:?}"
    );
    assert!(
        at("a2") < at("e1") || short.contains(&"s2:0".to_owned()),
        "{short:?}"
    );
}

#[test]
fn an_answer_waits_for_events_that_are_far_behind() {
    let mut peer = Peer::with(
        SocketSettings::default(),
        RingLimits {
            events: 2,
            bytes: 1 << 20,
        },
    );
    peer.say_hello();
    peer.say([create_project(2, P)]);
    for number in 0..20 {
        peer.say([create_story(3, P, number)]);
    }
    peer.hold_reads = true;
    let said = peer.say([
        subscribe(4, None, Some((id(250), 1))),
        create_story(5, P, 99),
    ]);
    assert_eq!(
        short(&said),
        ["a4"],
        "the log is being read, and the answer waits for it"
    );
    let said = short(&peer.release());
    let events: Vec<_> = (2..=22).map(|rev| format!("e{rev}")).collect();
    assert_eq!(said[..21], events);
    assert_eq!(said[21], "a5");
}

#[test]
fn a_snapshot_and_what_came_since_leave_nothing_out_and_repeat_nothing() {
    let mut peer = Peer::open();
    peer.say([create_project(2, P), create_story(3, P, 1)]);
    peer.hold_reads = true;
    assert!(peer.say([subscribe(4, Some(id(P)), None)]).is_empty());
    // Between the request and the snapshot, and between the snapshot and the next event.
    peer.say([create_story(5, P, 2)]);
    let said = peer.release();
    assert_eq!(short(&said), ["s4:2", "a4"]);
    let said = peer.say([create_story(6, P, 3)]);
    assert_eq!(short(&said), ["e4", "a6"]);
}

/// An answer that waits for an event draws the events before it out of the hub. With the snapshot
/// behind it in the queue, an event overtook the snapshot that it comes after. Found by simulation.
#[test]
fn no_event_overtakes_the_snapshot_it_comes_after() {
    let mut peer = Peer::open();
    peer.say([create_project(2, P)]);
    peer.hold_reads = true;
    peer.say([subscribe(3, None, None)]);
    let snapshot = peer.log.snapshot(Scope::Tenant);
    let snapshot = futures_util::FutureExt::now_or_never(snapshot).unwrap();
    peer.hold = true;
    peer.say([create_story(4, P, 1)]);
    peer.hold = false;
    peer.answer_held();
    peer.connection.snapshotted(3, Scope::Tenant, snapshot);
    assert_eq!(short(&peer.hear()), ["s3:0", "a3", "e2", "a4"]);
}

/// A page that was asked for after one rev is not what follows on another. Found on reading.
#[test]
fn a_page_that_comes_after_a_new_beginning_leaves_nothing_out() {
    let mut peer = Peer::with(
        SocketSettings::default(),
        RingLimits {
            events: 2,
            bytes: 1 << 20,
        },
    );
    peer.say_hello();
    peer.say([create_project(2, P)]);
    peer.say((0..9).map(|number| create_story(0, P, number)));
    peer.hold_reads = true;
    peer.say([subscribe(3, None, Some((id(250), 5)))]);
    peer.say([subscribe(4, None, Some((id(250), 0)))]);
    let said = short(&peer.release());
    assert_eq!(
        said,
        ["e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9", "e10"]
    );
}

#[test]
fn scopes_that_overlap_are_not_followed_at_once() {
    for (first, second) in [(None, Some(id(P))), (Some(id(P)), None)] {
        for hold in [false, true] {
            let mut peer = Peer::open();
            peer.say([create_project(2, P)]);
            peer.hold_reads = hold;
            peer.say([subscribe(3, first, None)]);
            let said = peer.say([subscribe(4, second, None)]);
            assert_eq!(code(&said[0]), Code::Invalid);
            peer.release();
            let said = peer.say([unsubscribe(5, first), subscribe(6, second, None)]);
            assert!(short(&said).contains(&"a6".to_owned()), "{said:?}");
        }
    }
}

#[test]
fn a_large_snapshot_comes_in_parts_of_one_rev() {
    let mut peer = Peer::open();
    peer.say([create_project(2, P)]);
    peer.say((0..400).map(|number| create_story(3, P, number)));
    let said = peer.say([subscribe(4, None, None)]);
    let parts: Vec<_> = said
        .iter()
        .filter_map(|(_, said)| match said {
            Said::Snapshot(part) => Some(part),
            _ => None,
        })
        .collect();
    assert!(parts.len() > 2);
    assert_eq!(
        parts.iter().map(|part| part.items.len()).sum::<usize>(),
        400
    );
    assert!(parts.iter().all(|part| part.position == parts[0].position));
    let lasts: Vec<_> = parts.iter().filter(|part| part.last).collect();
    assert_eq!(lasts.len(), 1);
    assert!(parts.last().unwrap().last);
    assert!(parts.iter().all(|part| part.encoded_len() <= 16 << 10));
}

#[test]
fn resuming_is_complete_or_refused() {
    let mut peer = Peer::with(
        SocketSettings {
            max_lag: 5,
            ..SocketSettings::default()
        },
        RingLimits::default(),
    );
    peer.say_hello();
    peer.say([create_project(2, P)]);
    peer.say((0..8).map(|number| create_story(3, P, number)));
    for (since, why) in [
        ((id(9), 9), "another epoch"),
        ((id(250), 99), "ahead"),
        ((id(250), 3), "far"),
    ] {
        let said = peer.say([subscribe(4, None, Some(since))]);
        assert_eq!(code(&said[0]), Code::Unrecoverable, "{why}");
        assert_eq!(said.len(), 1, "{why}");
    }
    let said = peer.say([subscribe(5, None, Some((id(250), 4)))]);
    assert_eq!(short(&said), ["a5", "e5", "e6", "e7", "e8", "e9"]);
    let Said::Ok(ok) = &said[0].1 else { panic!() };
    let Some(pb::ok::Result::Subscribed(subscribed)) = &ok.result else {
        panic!()
    };
    assert!(subscribed.recovered);
}

#[test]
fn a_project_is_followed_alone_and_prev_proves_that_nothing_is_missing() {
    let mut peer = Peer::open();
    peer.say([
        create_project(2, P),
        create_project(3, Q),
        subscribe(4, Some(id(Q)), None),
    ]);
    let said = peer.say([
        create_story(5, P, 1),
        create_story(6, Q, 2),
        create_story(7, P, 3),
        create_story(8, Q, 4),
    ]);
    let chain: Vec<_> = said
        .iter()
        .filter_map(|(_, said)| match said {
            Said::Events(events) => Some((events.events[0].prev, events.events[0].rev)),
            _ => None,
        })
        .collect();
    assert_eq!(chain, [(2, 4), (4, 6)]);
}

#[test]
fn there_is_no_subscription_to_a_project_that_is_not_there() {
    let mut peer = Peer::open();
    let said = peer.say([subscribe(2, Some(id(77)), None)]);
    assert_eq!(code(&said[0]), Code::NotFound);
    let said = peer.say([unsubscribe(3, Some(id(77)))]);
    assert_eq!(code(&said[0]), Code::NotFound);
}

#[test]
fn unsubscribing_ends_what_was_or_was_about_to_be() {
    let mut peer = Peer::open();
    peer.say([create_project(2, P), subscribe(3, None, None)]);
    assert_eq!(
        short(&peer.say([unsubscribe(4, None), create_story(5, P, 1)])),
        ["a4", "a5"]
    );
    peer.hold_reads = true;
    assert_eq!(
        short(&peer.say([subscribe(6, None, None), unsubscribe(7, None)])),
        ["x6", "a7"]
    );
    assert!(peer.release().is_empty(), "the snapshot is nobody's");
    assert_eq!(short(&peer.say([create_story(8, P, 2)])), ["a8"]);
}

/// Asking for the same snapshot again and again, without wanting an answer, had all of them read.
#[test]
fn snapshots_that_are_being_read_are_bounded_wanted_or_not() {
    let mut peer = Peer::open();
    peer.say([create_project(2, P)]);
    peer.hold_reads = true;
    peer.say((0..50).map(|_| subscribe(0, None, None)));
    assert_eq!(peer.held_reads.len(), 2);
    assert!(!peer.connection.wants_input());
    peer.release();
    assert!(peer.connection.wants_input());
}

/// A subscription that is refused leaves the one before it as it was.
#[test]
fn what_is_followed_stays_followed_when_a_new_beginning_is_refused() {
    let mut peer = Peer::open();
    peer.say([create_project(2, P), subscribe(3, None, None)]);
    let said = peer.say([subscribe(4, None, Some((id(9), 1)))]);
    assert_eq!(code(&said[0]), Code::Unrecoverable);
    assert_eq!(short(&peer.say([create_story(5, P, 1)])), ["e2", "a5"]);
}

/// With the storage gone, an answer that waits for events that cannot be read would wait for ever.
#[test]
fn going_down_does_not_wait_for_what_cannot_be_read() {
    let mut peer = Peer::with(
        SocketSettings::default(),
        RingLimits {
            events: 1,
            bytes: 1 << 20,
        },
    );
    peer.say_hello();
    peer.say([create_project(2, P)]);
    peer.say((0..9).map(|number| create_story(0, P, number)));
    peer.hold_reads = true;
    peer.say([
        subscribe(3, None, Some((id(250), 1))),
        create_story(4, P, 99),
    ]);
    peer.connection.drain(Duration::ZERO);
    let failed = pm_server::store::StoreError::Unavailable("gone".into());
    peer.connection.read(Scope::Tenant, Err(failed));
    let said = peer.hear();
    closed(&peer, &said, CloseCode::Draining);
}

#[test]
fn subscriptions_are_bounded() {
    let mut peer = Peer::with(
        SocketSettings {
            max_subscriptions: 2,
            ..SocketSettings::default()
        },
        RingLimits::default(),
    );
    peer.say_hello();
    let since = Some((id(250), 0));
    let said = peer.say((1..=3).map(|n| subscribe(u32::from(n), Some(id(n)), since)));
    assert_eq!(short(&said), ["a1", "a2", "x3"]);
    let said = peer.say([subscribe(4, Some(id(2)), since)]);
    assert_eq!(
        short(&said),
        ["a4"],
        "the same one again takes no more room"
    );
}

#[test]
fn a_viewer_looks_and_changes_nothing() {
    let mut peer = Peer::new();
    peer.roles = vec!["VIEWER"];
    peer.say_hello();
    let said = peer.say([create_project(2, P), subscribe(3, None, None)]);
    assert_eq!(code(&said[0]), Code::Forbidden);
    assert_eq!(short(&said), ["x2", "s3:0", "a3"]);
    assert_eq!(peer.hub.head().rev, 0);
}

/// A limit on the frames of a user, on a clock that stands still.
fn limiter(quota: Quota) -> Limiter {
    let frames = Rule::on("frame.*").by(By::User).quota(quota);
    let builder = Limiter::builder(Rules::new().rule("frames", frames));
    builder.clock(Clock::manual().0).build().unwrap()
}

fn gate(limiter: &Limiter) -> Gate {
    let client = IpAddr::from([192, 0, 2, 1]).into();
    Gate::new(limiter.clone(), client, 1)
}

#[test]
fn too_many_frames_are_refused_with_a_time_and_then_it_ends() {
    let mut peer = Peer::gated(gate(&limiter(Quota::per_second(3).burst(2))));
    assert_eq!(short(&peer.say([create_project(2, P)])), ["a2"]);
    let said = peer.say([create_project(3, Q)]);
    let [(3, Said::Error(error))] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!(error.code(), Code::RateLimited);
    assert!(error.temporary && error.message.contains("\"frames\""));
    assert_eq!(
        error.retry_after_ms, 667,
        "rounded up, so that who waits as told is not early"
    );
    let said = peer.say((0..1000).map(|_| create_project(3, P)));
    closed(&peer, &said, CloseCode::Rate);
}

#[test]
fn a_frame_waits_until_its_users_own_quota_is_known_and_so_does_what_follows() {
    let store = Arc::new(MemoryStore::new());
    let book = || {
        let frames = Rule::on("frame.*").by(By::User).quota(Quota::per_hour(100));
        let limiter = Limiter::builder(Rules::new().rule("frames", frames));
        let book = RuleBook::builder(limiter.clock(Clock::manual().0));
        book.store(store.clone()).build().unwrap()
    };
    let (here, elsewhere) = (book(), book());
    let ada = Identity::new("ada").with_tenant("demo");
    let assigned = elsewhere.assign("frames", &ada, Quota::per_hour(5));
    assigned.now_or_never().unwrap().unwrap();

    let mut peer = Peer::gated(gate(&here.limiter()));
    peer.hold_reads = true;
    let frames = [
        create_project(2, P),
        create_project(3, Q),
        create_project(4, P),
    ];
    assert!(peer.say(frames).is_empty());
    assert!(!peer.connection.wants_input());
    let said = peer.release();
    assert_eq!(short(&said), ["x4", "a2", "a3"]);
    assert_eq!(code(&said[0]), Code::RateLimited);
    assert!(peer.connection.wants_input());
    assert_eq!(here.stats().lookups, 1, "it is known by then");

    // A ping is a frame, too; and whoever is asked to leave meanwhile is not waited for.
    for drains in [false, true] {
        let mut peer = Peer::gated(gate(&book().limiter()));
        peer.hold_reads = true;
        peer.connection.receive_control();
        peer.hear();
        assert!(!peer.connection.wants_input());
        if drains {
            peer.connection.drain(Duration::ZERO);
        }
        assert_eq!(peer.release().is_empty(), !drains);
        assert_eq!(peer.connection.end().is_some(), drains);
        assert_eq!(peer.connection.wants_input(), !drains);
    }
}

#[test]
fn messages_without_frames_and_pings_are_charged_as_other_frames_are() {
    // What the limit holds, and as many refusals as may be ignored.
    let enough = 3 + 1001;
    let empty: fn(&mut Peer) = |peer| assert!(peer.say_bytes(vec![]).len() <= 1);
    let unknown: fn(&mut Peer) = |peer| assert!(peer.say_bytes(vec![0xa2, 6, 1, 0x61]).len() <= 1);
    let control: fn(&mut Peer) = |peer| peer.connection.receive_control();
    for send in [empty, unknown, control] {
        let mut peer = Peer::gated(gate(&limiter(Quota::per_hour(3))));
        for _ in 1..enough {
            send(&mut peer);
            assert!(peer.connection.wants_input());
        }
        send(&mut peer);
        peer.hear();
        let close = peer.connection.end().expect("it has ended");
        assert_eq!(close.code, CloseCode::Rate);
    }
    let mut peer = Peer::open();
    assert!(
        peer.say_bytes(vec![]).is_empty(),
        "without a gate it is nothing"
    );
    assert!(peer.connection.end().is_none());
}

#[test]
fn before_the_hello_a_message_without_frames_is_the_end_and_pings_are_charged() {
    let mut peer = Peer::new();
    let said = peer.say_bytes(vec![]);
    closed(&peer, &said, CloseCode::Protocol);

    let rules = Rules::new().rule(
        "connection",
        Rule::always().by(By::Connection).quota(Quota::per_hour(3)),
    );
    let gate = gate(&Limiter::builder(rules).build().unwrap());
    let mut peer = Peer::behind(gate);
    for _ in 0..3 + 1001 {
        assert!(peer.connection.wants_input());
        peer.connection.receive_control();
    }
    let said = peer.hear();
    closed(&peer, &said, CloseCode::Rate);
}

#[test]
fn whoever_is_blocked_is_told_and_hears_no_more() {
    for mut peer in [Peer::new(), Peer::open()] {
        peer.connection.block();
        let said = peer.hear();
        closed(&peer, &said, CloseCode::Forbidden);
        assert!(!peer.connection.wants_input());
    }
}

#[test]
fn a_frame_that_no_waiting_lets_through_is_not_told_to_wait() {
    let mut peer = Peer::gated(gate(&limiter(Quota::per_hour(9))));
    let said = peer.say([subscribe(2, None, None), create_project(3, P)]);
    let [(2, Said::Error(error)), (3, Said::Ok(_))] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!(error.code(), Code::RateLimited);
    assert_eq!((error.temporary, error.retry_after_ms), (false, 0));
    assert!(error.message.contains("takes 10 tokens") && error.message.contains("has 9"));
}

#[test]
fn each_frame_takes_what_its_kind_costs_also_if_it_comes_to_nothing() {
    let limiter = limiter(Quota::per_hour(1000));
    let mut peer = Peer::new();
    peer.roles = vec!["viewer"];
    peer.connection = peer.connection.with_gate(gate(&limiter));
    let left = || {
        let ada = Identity::new("ada").with_tenant("demo");
        let look = Op::new("frame.other").cost(0);
        match limiter.try_check(&Subject::identity(&ada), look) {
            Some(Verdict::Allowed(allowed)) => allowed.remaining(),
            other => panic!("{other:?}"),
        }
    };
    peer.say_hello();
    assert_eq!(left(), 1000, "nobody is known before");
    for (sent, cost) in [
        (frame(0, Body::Pong(pb::Pong {})), FrameKind::Pong.cost()),
        (create_project(0, P), FrameKind::Mutate.cost()),
        (subscribe(0, None, None), FrameKind::Subscribe.cost()),
        (unsubscribe(0, Some(id(P))), FrameKind::Unsubscribe.cost()),
        (hello(0), FrameKind::Other.cost()),
    ] {
        let before = left();
        peer.say([sent.clone()]);
        assert_eq!(before - left(), cost, "{sent:?}");
    }
}

#[test]
fn silence_is_broken_by_a_ping_that_wants_an_answer() {
    let mut peer = Peer::open();
    assert!(peer.wait(Duration::from_millis(24_999)).is_empty());
    assert_eq!(short(&peer.wait(Duration::from_millis(1))), ["ping"]);
    assert!(peer.wait(Duration::from_millis(9_999)).is_empty());
    peer.say([frame(0, Body::Pong(pb::Pong {}))]);
    assert!(peer.wait(Duration::from_secs(24)).is_empty());
    // Anything else is a sign of life, too.
    peer.say([create_project(2, P)]);
    assert!(peer.wait(Duration::from_secs(24)).is_empty());
    assert_eq!(short(&peer.wait(Duration::from_secs(1))), ["ping"]);
    let said = peer.wait(Duration::from_secs(10));
    closed(&peer, &said, CloseCode::Slow);
}

#[test]
fn events_break_the_silence_too() {
    let mut peer = Peer::open();
    peer.say([create_project(2, P), subscribe(3, None, None)]);
    for number in 0..5 {
        assert!(peer.wait(Duration::from_secs(20)).is_empty());
        let fields = pm_server::domain::Fields {
            title: "x".into(),
            ..Default::default()
        };
        peer.meanwhile(&[mutation(
            id(100 + number),
            1,
            Operation::CreateItem {
                id: id(50 + number),
                project: id(P),
                parent: None,
                kind: pm_server::domain::Kind::Story,
                fields,
                place: Place::Last,
            },
        )]);
        assert_eq!(short(&peer.hear()).len(), 1);
    }
}

#[test]
fn a_token_that_expires_ends_its_socket() {
    let mut peer = Peer::new();
    peer.admit = Ok(Duration::from_secs(20));
    peer.say_hello();
    assert_eq!(
        peer.connection.deadline(),
        Some(peer.now + Duration::from_secs(20))
    );
    assert!(peer.wait(Duration::from_millis(19_999)).is_empty());
    let said = peer.wait(Duration::from_millis(1));
    closed(&peer, &said, CloseCode::Token);
    let mut late = Peer::new();
    late.admit = Ok(Duration::ZERO);
    let said = late.say([hello(1)]);
    closed(&late, &said, CloseCode::Token);
}

#[test]
fn going_down_answers_what_was_submitted_behind_its_events_and_says_when_to_come_back() {
    let mut peer = Peer::open();
    peer.say([create_project(2, P), subscribe(3, None, None)]);
    peer.hold = true;
    assert!(
        peer.say([create_story(4, P, 1), create_story(5, P, 2)])
            .is_empty()
    );
    peer.connection.drain(Duration::from_millis(1234));
    assert!(peer.hear().is_empty() && peer.connection.end().is_none());
    let said = peer.release();
    assert_eq!(short(&said), ["e2", "e3", "a4", "a5", "goodbye"]);
    closed(&peer, &said, CloseCode::Draining);
    let Some((_, Said::Goodbye(goodbye))) = said.last() else {
        panic!()
    };
    assert_eq!(goodbye.retry_after_ms, 1234);
}

#[test]
fn going_down_ends_at_once_what_has_nothing_under_way() {
    for mut peer in [Peer::new(), Peer::open()] {
        peer.connection.drain(Duration::ZERO);
        let said = peer.hear();
        closed(&peer, &said, CloseCode::Draining);
    }
}

#[test]
fn what_is_not_a_packet_ends_the_conversation() {
    let whole = pb::ClientPacket {
        frames: vec![create_project(2, P)],
    }
    .encode_to_vec();
    let cut = whole[..whole.len() - 3].to_vec();
    for bytes in [
        vec![0xff; 40],
        cut,
        vec![0x0a, 0xff, 0xff, 0xff, 0x7f],
        vec![0x08, 0x01],
    ] {
        let mut peer = Peer::open();
        let said = peer.say_bytes(bytes);
        assert_eq!(code(&said[0]), Code::Protocol);
        closed(&peer, &said, CloseCode::Protocol);
        assert_eq!(peer.hub.head().rev, 0, "nothing of it was done");
    }
    let mut peer = Peer::open();
    peer.connection.receive_text();
    let said = peer.hear();
    closed(&peer, &said, CloseCode::Protocol);
}

#[test]
fn what_came_before_the_damage_is_done() {
    let mut bytes = pb::ClientPacket {
        frames: vec![create_project(2, P)],
    }
    .encode_to_vec();
    bytes.extend([0x0a, 0x7f]);
    let mut peer = Peer::open();
    let said = peer.say_bytes(bytes);
    closed(&peer, &said, CloseCode::Protocol);
    assert_eq!(peer.hub.head().rev, 1);
}

#[test]
fn a_newer_client_is_understood_as_far_as_possible() {
    let mut peer = Peer::open();
    // An unknown field in the packet, an unknown field in the frame, an unknown kind of frame.
    let mut known = create_project(2, P).encode_to_vec();
    known.extend([0xa2, 0x06, 0x01, 0x61]);
    let mut bytes = vec![
        0xa2,
        0x06,
        0x01,
        0x61,
        0x0a,
        u8::try_from(known.len()).unwrap(),
    ];
    bytes.extend(known);
    bytes.extend([0x0a, 0x04, 0x08, 0x07, 0x3a, 0x00]);
    let said = peer.say_bytes(bytes);
    assert_eq!(short(&said), ["x7", "a2"]);
    assert_eq!(code(&said[0]), Code::Protocol);
}

#[test]
fn wrong_values_are_told_apart_by_field_and_end_nothing() {
    let mut peer = Peer::open();
    peer.say([create_project(2, P)]);
    let item = |change: fn(&mut pb::CreateItem)| {
        let mut item = pb::CreateItem {
            id: bytes(id(40)),
            project_id: bytes(id(P)),
            kind: pb::Kind::Story as i32,
            fields: Some(pb::Fields {
                title: "x".into(),
                ..pb::Fields::default()
            }),
            ..pb::CreateItem::default()
        };
        change(&mut item);
        pb::mutate::Operation::CreateItem(item)
    };
    let update = |mask: Vec<i32>| {
        pb::mutate::Operation::UpdateItem(pb::UpdateItem {
            id: bytes(id(40)),
            mask,
            ..pb::UpdateItem::default()
        })
    };
    let cases = [
        (item(|item| item.id = vec![1; 15].into()), "id"),
        (item(|item| item.id = vec![0; 16].into()), "id"),
        (item(|item| item.project_id.clear()), "project_id"),
        (item(|item| item.parent_id = vec![1; 3].into()), "parent_id"),
        (item(|item| item.kind = 99), "kind"),
        (item(|item| item.kind = 0), "kind"),
        (
            item(|item| item.fields.as_mut().unwrap().status = -1),
            "fields.status",
        ),
        (
            item(|item| item.fields.as_mut().unwrap().title.clear()),
            "fields.title",
        ),
        (item(|item| item.fields = None), "fields.title"),
        (
            item(|item| item.fields.as_mut().unwrap().title = "a\u{0}b".into()),
            "fields.title",
        ),
        (
            item(|item| item.fields.as_mut().unwrap().title = "x".repeat(200_000)),
            "fields.title",
        ),
        (
            item(|item| {
                let at = Some(pb::place::At::After(bytes::Bytes::from_static(b"short")));
                item.place = Some(pb::Place { at });
            }),
            "place.after",
        ),
        (update(vec![]), "mask"),
        (update(vec![42]), "mask"),
        (update(vec![pb::Field::Status as i32]), "fields.status"),
    ];
    for (at, (operation, path)) in cases.into_iter().enumerate() {
        let said = peer.say([mutate(9, 500 + at as u64, operation)]);
        let [(9, Said::Error(error))] = &said[..] else {
            panic!("{path}: {said:?}")
        };
        assert_eq!(code(&said[0]), Code::Invalid, "{path}");
        assert_eq!(error.violations[0].path, path);
        assert!(!error.violations[0].text.is_empty() && !error.temporary);
    }
    let nothing = frame(8, Body::Mutate(pb::Mutate::default()));
    let said = peer.say([nothing]);
    let Said::Error(error) = &said[0].1 else {
        panic!()
    };
    assert_eq!(
        error.violations.len(),
        2,
        "everything that is wrong is said at once"
    );
    assert_eq!(peer.hub.head().rev, 1);
    assert!(peer.connection.end().is_none());
}

#[test]
fn a_frame_without_an_id_gets_no_answer() {
    let mut peer = Peer::open();
    assert!(peer.say([create_project(0, P)]).is_empty());
    assert_eq!(peer.hub.head().rev, 1);
    assert!(
        peer.say([
            create_project(0, P),
            frame(0, Body::Mutate(pb::Mutate::default()))
        ])
        .is_empty()
    );
}

#[test]
fn mutations_in_flight_are_bounded_and_the_rest_waits_unread() {
    let mut peer = Peer::with(
        SocketSettings {
            max_in_flight: 10,
            ..SocketSettings::default()
        },
        RingLimits::default(),
    );
    peer.say_hello();
    peer.say([create_project(2, P)]);
    peer.hold = true;
    peer.say((0..25).map(|number| create_story(3, P, number)));
    assert_eq!(peer.held.len(), 10);
    assert!(!peer.connection.wants_input());
    let said = peer.release();
    assert_eq!(said.len(), 25);
    assert!(peer.connection.wants_input());
}

#[test]
fn a_message_of_tiny_frames_does_not_grow() {
    let mut peer = Peer::open();
    // 100,000 empty frames with an id: each wants to be told that it is unknown.
    let bytes = [0x0a, 0x02, 0x08, 0x05].repeat(100_000);
    peer.connection
        .receive(bytes.into(), peer.now, support::peer::WALL_US);
    let mut told = 0;
    while let Some(message) = peer
        .connection
        .next_message(peer.now, support::peer::WALL_US)
    {
        assert!(message.len() < 17 << 10);
        told += pb::ServerPacket::decode(message).unwrap().frames.len();
    }
    assert_eq!(told, 100_000);
}

#[test]
fn what_is_due_leaves_in_few_messages() {
    let mut peer = Peer::open();
    peer.say([create_project(2, P)]);
    peer.say((0..200).map(|number| create_story(0, P, number)));
    peer.connection.receive(
        pb::ClientPacket {
            frames: vec![subscribe(3, None, Some((id(250), 0)))],
        }
        .encode_to_vec()
        .into(),
        peer.now,
        support::peer::WALL_US,
    );
    let messages = peer.messages();
    assert!(
        messages.len() <= 3,
        "{} messages for 201 events",
        messages.len()
    );
    assert!(messages.iter().all(|message| message.len() <= 17 << 10));
}

#[test]
fn who_falls_too_far_behind_starts_anew() {
    let settings = SocketSettings {
        max_lag: 10,
        ..SocketSettings::default()
    };
    let mut peer = Peer::with(
        settings,
        RingLimits {
            events: 4,
            bytes: 1 << 20,
        },
    );
    peer.say_hello();
    peer.say([create_project(2, P), subscribe(3, None, None)]);
    // Nobody takes a message while twenty events come.
    let stories = (0..20).map(|number| {
        mutation(
            id(100 + number),
            1,
            Operation::RenameProject {
                id: id(P),
                name: format!("{number}"),
                expected: None,
            },
        )
    });
    peer.meanwhile(&stories.collect::<Vec<_>>());
    let said = peer.hear();
    closed(&peer, &said, CloseCode::Slow);
}

#[tokio::test]
async fn the_model_of_a_peer_writes_to_the_log_it_reads() {
    let mut peer = Peer::open();
    peer.say([create_project(2, P)]);
    assert_eq!(
        peer.log
            .snapshot(Scope::Tenant)
            .await
            .unwrap()
            .projects
            .len(),
        1
    );
}
