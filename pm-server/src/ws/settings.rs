use std::time::Duration;

/// What a connection may do, and how long it may take.
#[derive(Clone, Debug)]
pub struct SocketSettings {
    /// How long a connection may take to say hello. Default: 5 s.
    pub hello_within: Duration,
    /// How long verifying a hello and opening its tenant may take. Default: 15 s.
    pub open_within: Duration,
    /// After this much silence in both directions the server sends a ping. Default: 25 s.
    pub heartbeat: Duration,
    /// How long the client may take to send anything after a ping. Default: 10 s.
    pub pong_within: Duration,
    /// How long one write may take. Default: 8 s.
    pub write_within: Duration,
    /// Largest message, in bytes, both ways. Default: 256 KiB.
    pub max_message_bytes: usize,
    /// Most mutations that wait for their answer; further frames wait unread. Default: 256.
    pub max_in_flight: usize,
    /// Most scopes that one connection follows. Default: 64.
    pub max_subscriptions: usize,
    /// How far behind the head a subscription may resume, and a slow reader may fall. Default:
    /// 10,000 events.
    pub max_lag: u64,
    /// Events of one page read from the log. Default: 256.
    pub page: usize,
    /// What is due is sent in messages of about this size, in bytes. Default: 16 KiB.
    pub coalesce_bytes: usize,
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            hello_within: Duration::from_secs(5),
            open_within: Duration::from_secs(15),
            heartbeat: Duration::from_secs(25),
            pong_within: Duration::from_secs(10),
            write_within: Duration::from_secs(8),
            max_message_bytes: 256 << 10,
            max_in_flight: 256,
            max_subscriptions: 64,
            max_lag: 10_000,
            page: 256,
            coalesce_bytes: 16 << 10,
        }
    }
}
