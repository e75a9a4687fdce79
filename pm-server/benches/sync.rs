//! scratch
use pm_server::{domain::*, store::*};
use std::{sync::Arc, time::Instant};
fn id(n: u128) -> Id {
    Id::from_bytes(n.to_be_bytes())
}
#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in("/work").unwrap();
    let log = SqliteLog::create(&folder.path().join("t.sqlite"), "t")
        .await
        .unwrap();
    let m = |n: u128, op| Mutation {
        id: id(n | 1 << 100),
        digest: [0; 16],
        actor: Arc::from("a"),
        at_us: 1,
        operation: op,
    };
    log.apply(&[m(
        1,
        Operation::CreateProject {
            id: id(1),
            name: "p".into(),
        },
    )])
    .await
    .unwrap();
    for group in [64usize, 16, 1] {
        let rounds = if group == 1 { 500 } else { 200 };
        let mut n = (group as u128) << 32;
        let start = Instant::now();
        for _ in 0..rounds {
            let g: Vec<_> = (0..group)
                .map(|_| {
                    n += 1;
                    m(
                        n,
                        Operation::CreateItem {
                            id: id(n),
                            project: id(1),
                            parent: None,
                            kind: Kind::Story,
                            fields: Fields {
                                title: format!("story {n}"),
                                description: "a few words about it".into(),
                                ..Default::default()
                            },
                            place: Place::Last,
                        },
                    )
                })
                .collect();
            log.apply(&g).await.unwrap();
        }
        let t = start.elapsed();
        println!(
            "group {group}: {:.0}/s, {:?} per group",
            (rounds * group) as f64 / t.as_secs_f64(),
            t / rounds as u32
        );
    }
}
