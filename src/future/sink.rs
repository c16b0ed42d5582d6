//! One place that many write to: one item after the other, in the order in which they came.

use super::host::Host;
use super::readings::Reading;
use super::runtime::{Parker, Runtime};
use super::task::words_of;
use super::turn::Room;
use crate::machine::config::ConfigError;
use futures::future::{FutureExt, LocalBoxFuture};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Writes items one after the other, in the order in which they were given, so that none is lost and no two interleave.
///
/// An item is taken in by the call of [`write`](Self::write), whether or not anybody awaits what it returns: whoever needs to know that it is
/// written awaits it, whoever does not drops it. A write that fails, or panics, is told to whoever asked for it and to
/// [`on_error`](Self::on_error); those after it go on. Nothing bounds how much may wait: to be held back, await each write.
///
/// Clones are handles of the same sink.
///
/// # Examples
///
/// ```
/// use std::{cell::RefCell, rc::Rc};
/// use tidegate::{Sink, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let lines = Rc::new(RefCell::new(Vec::new()));
/// let file = Rc::clone(&lines);
/// let sink = Sink::new(&runtime, move |line| {
///     file.borrow_mut().push(line);
///     async { Ok::<_, String>(()) }
/// });
/// sink.write("a");
/// sink.write("b");
/// runtime.block_on(sink.close());
/// assert_eq!(*lines.borrow(), ["a", "b"]);
/// ```
pub struct Sink<R: Runtime, T, E>(Rc<Shared<R, T, E>>);

/// Why an item is not written.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SinkError<E> {
    /// What the writer gave.
    Write(E),
    /// The writer panicked. On the host this is contained; wasm aborts instead.
    Panicked(String),
    /// The sink was closed before.
    Closed,
}

type Writer<T, E> = Box<dyn FnMut(T) -> LocalBoxFuture<'static, Result<(), E>>>;
type Line<T, P> = VecDeque<(T, P)>;
type Listener<E> = Rc<dyn Fn(&SinkError<E>)>;

struct Shared<R: Runtime, T, E> {
    runtime: R,
    writer: RefCell<Writer<T, E>>,
    line: RefCell<Line<T, Rc<Place<R, E>>>>,
    on_error: RefCell<Option<Listener<E>>>,
    closers: RefCell<Vec<R::Parker>>,
    room: RefCell<Option<Rc<Room<R>>>>,
    // Whether somebody writes what is in line: never two at once.
    writing: Cell<bool>,
    numbers: Rc<Numbers>,
}

#[derive(Debug, Default)]
struct Numbers {
    // The one being written included.
    waiting: Cell<usize>,
    written: Cell<u64>,
    failed: Cell<u64>,
    closed: Cell<bool>,
}

/// One item's place in line, as whoever gave it sees it.
struct Place<R: Runtime, E> {
    parker: R::Parker,
    outcome: RefCell<Option<Result<(), SinkError<E>>>>,
}

impl<R: Runtime, T: 'static, E: 'static> Sink<R, T, E> {
    /// A sink whose items `write` writes. It is called with one item at a time, again only when its future has ended.
    pub fn new<F, Fut>(runtime: &R, mut write: F) -> Self
    where
        F: FnMut(T) -> Fut + 'static,
        Fut: Future<Output = Result<(), E>> + 'static,
    {
        Self(Rc::new(Shared {
            runtime: runtime.clone(),
            writer: RefCell::new(Box::new(move |item| Box::pin(write(item)))),
            line: RefCell::default(),
            on_error: RefCell::new(None),
            closers: RefCell::default(),
            room: RefCell::new(None),
            writing: Cell::new(false),
            numbers: Rc::default(),
        }))
    }

    /// Has `host` know it by a name, so that what it counts is among the metrics.
    ///
    /// # Errors
    ///
    /// When the host knows more sinks than there are numbers for.
    pub fn known_as(self, host: &Host<R>, name: impl Into<Rc<str>>) -> Result<Self, ConfigError> {
        let numbers = Rc::clone(&self.0.numbers);
        let count = move || Some(("sink", numbers.readings()));
        let room = Room::counted(host, "sinks", name.into(), count)?;
        self.0.room.replace(Some(room));
        Ok(self)
    }

    /// Calls `listener` with every write that fails, in the place of any set before.
    pub fn on_error(&self, listener: impl Fn(&SinkError<E>) + 'static) {
        self.0.on_error.replace(Some(Rc::new(listener)));
    }

    /// Takes an item in, to be written when those before it are. What it returns ends when it is.
    pub fn write(&self, item: T) -> Written<R, E> {
        let shared = &self.0;
        let place = Rc::new(Place {
            parker: shared.runtime.park(),
            outcome: RefCell::new(None),
        });
        if shared.numbers.closed.get() {
            place.outcome.replace(Some(Err(SinkError::Closed)));
            return Written(place);
        }
        shared.line.borrow_mut().push_back((item, Rc::clone(&place)));
        let numbers = &shared.numbers;
        numbers.waiting.set(numbers.waiting.get() + 1);
        if !shared.writing.replace(true) {
            shared.runtime.spawn(write_all(Rc::clone(shared)));
        }
        Written(place)
    }

    /// Takes nothing more, and waits until everything that was given is written.
    ///
    /// # Cancel safety
    ///
    /// The closing begins with the first poll; dropping the future then only stops waiting for it.
    pub async fn close(&self) {
        self.0.numbers.closed.set(true);
        let parker = self.0.runtime.park();
        self.0.closers.borrow_mut().push(parker.clone());
        std::future::poll_fn(|context| {
            while self.waiting() > 0 {
                ready!(parker.poll_parked(context));
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Items that were given and are not written yet, the one being written included.
    pub fn waiting(&self) -> usize {
        self.0.numbers.waiting.get()
    }

    /// Items that were written.
    pub fn written(&self) -> u64 {
        self.0.numbers.written.get()
    }

    /// Items that could not be written.
    pub fn failed(&self) -> u64 {
        self.0.numbers.failed.get()
    }

    /// Whether it takes nothing more.
    pub fn is_closed(&self) -> bool {
        self.0.numbers.closed.get()
    }
}

/// Ends when an item is written, or could not be. Dropped, it changes nothing: the item is written all the same.
pub struct Written<R: Runtime, E>(Rc<Place<R, E>>);

impl<R: Runtime, E> Future for Written<R, E> {
    type Output = Result<(), SinkError<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let outcome = self.0.outcome.take();
            if let Some(outcome) = outcome {
                return Poll::Ready(outcome);
            }
            ready!(self.0.parker.poll_parked(context));
        }
    }
}

/// Writes what is in line until nothing is.
async fn write_all<R: Runtime, T: 'static, E: 'static>(shared: Rc<Shared<R, T, E>>) {
    loop {
        let next = shared.line.borrow_mut().pop_front();
        let Some((item, place)) = next else { break };
        // Called inside, so that a panic before its first await is caught as well.
        let write = async {
            let writing = (shared.writer.borrow_mut())(item);
            writing.await
        };
        let written = AssertUnwindSafe(write).catch_unwind().await;
        let outcome = match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(SinkError::Write(error)),
            Err(panic) => Err(SinkError::Panicked(words_of(panic))),
        };
        let numbers = &shared.numbers;
        numbers.waiting.set(numbers.waiting.get() - 1);
        let count = if outcome.is_ok() {
            &numbers.written
        } else {
            &numbers.failed
        };
        count.set(count.get() + 1);
        let listener = shared.on_error.borrow().clone();
        if let (Err(error), Some(listener)) = (&outcome, listener) {
            listener(error);
        }
        place.outcome.replace(Some(outcome));
        place.parker.unpark();
    }
    shared.writing.set(false);
    let closers = shared.closers.take();
    for closer in closers {
        closer.unpark();
    }
}

impl Numbers {
    fn readings(&self) -> Vec<Reading> {
        vec![
            Reading::now("waiting", self.waiting.get()),
            Reading::outcome("items", "written", self.written.get()),
            Reading::outcome("items", "failed", self.failed.get()),
            Reading::now("closed", usize::from(self.closed.get())),
        ]
    }
}

impl<R: Runtime, T, E> Clone for Sink<R, T, E> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime, T, E> fmt::Debug for Sink<R, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sink").field(&self.0.numbers).finish()
    }
}

impl<R: Runtime, E> fmt::Debug for Written<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_over = self.0.outcome.borrow().is_some();
        f.debug_tuple("Written").field(&is_over).finish()
    }
}

impl<E: fmt::Display> fmt::Display for SinkError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(error) => error.fmt(f),
            Self::Panicked(words) => write!(f, "the writer panicked: {words}"),
            Self::Closed => f.write_str("the sink is closed"),
        }
    }
}

impl<E: std::error::Error> std::error::Error for SinkError<E> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::metrics::Metrics;
    use crate::future::virtual_runtime::VirtualRuntime;
    use std::time::Duration;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    type Log = Rc<RefCell<Vec<String>>>;

    /// A sink that takes a second for each item, and cannot write "bad".
    fn slow(runtime: &VirtualRuntime) -> (Sink<VirtualRuntime, &'static str, String>, Log) {
        let log = Log::default();
        let (file, time) = (Rc::clone(&log), runtime.clone());
        let sink = Sink::new(runtime, move |item: &'static str| {
            let (file, time) = (Rc::clone(&file), time.clone());
            async move {
                file.borrow_mut().push(format!("begin {item}"));
                time.sleep(Duration::from_secs(1)).await;
                file.borrow_mut().push(format!("end {item}"));
                if item == "bad" {
                    Err("full".to_owned())
                } else {
                    Ok(())
                }
            }
        });
        (sink, log)
    }

    #[test]
    fn items_are_written_one_after_the_other_in_the_order_in_which_they_came() {
        let runtime = VirtualRuntime::new();
        let (sink, log) = slow(&runtime);
        for item in ["a", "b", "c"] {
            drop(sink.write(item));
        }
        assert_eq!(sink.waiting(), 3);
        runtime.block_on(sink.write("d")).unwrap();
        let one_by_one = ["a", "b", "c", "d"].map(|item| [format!("begin {item}"), format!("end {item}")]);
        assert_eq!(*log.borrow(), one_by_one.concat());
        assert_eq!((sink.waiting(), sink.written()), (0, 4));
        assert_eq!(runtime.now().as_micros(), 4_000_000);
    }

    #[test]
    fn a_write_that_fails_is_told_and_nothing_after_it_is_lost() {
        let runtime = VirtualRuntime::new();
        let (sink, log) = slow(&runtime);
        let told = Rc::new(RefCell::new(Vec::new()));
        let (heard, again) = (Rc::clone(&told), sink.clone());
        sink.on_error(move |error| {
            heard.borrow_mut().push(error.to_string());
            // Written by a listener, it comes after what is in line.
            drop(again.write("note"));
        });
        let (bad, good) = (sink.write("bad"), sink.write("good"));
        assert_eq!(runtime.block_on(bad), Err(SinkError::Write("full".to_owned())));
        assert_eq!(runtime.block_on(good), Ok(()));
        runtime.block_on(sink.close());
        assert_eq!(*told.borrow(), ["full"]);
        assert_eq!(log.borrow().last().map(String::as_str), Some("end note"));
        assert_eq!((sink.written(), sink.failed()), (2, 1));
    }

    #[test]
    fn closing_waits_for_what_was_given_and_takes_nothing_more() {
        let runtime = VirtualRuntime::new();
        let (sink, log) = slow(&runtime);
        drop(sink.write("a"));
        drop(sink.write("b"));
        runtime.block_on(sink.close());
        assert_eq!(log.borrow().len(), 4);
        assert_eq!(runtime.block_on(sink.write("c")), Err(SinkError::Closed));
        runtime.block_on(sink.close());
        assert!(sink.is_closed());
        assert_eq!(log.borrow().len(), 4);
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn on_the_host_a_writer_that_panics_costs_its_item_alone() {
        let runtime = VirtualRuntime::new();
        let sink = Sink::new(&runtime, |item: u32| {
            assert_ne!(item, 1, "one");
            async { Ok::<_, ()>(()) }
        });
        let (bad, good) = (sink.write(1), sink.write(2));
        assert!(matches!(runtime.block_on(bad), Err(SinkError::Panicked(words)) if words.contains("one")));
        assert_eq!(runtime.block_on(good), Ok(()));
    }

    #[test]
    fn a_host_that_knows_a_sink_counts_its_items() {
        let runtime = VirtualRuntime::new();
        let host = Host::new(runtime.clone());
        let metrics = Metrics::new(&host);
        let (sink, _) = slow(&runtime);
        let sink = sink.known_as(&host, "report").unwrap();
        drop(sink.write("a"));
        runtime.block_on(sink.write("bad")).unwrap_err();
        let text = metrics.to_openmetrics();
        assert!(
            text.contains(r#"tidegate_sink_items_total{sink="report",outcome="failed"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"tidegate_sink_waiting{sink="report"} 0"#),
            "{text}"
        );
    }
}
