//! Objects of one kind, without keys.

use super::{ConnectionPool, Create, ObjectError, ObjectOptions, ObjectTimes, Pooled};
use crate::future::host::Host;
use crate::future::runtime::Runtime;
use crate::machine::config::ConfigError;
use crate::machine::objects::ObjectCounts;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

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

    /// How long it took to get objects, and to make them fit again.
    pub fn times(&self) -> ObjectTimes {
        self.0.times()
    }

    /// As [`ConnectionPool::bytes_saved`].
    pub fn bytes_saved(&self) -> u64 {
        self.0.bytes_saved()
    }

    /// What happened so far.
    pub fn counts(&self) -> ObjectCounts {
        self.0.counts()
    }
}

impl<R: Runtime, T, E> Clone for ObjectPool<R, T, E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: Runtime, T, E> fmt::Debug for ObjectPool<R, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectPool").field(&self.0).finish()
    }
}
