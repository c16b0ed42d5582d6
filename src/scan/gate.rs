//! A bound on what is at work at once: slots, and a line of those who wait for one, oldest first.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::future::{Parker, Runtime};

/// Slots and a line. Nobody barges: a slot that comes free goes to the oldest waiter.
pub(super) struct Gate<R: Runtime> {
    runtime: R,
    state: RefCell<State<R::Parker>>,
}

struct State<P> {
    limit: u32,
    active: u32,
    paused: bool,
    line: VecDeque<Waiter<P>>,
}

struct Waiter<P> {
    weight: u32,
    place: Rc<RefCell<Place>>,
    parker: P,
}

enum Place {
    Waiting,
    Granted,
    Left,
}

impl<R: Runtime> Gate<R> {
    pub(super) fn new(runtime: R, limit: u32) -> Rc<Self> {
        let state = State {
            limit,
            active: 0,
            paused: false,
            line: VecDeque::new(),
        };
        Rc::new(Self {
            runtime,
            state: RefCell::new(state),
        })
    }

    /// Waits for a slot, in the order of the calls. Dropping the future gives the place back at once.
    pub(super) async fn enter(self: &Rc<Self>, weight: u32) -> Slot<R> {
        let weight = weight.clamp(1, self.limit());
        let place = Rc::new(RefCell::new(Place::Waiting));
        let parker = self.runtime.park();
        let waiter = Waiter {
            weight,
            place: Rc::clone(&place),
            parker: parker.clone(),
        };
        self.state.borrow_mut().line.push_back(waiter);
        let mut ticket = Ticket {
            gate: Rc::clone(self),
            weight,
            place,
            taken: false,
        };
        self.grant();
        poll_fn(|context| ticket.poll(&parker, context)).await;
        Slot {
            gate: Rc::clone(self),
            weight,
        }
    }

    /// While paused nobody is let in; those inside go on.
    pub(super) fn pause(&self, paused: bool) {
        self.state.borrow_mut().paused = paused;
        self.grant();
    }

    pub(super) fn limit(&self) -> u32 {
        self.state.borrow().limit
    }

    pub(super) fn active(&self) -> u32 {
        self.state.borrow().active
    }

    pub(super) fn queued(&self) -> u32 {
        let waiting = |waiter: &&Waiter<_>| matches!(*waiter.place.borrow(), Place::Waiting);
        u32::try_from(self.state.borrow().line.iter().filter(waiting).count()).unwrap_or(u32::MAX)
    }

    fn release(&self, weight: u32) {
        self.state.borrow_mut().active -= weight;
        self.grant();
    }

    fn grant(&self) {
        while let Some(parker) = self.state.borrow_mut().next() {
            parker.unpark();
        }
    }
}

impl<P> State<P> {
    fn next(&mut self) -> Option<P> {
        while !self.paused {
            let first = self.line.front()?;
            let left = matches!(*first.place.borrow(), Place::Left);
            if !left && self.active + first.weight > self.limit {
                return None;
            }
            let waiter = self.line.pop_front()?;
            if !left {
                self.active += waiter.weight;
                waiter.place.replace(Place::Granted);
                return Some(waiter.parker);
            }
        }
        None
    }
}

/// A place in the line; dropped before it was taken, it gives back whatever it has.
struct Ticket<R: Runtime> {
    gate: Rc<Gate<R>>,
    weight: u32,
    place: Rc<RefCell<Place>>,
    taken: bool,
}

impl<R: Runtime> Ticket<R> {
    fn poll(&mut self, parker: &R::Parker, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if matches!(*self.place.borrow(), Place::Granted) {
                self.taken = true;
                return Poll::Ready(());
            }
            if parker.poll_parked(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl<R: Runtime> Drop for Ticket<R> {
    fn drop(&mut self) {
        if !self.taken && matches!(self.place.replace(Place::Left), Place::Granted) {
            self.gate.release(self.weight);
        } else if !self.taken {
            // Whoever stood behind a heavy one that left may fit.
            self.gate.grant();
        }
    }
}

/// A slot; dropping it lets the next one in.
pub(super) struct Slot<R: Runtime> {
    gate: Rc<Gate<R>>,
    weight: u32,
}

impl<R: Runtime> Drop for Slot<R> {
    fn drop(&mut self) {
        self.gate.release(self.weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::VirtualRuntime;
    use core::time::Duration;
    use futures::FutureExt;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_released_slot_goes_to_the_oldest_waiter_and_the_bound_holds() {
        let runtime = VirtualRuntime::new();
        let gate = Gate::new(runtime.clone(), 2);
        let order = Rc::new(RefCell::new(Vec::new()));
        for n in 0..5 {
            let (gate, order, clock) = (gate.clone(), order.clone(), runtime.clone());
            runtime.spawn(async move {
                let _slot = gate.enter(1).await;
                assert!(gate.active() <= 2);
                order.borrow_mut().push((n, clock.now().as_micros() / 1000));
                clock.sleep(Duration::from_millis(10)).await;
            });
        }
        runtime.settle();
        assert_eq!((gate.active(), gate.queued()), (2, 3));
        runtime.advance(Duration::from_secs(1));
        assert_eq!(*order.borrow(), [(0, 0), (1, 0), (2, 10), (3, 10), (4, 20)]);
        assert_eq!((gate.active(), gate.queued()), (0, 0));
    }

    #[test]
    fn a_waiter_that_leaves_gives_its_place_or_its_slot_back_at_once() {
        let runtime = VirtualRuntime::new();
        let gate = Gate::new(runtime.clone(), 2);
        let held = gate.enter(2).now_or_never().unwrap();
        let mut heavy = Box::pin(gate.enter(2));
        let mut light = Box::pin(gate.enter(1));
        assert!((&mut heavy).now_or_never().is_none() && (&mut light).now_or_never().is_none());
        drop(held);
        drop(heavy); // It had been granted and not yet looked.
        assert_eq!(gate.active(), 1);
        assert!(light.now_or_never().is_some());
        assert_eq!((gate.active(), gate.queued()), (0, 0));
    }

    #[test]
    fn a_paused_gate_lets_nobody_in_until_it_is_resumed() {
        let runtime = VirtualRuntime::new();
        let gate = Gate::new(runtime.clone(), 1);
        gate.pause(true);
        let mut entering = Box::pin(gate.enter(1));
        assert!((&mut entering).now_or_never().is_none());
        gate.pause(false);
        assert!(entering.now_or_never().is_some());
    }
}
