//! A plugin: what it does with a target, and when.

use crate::future::graph::Results;
use crate::machine::orchestrator::Mode;
use futures::future::LocalBoxFuture;
use std::fmt;
use std::future::Future;
use std::rc::Rc;

/// One thing to do with a target.
pub struct Plugin<A, T, E> {
    pub(super) name: Rc<str>,
    pub(super) mode: Mode,
    pub(super) priority: i32,
    pub(super) weight: u32,
    pub(super) needs: Vec<Rc<str>>,
    pub(super) available: Option<Available<A>>,
    pub(super) run: Start<A, T, E>,
}

type Available<A> = Box<dyn Fn(Rc<A>) -> LocalBoxFuture<'static, bool>>;
type Start<A, T, E> = Box<dyn Fn(Rc<A>, Results<T>) -> LocalBoxFuture<'static, Result<T, E>>>;

impl<A: 'static, T: 'static, E: 'static> Plugin<A, T, E> {
    /// A passive plugin that needs nothing. `run` is called for each target, with the values of those it needs.
    pub fn new<F, Fut>(name: impl Into<Rc<str>>, run: F) -> Self
    where
        F: Fn(Rc<A>, Results<T>) -> Fut + 'static,
        Fut: Future<Output = Result<T, E>> + 'static,
    {
        Self {
            name: name.into(),
            mode: Mode::Passive,
            priority: 0,
            weight: 1,
            needs: Vec::new(),
            available: None,
            run: Box::new(move |target, results| Box::pin(run(target, results))),
        }
    }

    /// Does more than any client would: only runs in active mode take it in.
    pub fn active(mut self) -> Self {
        self.mode = Mode::Active;
        self
    }

    /// Higher first among those that may start; 0 unless set.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// How many workers it takes; 1 unless set.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Names the plugins whose values it needs.
    pub fn needs<N: Into<Rc<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.needs.extend(names.into_iter().map(Into::into));
        self
    }

    /// Asks before each run whether there is anything for it to do; one that panics is not available.
    pub fn available<F, Fut>(mut self, ask: F) -> Self
    where
        F: Fn(Rc<A>) -> Fut + 'static,
        Fut: Future<Output = bool> + 'static,
    {
        self.available = Some(Box::new(move |target| Box::pin(ask(target))));
        self
    }
}

impl<A, T, E> fmt::Debug for Plugin<A, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("mode", &self.mode)
            .field("needs", &self.needs)
            .finish_non_exhaustive()
    }
}
