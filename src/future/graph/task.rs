//! What is added to a graph: a task, what it depends on, and how it is to be run.

use super::{Results, Start};
use crate::machine::graph::OnFailure;
use std::fmt;
use std::future::Future;
use std::rc::Rc;

/// A task to add.
pub struct GraphTask<T, E> {
    pub(super) name: Rc<str>,
    pub(super) depends_on: Vec<Rc<str>>,
    pub(super) priority: i32,
    pub(super) weight: u32,
    pub(super) on_failure: Option<OnFailure>,
    pub(super) run: Start<T, E>,
}

impl<T: 'static, E: 'static> GraphTask<T, E> {
    /// A task that depends on nothing. `run` is called when it starts, with the values of what it depends on.
    pub fn new<F, Fut>(name: impl Into<Rc<str>>, run: F) -> Self
    where
        F: FnOnce(Results<T>) -> Fut + 'static,
        Fut: Future<Output = Result<T, E>> + 'static,
    {
        Self {
            name: name.into(),
            depends_on: Vec::new(),
            priority: 0,
            weight: 1,
            on_failure: None,
            run: Box::new(move |results| Box::pin(run(results))),
        }
    }

    /// Names what must end before it starts.
    pub fn depends_on<N: Into<Rc<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.depends_on.extend(names.into_iter().map(Into::into));
        self
    }

    /// −100 to 100, higher first among those that are ready; 0 unless set.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// How many slots it takes; 1 unless set.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// What it does when something it depends on did not succeed; as the graph is configured unless set.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = Some(on_failure);
        self
    }
}

impl<T, E> fmt::Debug for GraphTask<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphTask")
            .field("name", &self.name)
            .field("depends_on", &self.depends_on)
            .finish_non_exhaustive()
    }
}
