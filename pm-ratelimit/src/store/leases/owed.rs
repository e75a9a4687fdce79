use futures_util::future::join_all;

use super::Shared;
use super::lease::Unspent;

/// Scripts that give back at the same time.
const AT_ONCE: usize = 64;

/// Tokens that are to be given back; they are lost if this goes before they are.
pub(super) struct Owed<'a> {
    shared: &'a Shared,
    unspent: Unspent,
    is_settled: bool,
}

impl<'a> Owed<'a> {
    pub(super) fn all(shared: &'a Shared, unspent: Vec<Unspent>) -> Vec<Self> {
        let owed = |unspent| Self {
            shared,
            unspent,
            is_settled: false,
        };
        unspent.into_iter().map(owed).collect()
    }

    /// Cancel-safe: what was not given back when it is dropped is lost.
    pub(super) async fn give_back(mut all: Vec<Self>) {
        for some in all.chunks_mut(AT_ONCE) {
            join_all(some.iter_mut().map(Self::settle)).await;
        }
    }

    async fn settle(&mut self) {
        let Unspent { charge, receipt } = &self.unspent;
        let tokens = charge.cost();
        match self.shared.store.give_back(charge, receipt).await {
            Ok(()) => {
                self.is_settled = true;
                self.shared.counters.returned(tokens);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, tokens, "what was not spent may stay taken");
            }
        }
    }
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            let Unspent { charge, .. } = &self.unspent;
            self.shared.table.lose(charge, charge.cost());
        }
    }
}
