//! What became of a plugin, and why one is not registered.

use crate::future::interned::Circle;
use crate::machine::time::Instant;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// What became of one plugin in one run.
#[derive(Debug)]
pub struct PluginResult<T, E> {
    /// The plugin.
    pub plugin: Rc<str>,
    /// How it ended.
    pub end: PluginEnd<T, E>,
    /// When it began; `None` if it never did.
    pub start: Option<Instant>,
    /// How long it ran; `None` if it never did.
    pub duration: Option<Duration>,
}

/// How a plugin ended.
#[derive(PartialEq, Eq, Debug)]
pub enum PluginEnd<T, E> {
    /// It gave a value.
    Succeeded(Rc<T>),
    /// It gave an error.
    Failed(Rc<E>),
    /// It panicked. Only on the host: in wasm a panic is a trap.
    Panicked(Rc<str>),
    /// It never ran, because of one that it needs.
    Skipped {
        /// The one at the root of it: it gave no value, or does not take part.
        because_of: Rc<str>,
    },
    /// It said that it is not available for this target.
    Unavailable,
    /// It was cancelled.
    Cancelled,
}

/// Why a plugin is not registered.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PluginsError {
    /// There is one of that name.
    Duplicate {
        /// The name.
        plugin: Rc<str>,
    },
    /// What it needs leads back to it.
    Cycle {
        /// The way round: each needs the next, the last the first.
        through: Vec<Rc<str>>,
    },
    /// There are 2^24 already.
    Full,
}

impl<T, E> PluginResult<T, E> {
    /// The value, if it gave one.
    pub fn value(&self) -> Option<&T> {
        match &self.end {
            PluginEnd::Succeeded(value) => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for PluginsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { plugin } => write!(f, "there is a plugin `{plugin}` already"),
            Self::Cycle { through } => {
                write!(f, "the plugins need each other in a circle: {}", Circle(through))
            }
            Self::Full => f.write_str("there are 2^24 plugins already"),
        }
    }
}

impl std::error::Error for PluginsError {}

// By hand: values and errors are shared and need not be clonable themselves.
impl<T, E> Clone for PluginResult<T, E> {
    fn clone(&self) -> Self {
        Self {
            plugin: Rc::clone(&self.plugin),
            end: self.end.clone(),
            start: self.start,
            duration: self.duration,
        }
    }
}

impl<T, E> Clone for PluginEnd<T, E> {
    fn clone(&self) -> Self {
        match self {
            Self::Succeeded(value) => Self::Succeeded(Rc::clone(value)),
            Self::Failed(error) => Self::Failed(Rc::clone(error)),
            Self::Panicked(words) => Self::Panicked(Rc::clone(words)),
            Self::Skipped { because_of } => Self::Skipped {
                because_of: Rc::clone(because_of),
            },
            Self::Unavailable => Self::Unavailable,
            Self::Cancelled => Self::Cancelled,
        }
    }
}
