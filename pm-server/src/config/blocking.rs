use std::{num::NonZeroU16, str::FromStr, time::Duration};

use clap::Args;
use pm_core::{Cidr, duration};
use pm_ratelimit::{AutoBlock, violations::Threshold};

use super::{ENV_AUTO_BLOCK, ENV_NEVER_BLOCK};

/// As many as are remembered of each address: with room for 16,384 addresses, they take 130 MB.
const MOST: u16 = 1000;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Who is kept out.
#[derive(Clone, Debug, Args)]
pub struct Blocking {
    /// How many refusals within which time block an address, or off; for 15 minutes, and twice as
    /// long each time, up to 7 days
    #[arg(long, env = ENV_AUTO_BLOCK, value_name = "COUNT/TIME", default_value = "50/10m")]
    auto_block: AutoBlocking,

    /// Address blocks that are never blocked, separated by commas, like 192.0.2.0/24; those of
    /// --trusted-proxies never are
    #[arg(long, env = ENV_NEVER_BLOCK, value_name = "CIDRS", value_delimiter = ',')]
    never_block: Vec<Cidr>,
}

impl Blocking {
    /// When addresses are blocked for their violations, if they are.
    #[must_use]
    pub fn automatic(&self) -> Option<AutoBlock> {
        let AutoBlocking(threshold) = self.auto_block;
        threshold.map(|threshold| AutoBlock::new().threshold(threshold))
    }

    /// Who is never blocked.
    #[must_use]
    pub fn never(&self) -> &[Cidr] {
        &self.never_block
    }
}

/// `50/10m`, or `off`.
#[derive(Clone, Copy, Debug)]
struct AutoBlocking(Option<Threshold>);

impl FromStr for AutoBlocking {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let (count, within) = text
            .split_once('/')
            .ok_or("write how many refusals within which time, like 50/10m, or off")?;
        let count = count.parse::<NonZeroU16>().ok();
        let count = count.filter(|count| count.get() <= MOST).ok_or_else(|| {
            format!("write a number of refusals from 1 to {MOST} and a time, like 50/10m")
        })?;
        let within = duration::parse(within).map_err(|error| error.to_string())?;
        if !(SHORTEST..=LONGEST).contains(&within) {
            return Err("write a time from 1s to 1d, like 50/10m".to_owned());
        }
        Ok(Self(Some(Threshold::more_than(count.get() - 1, within))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_within_a_time_or_off() {
        for (text, count, seconds) in [
            ("50/10m", 50, 600),
            ("1/1s", 1, 1),
            ("1000/1d", 1000, 86_400),
        ] {
            let AutoBlocking(Some(threshold)) = text.parse().unwrap() else {
                panic!("{text} is not off");
            };
            assert_eq!(threshold.count(), count);
            assert_eq!(threshold.within(), Duration::from_secs(seconds));
        }
        assert!(matches!("off".parse(), Ok(AutoBlocking(None))));
    }

    #[test]
    fn anything_else_is_answered_with_what_would_be_right() {
        for text in [
            "",
            "on",
            "50",
            "0/10m",
            "1001/10m",
            "70000/10m",
            "-1/10m",
            "50/",
            "50/10",
            "50/999ms",
            "50/2d",
            "many/10m",
        ] {
            let error = text.parse::<AutoBlocking>().unwrap_err();
            assert!(
                error.contains("10m") || error.contains("5m"),
                "{text}: {error}"
            );
        }
    }
}
