//! Objects and connections that are used again instead of being made again.

use super::acquire_error::AcquireError;
use super::host::Host;
use super::ledger::Stage;
use super::runtime::Runtime;
use super::turn::{Room, Turn, patience};
use crate::machine::config::ConfigError;
use crate::machine::objects::{Acquire, CONNECTIONS, Grant, ObjectCounts, Objects, ObjectsConfig, Returned};
use crate::machine::permits::Patience;
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::{Refusal, Wakes};
use crate::machine::world::World;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

/// How objects are made, kept and thrown away.
pub struct ObjectOptions<T> {
    max: Option<u32>,
    max_total: Option<u32>,
    max_age: Option<Duration>,
    idle: Option<Duration>,
    reset: Box<dyn Fn(&mut T) -> bool>,
    validate: Box<dyn Fn(&mut T) -> bool>,
    destroy: Box<dyn Fn(T)>,
}

impl<T: 'static> ObjectOptions<T> {
    /// As many objects as are wanted at once (connections: 10 of each key, enough to overlap and few enough that no server
    /// minds), for as long as they are good, with nothing to reset and nothing to check.
    pub fn new() -> Self {
        Self {
            max: None,
            max_total: None,
            max_age: None,
            idle: None,
            reset: Box::new(|_| true),
            validate: Box::new(|_| true),
            destroy: Box::new(drop),
        }
    }

    /// At most so many of each key, those being made included; who comes then waits.
    pub fn max(mut self, objects: u32) -> Self {
        self.max = Some(objects);
        self
    }

    /// At most so many of all keys together: to make room, the longest idle one of another key is destroyed.
    pub fn max_total(mut self, objects: u32) -> Self {
        self.max_total = Some(objects);
        self
    }

    /// Destroys an object so long after it was made, as soon as nobody uses it.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Destroys an object that nobody has used for so long.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Makes an object that comes back fit for the next; `false` if that cannot be, and it is destroyed.
    pub fn reset(mut self, reset: impl Fn(&mut T) -> bool + 'static) -> Self {
        self.reset = Box::new(reset);
        self
    }

    /// Looks at an object before it is reused; `false` if it is no longer good, and another takes its place.
    pub fn validate(mut self, validate: impl Fn(&mut T) -> bool + 'static) -> Self {
        self.validate = Box::new(validate);
        self
    }

    /// Ends an object; without this it is dropped.
    pub fn destroy(mut self, destroy: impl Fn(T) + 'static) -> Self {
        self.destroy = Box::new(destroy);
        self
    }

    fn config(&self, usual: u32) -> Result<ObjectsConfig, ConfigError> {
        let mut config = ObjectsConfig::new(self.max.unwrap_or(usual))?;
        if let Some(max) = self.max_total {
            config = config.with_max_total(max)?;
        }
        if let Some(age) = self.max_age {
            config = config.with_max_age(age);
        }
        if let Some(idle) = self.idle {
            config = config.with_idle(idle);
        }
        Ok(config)
    }
}

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

/// The objects themselves; the machine knows them by their tickets.
struct Store<R: Runtime, T> {
    room: Rc<Room<R>>,
    idle: RefCell<BTreeMap<Ticket, Thing<T>>>,
    options: ObjectOptions<T>,
}

struct Thing<T> {
    value: T,
    about: About,
}

/// What is known about an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct About {
    /// A number that no other object of this host has.
    pub id: u64,
    /// When it was made.
    pub created_at: Instant,
    /// When it was given out, this time included.
    pub used_at: Instant,
    /// How often it was given out, this time included.
    pub uses: u64,
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
        });
        let swept = Rc::downgrade(&store);
        host.sweep_with(store.room.id, move || {
            if let Some(store) = swept.upgrade() {
                store.sweep();
            }
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

impl<R: Runtime, T> Store<R, T> {
    /// Calls the machine, carries out what it decided, and destroys what it gave up.
    fn call<O>(&self, event: impl FnOnce(&mut Objects, Instant, &mut Wakes) -> O) -> Option<O> {
        let outcome = self
            .room
            .call(|world, now, id| world.at_objects(id, |objects, wakes| event(objects, now, wakes)));
        self.sweep();
        outcome
    }

    fn look<O: Default>(&self, glance: impl FnOnce(&Objects) -> O) -> O {
        self.look_or(O::default(), glance)
    }

    fn look_or<O>(&self, or: O, glance: impl FnOnce(&Objects) -> O) -> O {
        self.room
            .look(|world, id| world.objects(id).map(glance))
            .unwrap_or(or)
    }

    /// Destroys what the machine gave up.
    fn sweep(&self) {
        loop {
            let doomed = self.room.host.call_quietly(|world, _| {
                world
                    .at_objects(self.room.id, |objects, _| objects.pop_doomed())
                    .flatten()
            });
            let Some(doomed) = doomed else { return };
            let thing = self.idle.borrow_mut().remove(&doomed);
            if let Some(thing) = thing {
                (self.options.destroy)(thing.value);
            }
        }
    }

    /// Takes an object up again, or gets what takes its place if it is no longer valid.
    fn take_up(self: &Rc<Self>, object: Ticket) -> Result<Pooled<R, T>, Option<Grant>> {
        let thing = self.idle.borrow_mut().remove(&object);
        let Some(mut thing) = thing else {
            return Err(self.call(|objects, _, _| objects.replace(object).ok()).flatten());
        };
        if !(self.options.validate)(&mut thing.value) {
            let grant = self.call(|objects, _, _| objects.replace(object).ok()).flatten();
            (self.options.destroy)(thing.value);
            return Err(grant);
        }
        thing.about.used_at = self.room.host.runtime().now();
        thing.about.uses += 1;
        Ok(Pooled {
            store: Rc::clone(self),
            ticket: object,
            thing: Some(thing),
            reusable: true,
        })
    }
}

/// The room for an object that is being made.
struct Making<'a, R: Runtime, T> {
    store: &'a Store<R, T>,
    place: Option<Ticket>,
}

impl<R: Runtime, T> Making<'_, R, T> {
    fn has_succeeded(mut self) {
        self.place = None;
    }
}

impl<R: Runtime, T> Drop for Making<'_, R, T> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let _gone = self
                .store
                .call(|objects, now, wakes| objects.failed(now, place, wakes));
        }
    }
}

/// An object in use. It goes back when this is dropped.
#[must_use = "the object goes back when this is dropped"]
pub struct Pooled<R: Runtime, T> {
    store: Rc<Store<R, T>>,
    ticket: Ticket,
    // Only while it is being dropped there is none.
    thing: Option<Thing<T>>,
    reusable: bool,
}

impl<R: Runtime, T> Pooled<R, T> {
    /// What is known about it.
    pub fn about(&self) -> About {
        let nothing = About {
            id: 0,
            created_at: Instant::ZERO,
            used_at: Instant::ZERO,
            uses: 0,
        };
        self.thing.as_ref().map_or(nothing, |thing| thing.about)
    }

    /// Says that it must not be used again: it is destroyed when it comes back.
    pub fn mark_non_reusable(&mut self) {
        self.reusable = false;
    }

    /// Gives it back; the same as dropping it.
    pub fn release(self) {}
}

impl<R: Runtime, T> Deref for Pooled<R, T> {
    type Target = T;

    #[expect(
        clippy::expect_used,
        reason = "the object is taken out only in `drop`, and nothing follows that"
    )]
    fn deref(&self) -> &T {
        &self.thing.as_ref().expect("an object in use").value
    }
}

impl<R: Runtime, T> DerefMut for Pooled<R, T> {
    #[expect(
        clippy::expect_used,
        reason = "the object is taken out only in `drop`, and nothing follows that"
    )]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.thing.as_mut().expect("an object in use").value
    }
}

impl<R: Runtime, T> Drop for Pooled<R, T> {
    fn drop(&mut self) {
        let Some(mut thing) = self.thing.take() else {
            return;
        };
        let (store, ticket) = (&self.store, self.ticket);
        let reusable = self.reusable && (store.options.reset)(&mut thing.value);
        // It lies ready before anybody can be told that it does.
        store.idle.borrow_mut().insert(ticket, thing);
        let returned = store.call(|objects, now, wakes| objects.give_back(now, ticket, reusable, wakes));
        if returned != Some(Ok(Returned::Kept)) {
            let thing = store.idle.borrow_mut().remove(&ticket);
            if let Some(thing) = thing {
                (store.options.destroy)(thing.value);
            }
        }
    }
}

/// Objects of one kind: a [`ConnectionPool`] with a single key, and as many objects as are wanted at once unless
/// [`max`](ObjectOptions::max) says otherwise.
///
/// # Examples
///
/// ```
/// use tidegate::{Host, ObjectOptions, ObjectPool, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let options = ObjectOptions::new().reset(|buffer: &mut Vec<u8>| {
///     buffer.clear();
///     true
/// });
/// let buffers = ObjectPool::new(&Host::new(runtime.clone()), options, || async {
///     Ok::<_, std::convert::Infallible>(Vec::with_capacity(4096))
/// })?;
/// let written = runtime.block_on(buffers.with(async |buffer| {
///     buffer.extend_from_slice(b"reused");
///     buffer.len()
/// }));
/// assert_eq!(written, Ok(6));
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
pub struct ObjectPool<R: Runtime, T, E>(ConnectionPool<R, (), T, E>);

impl<R: Runtime, T: 'static, E> ObjectPool<R, T, E> {
    /// A pool whose objects `create` makes.
    ///
    /// # Errors
    ///
    /// One sentence about the first option that cannot be honoured.
    pub fn new<Fut>(
        host: &Host<R>,
        options: ObjectOptions<T>,
        create: impl Fn() -> Fut + 'static,
    ) -> Result<Self, ConfigError>
    where
        Fut: Future<Output = Result<T, E>> + 'static,
    {
        let create: Create<(), T, E> = Box::new(move |()| Box::pin(create()));
        ConnectionPool::with_usual_max(host, options, u32::MAX, create).map(Self)
    }

    /// Gives it the name by which metrics know it.
    pub fn named(self, name: impl Into<Rc<str>>) -> Self {
        Self(self.0.named(name))
    }

    /// As [`ConnectionPool::acquire`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn acquire(&self) -> Result<Pooled<R, T>, ObjectError<E>> {
        self.0.acquire(()).await
    }

    /// As [`ConnectionPool::acquire_within`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn acquire_within(&self, timeout: Duration) -> Result<Pooled<R, T>, ObjectError<E>> {
        self.0.acquire_within((), timeout).await
    }

    /// As [`ConnectionPool::with`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn with<O>(&self, task: impl AsyncFnOnce(&mut T) -> O) -> Result<O, ObjectError<E>> {
        self.0.with((), task).await
    }

    /// The same pool, with all that a pool by key has.
    pub fn as_connections(&self) -> &ConnectionPool<R, (), T, E> {
        &self.0
    }

    /// What happened so far.
    pub fn counts(&self) -> ObjectCounts {
        self.0.counts()
    }
}

impl<T: 'static> Default for ObjectOptions<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Runtime, K, T, E> Clone for ConnectionPool<R, K, T, E> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime, T, E> Clone for ObjectPool<R, T, E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for ObjectOptions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectOptions")
            .field("max", &self.max)
            .field("max_total", &self.max_total)
            .field("max_age", &self.max_age)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

impl<R: Runtime, K, T, E> fmt::Debug for ConnectionPool<R, K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionPool")
            .field("counts", &self.0.store.look(|objects| objects.counts))
            .finish()
    }
}

impl<R: Runtime, T, E> fmt::Debug for ObjectPool<R, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectPool").field(&self.0).finish()
    }
}

impl<R: Runtime, T: fmt::Debug> fmt::Debug for Pooled<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
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

#[cfg(test)]
mod tests;
