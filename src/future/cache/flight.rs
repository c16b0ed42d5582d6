//! A load under way, as the one who loads and as those who wait for it see it.

use super::{EntryOptions, LoadError, Shared};
use crate::future::ledger::Stage;
use crate::future::runtime::Runtime;
use crate::future::seated::Seated;
use crate::machine::cache::{Store, Stored};
use crate::machine::ticket::Ticket;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::rc::Rc;

/// Where the one who loads leaves the result for those who wait.
pub(super) type Landing<V> = Rc<RefCell<Option<Result<V, LoadError>>>>;

/// The right and duty to load. Dropped before its end, it passes to the next one who waits.
pub(super) struct Flight<R: Runtime, K: Hash + Eq + Clone, V: Clone> {
    shared: Rc<Shared<R, K, V>>,
    ticket: Ticket,
    id: u32,
    landing: Landing<V>,
    over: bool,
}

impl<R: Runtime, K: Hash + Eq + Clone, V: Clone> Flight<R, K, V> {
    pub(super) fn new(shared: &Rc<Shared<R, K, V>>, ticket: Ticket, id: u32, landing: Landing<V>) -> Self {
        Self {
            shared: Rc::clone(shared),
            ticket,
            id,
            landing,
            over: false,
        }
    }

    /// Loads, keeps and hands out.
    pub(super) async fn run<F, Fut, E>(
        mut self,
        key: K,
        options: EntryOptions<K>,
        loader: F,
    ) -> Result<V, LoadError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
        E: Into<Box<dyn Error>>,
    {
        let result = loader().await.map_err(LoadError::new);
        self.land(&key, &options, &result);
        result
    }

    fn land(&mut self, key: &K, options: &EntryOptions<K>, result: &Result<V, LoadError>) {
        self.over = true;
        let shared = &self.shared;
        let kept = match result {
            Ok(value) => {
                let weight = shared.weight(key, value);
                let depends_on = shared.intern_all(&options.depends_on);
                let store = Store {
                    weight,
                    ttl: options.ttl,
                    depends_on: &depends_on,
                };
                let stored =
                    shared.call_quietly(|cache, now, wakes| cache.loaded(now, self.ticket, store, wakes));
                matches!(stored, Some(Ok(Stored::Kept)))
            }
            Err(_) => {
                let kept = shared.call_quietly(|cache, now, wakes| cache.failed(now, self.ticket, wakes));
                kept == Some(Ok(true))
            }
        };
        let before = {
            let shelf = &mut *shared.shelf.borrow_mut();
            shelf.end(self.id, &self.landing);
            kept.then(|| shelf.put(self.id, result.clone())).flatten()
        };
        drop(before);
        self.landing.replace(Some(result.clone()));
        shared.settle();
    }
}

impl<R: Runtime, K: Hash + Eq + Clone, V: Clone> Drop for Flight<R, K, V> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let ticket = self.ticket;
        let _late = self
            .shared
            .call_quietly(|cache, now, wakes| cache.abandon(now, ticket, wakes));
        // The place of the result is kept for whoever loads next; with the last of those who wait it goes by itself.
        if Rc::strong_count(&self.landing) == 2 {
            self.shared.shelf.borrow_mut().end(self.id, &self.landing);
        }
        self.shared.settle();
    }
}

/// One who waits for somebody else's load.
pub(super) struct Waiting<R: Runtime, K: Hash + Eq + Clone, V: Clone> {
    shared: Rc<Shared<R, K, V>>,
    seated: Seated<R>,
    landing: Landing<V>,
    over: Cell<bool>,
}

impl<R: Runtime, K: Hash + Eq + Clone, V: Clone> Waiting<R, K, V> {
    pub(super) fn new(shared: &Rc<Shared<R, K, V>>, seated: Seated<R>, landing: Landing<V>) -> Self {
        Self {
            shared: Rc::clone(shared),
            seated,
            landing,
            over: Cell::new(false),
        }
    }

    /// Waits for the result; the error is the ticket of the load that has passed to this one.
    pub(super) async fn end(&self) -> Result<Result<V, LoadError>, Ticket> {
        let outcome = poll_fn(|context| {
            self.seated.poll_stage(context, |stage| match stage {
                Stage::Ready | Stage::Failed => Some(Ok(self.result())),
                Stage::Holding => Some(Err(self.seated.ticket)),
                Stage::Refused(_) | Stage::Expired | Stage::Revoked => Some(Ok(Err(LoadError::lost()))),
                Stage::Outside | Stage::Queued => None,
            })
        })
        .await;
        self.over.set(true);
        outcome
    }

    /// Gives the place where others wait for the result that is now this one's to bring.
    pub(super) fn take_over(&self) -> Landing<V> {
        Rc::clone(&self.landing)
    }

    fn result(&self) -> Result<V, LoadError> {
        let landed = self.landing.borrow().clone();
        landed.unwrap_or_else(|| Err(LoadError::lost()))
    }
}

impl<R: Runtime, K: Hash + Eq + Clone, V: Clone> Drop for Waiting<R, K, V> {
    fn drop(&mut self) {
        if self.over.get() {
            return;
        }
        let ticket = self.seated.ticket;
        let _late = self
            .shared
            .call(|cache, now, wakes| cache.abandon(now, ticket, wakes));
    }
}
