use std::sync::{Arc, PoisonError};

use async_trait::async_trait;

use super::MemoryStore;
use crate::Error;
use crate::emergency::{EmergencyStore, Word};

#[async_trait]
impl EmergencyStore for MemoryStore {
    async fn exchange(self: Arc<Self>, known: Option<Word>) -> Result<Option<Word>, Error> {
        let mut stands = self.word.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.filter(|known| known.replaces(stands.as_ref())) {
            *stands = Some(known);
        }
        Ok(stands.clone())
    }
}
