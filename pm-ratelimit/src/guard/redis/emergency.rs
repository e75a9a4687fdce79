use std::sync::Arc;

use async_trait::async_trait;
use pm_core::redis::{Error as RedisError, Reply};

use super::{RedisStore, failed, fields, text};
use crate::Error;
use crate::emergency::{EmergencyStore, Word};

#[async_trait]
impl EmergencyStore for RedisStore {
    async fn exchange(self: Arc<Self>, known: Option<Word>) -> Result<Option<Word>, Error> {
        let mut call = self.exchange.on([self.key("emergency")]);
        if let Some(word) = &known {
            call = call
                .arg(word.said_micros)
                .arg(word.until_micros)
                .arg(word.profile.as_deref().unwrap_or_default())
                .arg(&*word.by)
                .arg(&*word.because);
        }
        let stands = async { self.redis.run(&call).await?.list() };
        let stands = stands.await.map_err(failed)?;
        if stands.is_empty() {
            return Ok(None);
        }
        word(Reply::List(stands)).map(Some).map_err(failed)
    }
}

fn word(reply: Reply) -> Result<Word, RedisError> {
    let [said, until, profile, by, because] = fields(reply)?;
    let micros = |reply| text(reply)?.parse().map_err(|_| RedisError::Unexpected);
    let profile = text(profile)?;
    Ok(Word {
        profile: (!profile.is_empty()).then(|| profile.into()),
        said_micros: micros(said)?,
        until_micros: micros(until)?,
        by: text(by)?.into(),
        because: text(because)?.into(),
    })
}
