//! Objects and connections that are used again instead of being made again.

use super::acquire_error::AcquireError;
use super::host::Host;
use super::ledger::Stage;
use super::runtime::Runtime;
use super::turn::{Room, Turn, patience};
use crate::machine::config::ConfigError;
use crate::machine::objects::{Acquire, CONNECTIONS, Grant, ObjectCounts, Objects};
use crate::machine::permits::Patience;
use crate::machine::ticket::Ticket;
use crate::machine::wakes::Refusal;
use crate::machine::world::World;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use store::{Making, Store, Thing};
use times::{Times, saved};

mod options;
mod pooled;
mod single;
mod store;
mod times;

pub use options::ObjectOptions;
pub use pooled::{About, Pooled};
pub use single::ObjectPool;
pub use times::{Durations, ObjectTimes};

/// Connections by key: each key has objects of its own, made by one function.
///
/// **Fairness.** Who waits for a key is served first come, first served, and nobody barges. Of several idle objects the
/// one returned last is used first, so that the others grow old and leave.
///
/// Clones are handles of the same pool. Idle objects are dropped with the last handle.
///
/// # Examples
///
/// ```
/// use tidegate::{ConnectionPool, Host, ObjectOptions, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let host = Host::new(runtime.clone());
/// let pool = ConnectionPool::new(&host, ObjectOptions::new(), |key: &String| {
///     let line = format!("connected to {key}");
///     async move { Ok::<_, std::io::Error>(line) }
/// })?;
/// runtime.block_on(async {
///     let first = pool.acquire("db".to_owned()).await?;
///     assert_eq!(*first, "connected to db");
///     drop(first);
///     pool.acquire("db".to_owned()).await?;
///     assert_eq!((pool.counts().created, pool.counts().hits), (1, 1));
///     Ok::<(), tidegate::ObjectError<std::io::Error>>(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ConnectionPool<R: Runtime, K, T, E>(Rc<Inner<R, K, T, E>>);

struct Inner<R: Runtime, K, T, E> {
    store: Rc<Store<R, T>>,
    create: Create<K, T, E>,
    keys: RefCell<HashMap<K, u32>>,
    next_key: Cell<u32>,
    sweep_above: Cell<usize>,
}

type Create<K, T, E> = Box<dyn Fn(&K) -> Pin<Box<dyn Future<Output = Result<T, E>>>>>;

impl<R, K, T, E> ConnectionPool<R, K, T, E>
where
    R: Runtime,
    K: Eq + Hash + Clone,
    T: 'static,
{
    /// A pool whose objects `create` makes.
    ///
    /// # Errors
    ///
    /// One sentence about the first option that cannot be honoured.
    pub fn new<Fut>(
        host: &Host<R>,
        options: ObjectOptions<T>,
        create: impl Fn(&K) -> Fut + 'static,
    ) -> Result<Self, ConfigError>
    where
        Fut: Future<Output = Result<T, E>> + 'static,
    {
        Self::with_usual_max(
            host,
            options,
            CONNECTIONS,
            Box::new(move |key| Box::pin(create(key))),
        )
    }

    /// Gives it the name by which metrics know it.
    pub fn named(self, name: impl Into<Rc<str>>) -> Self {
        self.0.store.room.name(name.into());
        self
    }

    fn with_usual_max(
        host: &Host<R>,
        options: ObjectOptions<T>,
        usual: u32,
        create: Create<K, T, E>,
    ) -> Result<Self, ConfigError> {
        let config = options.config(usual)?;
        let room = Room::open(
            host,
            "object pools",
            |world| world.open_objects(config),
            World::drop_objects,
        )?;
        let store = Rc::new(Store {
            room,
            idle: RefCell::default(),
            options,
            times: Times::default(),
        });
        let swept = Rc::downgrade(&store);
        host.sweep_with(store.room.id, move || {
            if let Some(store) = swept.upgrade() {
                store.sweep();
            }
        });
        let counted = Rc::downgrade(&store);
        host.count_with(store.room.id, move || {
            Some(("objects", saved(counted.upgrade()?.bytes_saved())))
        });
        Ok(Self(Rc::new(Inner {
            store,
            create,
            keys: RefCell::default(),
            next_key: Cell::new(0),
            sweep_above: Cell::new(1024),
        })))
    }

    /// Gives an object of this key: one used before if there is one, a new one if there is room for it, and else the first that
    /// comes back.
    ///
    /// # Errors
    ///
    /// [`ObjectError::Create`] with the error of the function that makes them, [`AcquireError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives back at once whatever it has: its place in line, an object it was handed, or the room for one it
    /// was making.
    pub async fn acquire(&self, key: K) -> Result<Pooled<R, T>, ObjectError<E>> {
        self.acquire_for(key, Patience::Forever).await
    }

    /// As [`acquire`](Self::acquire), waiting at most for `timeout`; the making of one is not counted.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and [`AcquireError::QueueTimeout`].
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_within(&self, key: K, timeout: Duration) -> Result<Pooled<R, T>, ObjectError<E>> {
        self.acquire_for(key, patience(Some(timeout))).await
    }

    /// Gives an object to `task` and takes it back when the task has ended.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire); the object goes back when the task is dropped.
    pub async fn with<O>(&self, key: K, task: impl AsyncFnOnce(&mut T) -> O) -> Result<O, ObjectError<E>> {
        let mut object = self.acquire(key).await?;
        Ok(task(&mut object).await)
    }

    /// Turns away all who wait, destroys what is idle now and the rest as it comes back.
    pub fn close(&self) {
        self.0.store.call(|objects, now, wakes| objects.close(now, wakes));
    }

    /// Destroys all that is idle: what to do when memory is short.
    pub fn drop_idle(&self) {
        self.0.store.call(|objects, _, _| objects.drop_idle());
    }

    /// What happened so far.
    pub fn counts(&self) -> ObjectCounts {
        self.0.store.look(|objects| objects.counts)
    }

    /// How long it took to get objects, and to make them fit again.
    pub fn times(&self) -> ObjectTimes {
        self.0.store.times.so_far()
    }

    /// Bytes that were saved because objects were used again: [`bytes`](ObjectOptions::bytes) for each hit.
    pub fn bytes_saved(&self) -> u64 {
        self.0.store.bytes_saved()
    }

    /// How many objects there are, those being made included.
    pub fn len(&self) -> usize {
        self.0.store.look(Objects::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of them nobody uses.
    pub fn idle(&self) -> usize {
        self.0.store.look(Objects::idle)
    }

    /// How many wait for one.
    pub fn waiting(&self) -> usize {
        self.0.store.look(Objects::waiting)
    }

    async fn acquire_for(&self, key: K, patience: Patience) -> Result<Pooled<R, T>, ObjectError<E>> {
        let runtime = self.0.store.room.host.runtime();
        let asked = runtime.now();
        let object = self.given(key, patience).await?;
        self.0.store.times.acquired(asked, runtime.now());
        Ok(object)
    }

    async fn given(&self, key: K, patience: Patience) -> Result<Pooled<R, T>, ObjectError<E>> {
        let number = self.number(&key);
        let store = &self.0.store;
        let id = store.room.id;
        let answer = store.room.host.call_quietly(|world, now| {
            world.at_objects(id, |objects, wakes| objects.acquire(now, number, patience, wakes))
        });
        let mut grant = match answer {
            Some(Acquire::Now(grant)) => {
                store.room.host.drain();
                store.sweep();
                grant
            }
            Some(Acquire::Waiting(ticket)) => {
                let turn = Turn::take(&store.room, ticket, Stage::Queued, |world, now, id, ticket| {
                    world.at_objects(id, |objects, wakes| objects.cancel(now, ticket, wakes));
                });
                turn.come().await.map_err(|refusal| self.refused(refusal))?;
                let claimed = store.call(|objects, _, _| objects.claim(ticket).ok()).flatten();
                turn.is_over();
                claimed.ok_or_else(|| self.refused(Refusal::Closed))?
            }
            Some(Acquire::Refused(refusal)) => {
                store.room.host.drain();
                return Err(self.refused(refusal));
            }
            None => return Err(self.refused(Refusal::Closed)),
        };
        loop {
            grant = match grant {
                Grant::Create(place) => return self.make(&key, place).await,
                Grant::Reuse(object) => match store.take_up(object) {
                    Ok(pooled) => return Ok(pooled),
                    Err(Some(grant)) => grant,
                    Err(None) => return Err(self.refused(Refusal::Closed)),
                },
            };
        }
    }

    async fn make(&self, key: &K, place: Ticket) -> Result<Pooled<R, T>, ObjectError<E>> {
        let store = &self.0.store;
        let making = Making {
            store,
            place: Some(place),
        };
        let value = (self.0.create)(key).await.map_err(ObjectError::Create)?;
        making.has_succeeded();
        let now = store.room.host.runtime().now();
        let about = About {
            id: store.room.host.number(),
            created_at: now,
            used_at: now,
            uses: 1,
        };
        let pooled = Pooled {
            store: Rc::clone(store),
            ticket: place,
            thing: Some(Thing { value, about }),
            reusable: true,
        };
        match store.call(|objects, now, _| objects.made(now, place)) {
            Some(Ok(())) => Ok(pooled),
            _ => Err(self.refused(Refusal::Closed)),
        }
    }

    fn refused(&self, refusal: Refusal) -> ObjectError<E> {
        ObjectError::Refused(self.0.store.room.error(refusal))
    }

    fn number(&self, key: &K) -> u32 {
        let mut keys = self.0.keys.borrow_mut();
        if let Some(number) = keys.get(key) {
            return *number;
        }
        if keys.len() > self.0.sweep_above.get() {
            self.0
                .store
                .look_or((), |objects| keys.retain(|_, number| !objects.is_unused(*number)));
            self.0.sweep_above.set((keys.len() * 2).max(1024));
        }
        let number = self.0.next_key.get();
        self.0.next_key.set(number.wrapping_add(1));
        keys.insert(key.clone(), number);
        number
    }
}

/// Why there is no object.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ObjectError<E> {
    /// None could be had.
    Refused(AcquireError),
    /// One could be made, but the making failed.
    Create(E),
}

impl<E: fmt::Display> fmt::Display for ObjectError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "no object: {error}"),
            Self::Create(error) => write!(f, "could not make an object: {error}"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for ObjectError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Create(error) => Some(error),
        }
    }
}

impl<R: Runtime, K, T, E> Clone for ConnectionPool<R, K, T, E> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime, K, T, E> fmt::Debug for ConnectionPool<R, K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionPool")
            .field("counts", &self.0.store.look(|objects| objects.counts))
            .finish()
    }
}

#[cfg(test)]
mod tests;
