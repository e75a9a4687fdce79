//! Tenants see nothing of each other, and nobody gets in with a token that is not good for it.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use fastrand::Rng;
use pm_core::Clock;
use pm_server::{
    auth::{Claims, Keys, Role, Token},
    client::{Connection, Error, Incoming, Replica},
    domain::{Fields, Id, Kind, Operation, Patch, Place},
    store::Scope,
};
use support::{
    edits::mutation,
    schema,
    server::{self, Server},
};
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};

const TENANTS: usize = 20;
const OPERATIONS: usize = 10_000;
/// The same in every tenant, so that a mix-up would find something to change.
const IDS: u128 = 40;

fn name(tenant: usize) -> String {
    format!("tenant-{tenant}")
}

fn id(number: u128) -> Id {
    Id::from_bytes((0xd00d << 64 | number).to_be_bytes())
}

/// Everything that a tenant writes bears its name.
fn operation(rng: &mut Rng, tenant: &str) -> Operation {
    let title = format!("{tenant} {}", rng.u8(..));
    let item = id(1 + rng.u128(..IDS));
    match rng.u8(..10) {
        0..=4 => Operation::CreateItem {
            id: item,
            project: id(0),
            parent: None,
            kind: Kind::Story,
            fields: Fields {
                title,
                ..Fields::default()
            },
            place: Place::Last,
        },
        5..=7 => {
            let patch = Patch {
                title: Some(title),
                ..Patch::default()
            };
            Operation::UpdateItem {
                id: item,
                patch,
                expected: None,
            }
        }
        8 => Operation::RenameProject {
            id: id(0),
            name: title,
            expected: None,
        },
        _ => {
            let place = Place::After(id(1 + rng.u128(..IDS)));
            Operation::MoveItem {
                id: item,
                parent: None,
                place,
                expected: None,
            }
        }
    }
}

/// A tenant with one client that writes and follows.
struct Client {
    tenant: String,
    connection: Connection,
    replica: Replica,
    number: u128,
    waiting: usize,
}

impl Client {
    async fn open(server: &Server, tenant: String) -> Self {
        let options = server.options_for(&tenant, server.token(&tenant));
        let mut connection = server::connect(&options).await;
        let create = Operation::CreateProject {
            id: id(0),
            name: tenant.clone(),
        };
        connection
            .mutate(schema::mutate(&mutation(id(1 << 40), 0, create)))
            .unwrap();
        connection
            .subscribe(Scope::Tenant, connection.head())
            .unwrap();
        let epoch = connection.head().unwrap().epoch;
        let replica = Replica::at_start(Scope::Tenant, epoch);
        Self {
            tenant,
            connection,
            replica,
            number: 1 << 50,
            waiting: 2,
        }
    }

    async fn write(&mut self, rng: &mut Rng) {
        let operation = operation(rng, &self.tenant);
        self.number += 1;
        // The same mutation ids in every tenant, too.
        let mutation = mutation(id(self.number), 0, operation);
        self.connection.mutate(schema::mutate(&mutation)).unwrap();
        self.waiting += 1;
        if self.waiting > 32 {
            self.settle().await;
        }
    }

    /// Takes everything in until every answer has come.
    async fn settle(&mut self) {
        while self.waiting > 0 {
            match self.connection.next().await.unwrap() {
                Incoming::Answered { .. } => self.waiting -= 1,
                Incoming::Event(event) => {
                    assert_eq!(
                        self.replica.apply(&event),
                        pm_server::client::Finding::Applied
                    );
                }
                _ => {}
            }
        }
    }

    fn is_clean(&self) -> bool {
        let backlog = self.replica.backlog();
        let own =
            |text: &str| text == self.tenant || text.starts_with(&format!("{} ", self.tenant));
        backlog.items().count() > 5
            && backlog.items().all(|item| own(&item.fields.title))
            && backlog.projects().all(|project| own(&project.name))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_operations_over_twenty_tenants_leak_nothing() {
    let names: Vec<_> = (0..TENANTS).map(name).collect();
    let server = Server::start_with_tenants(&names.join(",")).await;
    let mut rng = Rng::with_seed(fastrand::u64(..));
    println!("seed {}", rng.get_seed());
    let mut clients = Vec::new();
    for name in names {
        clients.push(Client::open(&server, name).await);
    }
    for _ in 0..OPERATIONS {
        let at = rng.usize(..TENANTS);
        clients[at].write(&mut rng).await;
    }
    for client in &mut clients {
        client.settle().await;
        assert!(
            client.is_clean(),
            "{} sees what is not its own",
            client.tenant
        );
        // What is stored is what was seen.
        let options = server.options_for(&client.tenant, server.token(&client.tenant));
        let mut second = server::connect(&options).await;
        second.subscribe(Scope::Tenant, None).unwrap();
        let mut fresh = Replica::new(Scope::Tenant);
        while fresh.position().is_none() {
            if let Incoming::Snapshot(part) = second.next().await.unwrap() {
                fresh.load(part);
            }
        }
        assert!(fresh.backlog() == client.replica.backlog());
    }
}

/// Tokens that are not good for tenant `a`, each with what is wrong with it.
fn bad_tokens(server: &Server) -> Vec<(&'static str, String)> {
    let keys = Keys::load(server.folder.path()).unwrap();
    let other_keys = Keys::generate().unwrap();
    let now = Clock::system().wall_micros();
    let hour = Duration::from_secs(3600);
    let sign = |keys: &Keys, tenant: &str, at: i64| {
        keys.sign(&Claims::new("eve", tenant, Role::Admin, at, hour))
            .unwrap()
    };
    let good = sign(&keys, "a", now).expose().to_owned();
    let (head, rest) = good.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    // {"alg":"none"} and {"alg":"HS256"}, with the rest of a good token.
    let none = format!("eyJhbGciOiJub25lIn0.{body}.");
    let symmetric = format!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{body}.{signature}");
    let half = body.len() / 2;
    let forged = format!("{head}.{}A{}.{signature}", &body[..half], &body[half + 1..]);
    vec![
        ("nothing", String::new()),
        ("no token at all", "hello".to_owned()),
        (
            "another server's",
            sign(&other_keys, "a", now).expose().to_owned(),
        ),
        (
            "expired",
            sign(&keys, "a", now - 7_200_000_000).expose().to_owned(),
        ),
        ("without an algorithm", none),
        ("of the wrong algorithm", symmetric),
        ("with another body", forged),
        ("cut off", good[..good.len() - 5].to_owned()),
    ]
}

#[tokio::test]
async fn a_bad_token_is_refused_at_hello() {
    let server = Server::start_with_tenants("a,b").await;
    let clock = Clock::system();
    for (what, token) in bad_tokens(&server) {
        let options = server.options_for("a", Token::new(&token));
        let error = Connection::open(&options, &clock).await.err();
        assert!(
            matches!(error, Some(Error::BadToken { .. })),
            "{what}: {error:?}"
        );
    }
    let options = server.options_for("a", server.token("b"));
    let error = Connection::open(&options, &clock).await.err();
    assert!(
        matches!(error, Some(Error::Forbidden { .. })),
        "another tenant's: {error:?}"
    );
    let options = server.options_for("c", server.token("c"));
    let error = Connection::open(&options, &clock).await.err();
    assert!(
        matches!(error, Some(Error::UnknownTenant { .. })),
        "an unknown one's: {error:?}"
    );
    assert!(
        Connection::open(&server.options_for("a", server.token("a")), &clock)
            .await
            .is_ok()
    );
}

/// The status that an upgrade with this token is answered with.
async fn upgrade(server: &Server, token: &str, query: &str) -> u16 {
    let mut request = format!("{}{query}", server.url())
        .into_client_request()
        .unwrap();
    let headers = request.headers_mut();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    headers.insert("sec-websocket-protocol", "pm.v1.proto".parse().unwrap());
    match tokio_tungstenite::connect_async(request).await {
        Ok((_, response)) => response.status().as_u16(),
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_bad_token_is_refused_at_upgrade() {
    let server = Server::start_with_tenants("a,b").await;
    for (what, token) in bad_tokens(&server) {
        assert_eq!(upgrade(&server, &token, "").await, 401, "{what}");
    }
    let (a, b) = (server.token("a"), server.token("b"));
    assert_eq!(upgrade(&server, b.expose(), "?tenant=a").await, 403);
    assert_eq!(upgrade(&server, a.expose(), "?tenant=a").await, 101);
}

#[tokio::test]
async fn an_operators_token_opens_no_tenant() {
    let server = Server::start_with_tenants("a").await;
    let keys = Keys::load(server.folder.path()).unwrap();
    let clock = Clock::system();
    let claims = Claims::operator("grace", clock.wall_micros(), Duration::from_secs(60));
    let token = keys.sign(&claims).unwrap();
    for tenant in ["a", ""] {
        let options = server.options_for(tenant, token.clone());
        let Err(Error::Forbidden { reason }) = Connection::open(&options, &clock).await else {
            panic!("{tenant:?} is open");
        };
        assert!(reason.contains("opens no tenant"), "{reason}");
    }
    for query in ["", "?tenant=a"] {
        assert_eq!(upgrade(&server, token.expose(), query).await, 403);
    }
}
