#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod body;
pub mod client_ip;
pub mod clock;
pub mod context;
pub mod degrade;
pub mod duration;
pub mod identity;
pub mod problem;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "reload")]
pub mod reload;
pub mod stale;

#[cfg(feature = "axum")]
mod axum;
mod bell;
mod sync;

pub use self::body::ResponseBody;
pub use self::client_ip::{Cidr, ClientIp, ClientIpLayer, PeerAddr, TrustedProxies};
pub use self::clock::{Clock, ManualTime, Tick};
pub use self::context::{Context, ContextLayer, RequestId, TraceParent};
pub use self::identity::{Identity, RoleOrder};
pub use self::problem::Problem;
pub use self::stale::StaleSource;
