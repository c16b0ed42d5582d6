//! How objects are made, kept and thrown away.

use crate::machine::config::ConfigError;
use crate::machine::objects::ObjectsConfig;
use std::fmt;
use std::time::Duration;

/// How objects are made, kept and thrown away.
pub struct ObjectOptions<T> {
    max: Option<u32>,
    max_total: Option<u32>,
    max_age: Option<Duration>,
    idle: Option<Duration>,
    pub(super) bytes: u64,
    pub(super) reset: Box<dyn Fn(&mut T) -> bool>,
    pub(super) validate: Box<dyn Fn(&mut T) -> bool>,
    pub(super) destroy: Box<dyn Fn(T)>,
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
            bytes: 0,
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

    /// How many bytes it saves to use one again, for the count of what is saved; 0 unless set.
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
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

    pub(super) fn config(&self, usual: u32) -> Result<ObjectsConfig, ConfigError> {
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

impl<T: 'static> Default for ObjectOptions<T> {
    fn default() -> Self {
        Self::new()
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
