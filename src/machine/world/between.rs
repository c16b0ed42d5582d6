//! Machines in a world through which tasks meet: locks, channels, events, barriers, shared objects, workers.
//!
//! Locks stand in the one wait-for graph with the pools; channels share their undecided selects. Every call of one
//! goes through its `at_…`, which names it in the wakes and asks it afterwards when it wants to be called.

use super::{Kind, Table, World};
use crate::machine::barrier::Barrier;
use crate::machine::channel::{Channel, Selects};
use crate::machine::dispatch::{Dispatch, DispatchConfig};
use crate::machine::event::Event;
use crate::machine::locks::LockSet;
use crate::machine::objects::{Objects, ObjectsConfig};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wait_for::{Deadlock, WaitFor};
use crate::machine::wakes::{MachineId, Wakes};

/// The tables of those machines.
#[derive(Debug)]
pub(super) struct Between {
    locks: Table<LockSet>,
    channels: Table<Channel>,
    selects: Selects,
    events: Table<Event>,
    barriers: Table<Barrier>,
    objects: Table<Objects>,
    dispatches: Table<Dispatch>,
}

impl Between {
    pub(super) const fn new() -> Self {
        Self {
            locks: Table::new(Kind::Locks),
            channels: Table::new(Kind::Channel),
            selects: Selects::new(),
            events: Table::new(Kind::Event),
            barriers: Table::new(Kind::Barrier),
            objects: Table::new(Kind::Objects),
            dispatches: Table::new(Kind::Dispatch),
        }
    }
}

impl World {
    /// Takes a lock set in. `None` when there are 2^24 already.
    pub fn open_locks(&mut self, locks: LockSet) -> Option<MachineId> {
        self.in_time(Kind::Locks, Self::locks_on_deadline);
        self.keep_kin();
        self.locks_give_way = Some(Self::locks_give_way);
        let id = self.between.locks.insert(locks)?;
        if let Some(locks) = self.between.locks.get_mut(id) {
            *locks = std::mem::take(locks).named(id);
        }
        Some(id)
    }

    /// A lock set, to look at.
    pub fn locks(&self, id: MachineId) -> Option<&LockSet> {
        self.between.locks.get(id)
    }

    /// Calls a lock set; `None` if there is no such set.
    pub fn at_locks<T>(
        &mut self,
        now: Instant,
        id: MachineId,
        call: impl FnOnce(&mut LockSet, &mut WaitFor, &mut Wakes) -> T,
    ) -> Option<T> {
        self.look_at_fresh();
        let locks = self.between.locks.get_mut(id)?;
        let result = call(locks, &mut self.families.graph, self.wakes.of(id));
        self.timers.arm(id, locks.next_deadline());
        self.break_deadlocks(now);
        Some(result)
    }

    /// Forgets a lock set; its waiters are not woken, and what was held in it is nobody's.
    pub fn drop_locks(&mut self, id: MachineId) {
        if let Some(locks) = self.between.locks.remove(id) {
            locks.leave_graph(&mut self.families.graph);
        }
        self.timers.arm(id, None);
    }

    /// Makes a channel. `None` when there are 2^24 already.
    pub fn open_channel(&mut self, capacity: u32) -> Option<MachineId> {
        self.in_time(Kind::Channel, Self::channel_on_deadline);
        self.between.channels.insert(Channel::new(capacity))
    }

    /// A channel, to look at, with the selects that are not decided.
    pub fn channel(&self, id: MachineId) -> Option<(&Channel, &Selects)> {
        Some((self.between.channels.get(id)?, &self.between.selects))
    }

    /// Calls a channel; `None` if there is no such channel.
    pub fn at_channel<T>(
        &mut self,
        id: MachineId,
        call: impl FnOnce(&mut Channel, &mut Selects, &mut Wakes) -> T,
    ) -> Option<T> {
        let channel = self.between.channels.get_mut(id)?;
        let result = call(channel, &mut self.between.selects, self.wakes.of(id));
        self.timers.arm(id, channel.next_deadline());
        Some(result)
    }

    /// Forgets a channel; its waiters are not woken.
    pub fn drop_channel(&mut self, id: MachineId) {
        self.between.channels.remove(id);
        self.timers.arm(id, None);
    }

    /// Begins a select over channels of this world. `None` when there are 2^24 already.
    pub fn open_select(&mut self) -> Option<Ticket> {
        self.between.selects.open()
    }

    /// Gives a select up; whatever is registered for it is as good as gone. False if it was decided before.
    pub fn close_select(&mut self, select: Ticket) -> bool {
        self.between.selects.claim(select)
    }

    /// Makes an event. `None` when there are 2^24 already.
    pub fn open_event(&mut self) -> Option<MachineId> {
        self.in_time(Kind::Event, Self::event_on_deadline);
        self.between.events.insert(Event::new())
    }

    /// An event, to look at.
    pub fn event(&self, id: MachineId) -> Option<&Event> {
        self.between.events.get(id)
    }

    /// Calls an event; `None` if there is no such event.
    pub fn at_event<T>(
        &mut self,
        id: MachineId,
        call: impl FnOnce(&mut Event, &mut Wakes) -> T,
    ) -> Option<T> {
        let event = self.between.events.get_mut(id)?;
        let result = call(event, self.wakes.of(id));
        self.timers.arm(id, event.next_deadline());
        Some(result)
    }

    /// Forgets an event; its waiters are not woken.
    pub fn drop_event(&mut self, id: MachineId) {
        self.between.events.remove(id);
        self.timers.arm(id, None);
    }

    /// Takes a barrier in. `None` when there are 2^24 already.
    pub fn open_barrier(&mut self, barrier: Barrier) -> Option<MachineId> {
        self.in_time(Kind::Barrier, Self::barrier_on_deadline);
        self.between.barriers.insert(barrier)
    }

    /// A barrier, to look at.
    pub fn barrier(&self, id: MachineId) -> Option<&Barrier> {
        self.between.barriers.get(id)
    }

    /// Calls a barrier; `None` if there is no such barrier.
    pub fn at_barrier<T>(
        &mut self,
        id: MachineId,
        call: impl FnOnce(&mut Barrier, &mut Wakes) -> T,
    ) -> Option<T> {
        let barrier = self.between.barriers.get_mut(id)?;
        let result = call(barrier, self.wakes.of(id));
        self.timers.arm(id, barrier.next_deadline());
        Some(result)
    }

    /// Forgets a barrier; its waiters are not woken.
    pub fn drop_barrier(&mut self, id: MachineId) {
        self.between.barriers.remove(id);
        self.timers.arm(id, None);
    }

    /// Makes an object pool. `None` when there are 2^24 already.
    pub fn open_objects(&mut self, config: ObjectsConfig) -> Option<MachineId> {
        self.in_time(Kind::Objects, Self::objects_on_deadline);
        self.between.objects.insert(Objects::new(config))
    }

    /// An object pool, to look at.
    pub fn objects(&self, id: MachineId) -> Option<&Objects> {
        self.between.objects.get(id)
    }

    /// Calls an object pool; `None` if there is no such pool. What it dooms by itself, when time comes to it, makes an
    /// [`errand`](Self::errand).
    pub fn at_objects<T>(
        &mut self,
        id: MachineId,
        call: impl FnOnce(&mut Objects, &mut Wakes) -> T,
    ) -> Option<T> {
        let objects = self.between.objects.get_mut(id)?;
        let result = call(objects, self.wakes.of(id));
        self.timers.arm(id, objects.next_deadline());
        Some(result)
    }

    /// Forgets an object pool and whatever is in it; its waiters are not woken.
    pub fn drop_objects(&mut self, id: MachineId) {
        self.between.objects.remove(id);
        self.timers.arm(id, None);
    }

    /// Makes the dispatch of a pool of workers. `None` when there are 2^24 already.
    pub fn open_dispatch(&mut self, config: DispatchConfig) -> Option<MachineId> {
        self.in_time(Kind::Dispatch, Self::dispatch_on_deadline);
        self.between.dispatches.insert(Dispatch::new(config))
    }

    /// A dispatch, to look at.
    pub fn dispatch(&self, id: MachineId) -> Option<&Dispatch> {
        self.between.dispatches.get(id)
    }

    /// Calls a dispatch; `None` if there is no such dispatch. The caller takes its orders afterwards; those that time
    /// brings make an [`errand`](Self::errand).
    pub fn at_dispatch<T>(&mut self, id: MachineId, call: impl FnOnce(&mut Dispatch) -> T) -> Option<T> {
        let dispatch = self.between.dispatches.get_mut(id)?;
        let result = call(dispatch);
        self.timers.arm(id, dispatch.next_deadline());
        Some(result)
    }

    /// Forgets a dispatch and all its tasks.
    pub fn drop_dispatch(&mut self, id: MachineId) {
        self.between.dispatches.remove(id);
        self.timers.arm(id, None);
    }

    fn locks_give_way(&mut self, now: Instant, deadlock: Deadlock) {
        self.at_locks(now, deadlock.victim.machine, |locks, graph, wakes| {
            locks.give_way(now, deadlock, graph, wakes)
        });
    }

    fn locks_on_deadline(&mut self, now: Instant, id: MachineId) {
        self.at_locks(now, id, |locks, graph, wakes| {
            locks.on_deadline(now, graph, wakes)
        });
    }

    fn channel_on_deadline(&mut self, now: Instant, id: MachineId) {
        self.at_channel(id, |channel, selects, wakes| {
            channel.on_deadline(now, selects, wakes)
        });
    }

    fn event_on_deadline(&mut self, now: Instant, id: MachineId) {
        self.at_event(id, |event, wakes| event.on_deadline(now, wakes));
    }

    fn barrier_on_deadline(&mut self, now: Instant, id: MachineId) {
        self.at_barrier(id, |barrier, wakes| barrier.on_deadline(now, wakes));
    }

    fn objects_on_deadline(&mut self, now: Instant, id: MachineId) {
        let has_doomed = self.at_objects(id, |objects, wakes| {
            objects.on_deadline(now, wakes);
            objects.has_doomed()
        });
        self.add_errand(id, has_doomed);
    }

    fn dispatch_on_deadline(&mut self, now: Instant, id: MachineId) {
        let has_orders = self.at_dispatch(id, |dispatch| {
            dispatch.on_deadline(now);
            dispatch.has_orders()
        });
        self.add_errand(id, has_orders);
    }

    fn add_errand(&mut self, id: MachineId, has_one: Option<bool>) {
        if has_one == Some(true) {
            self.alone.errands.push_back(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::channel::{Receive, Send};
    use crate::machine::dispatch::{Job, Order};
    use crate::machine::locks::{Answer, Claim, Mode};
    use crate::machine::objects::{Acquire, Grant};
    use crate::machine::permits::Patience;
    use crate::machine::wakes::{Refusal, Why};
    use core::time::Duration;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: Instant = Instant::ZERO;

    fn claim(locks: &[u32], owner: u64) -> Claim<'_> {
        Claim {
            locks,
            mode: Mode::Ordered,
            owner: Some(owner),
            patience: Patience::Micros(10),
        }
    }

    #[test]
    fn two_lock_sets_share_one_graph() {
        let mut world = World::new(1);
        let (a, b) = (
            world.open_locks(LockSet::new()).unwrap(),
            world.open_locks(LockSet::new()).unwrap(),
        );
        let take = |world: &mut World, set, owner| {
            world
                .at_locks(NOW, set, |locks, graph, wakes| {
                    locks.claim(NOW, claim(&[1], owner), graph, wakes)
                })
                .unwrap()
        };
        assert!(matches!(take(&mut world, a, 1), Answer::Granted(_)));
        assert!(matches!(take(&mut world, b, 2), Answer::Granted(_)));
        assert!(matches!(take(&mut world, b, 1), Answer::Waiting(_)));
        assert_eq!(take(&mut world, a, 2), Answer::Refused(Refusal::Deadlock));
        world.drop_locks(b);
        world.on_deadline(Instant::from_micros(10));
        assert_eq!(world.wake(), None);
        world.drop_locks(a);
        assert!(world.wait_for().is_empty());
    }

    #[test]
    fn waits_at_locks_channels_events_and_barriers_time_out_through_the_world() {
        let mut world = World::new(1);
        let patience = Patience::Micros(10);
        let locks = world.open_locks(LockSet::new()).unwrap();
        for owner in 0..2 {
            world.at_locks(NOW, locks, |locks, graph, wakes| {
                locks.claim(NOW, claim(&[1], owner), graph, wakes)
            });
        }
        let channel = world.open_channel(0).unwrap();
        world.at_channel(channel, |channel, selects, wakes| {
            channel.receive(NOW, patience, None, selects, wakes)
        });
        let event = world.open_event().unwrap();
        world.at_event(event, |event, wakes| event.wait(NOW, patience, wakes));
        let barrier = world.open_barrier(Barrier::new(2).unwrap()).unwrap();
        world.at_barrier(barrier, |barrier, wakes| barrier.arrive(NOW, patience, wakes));
        world.on_deadline(Instant::from_micros(9));
        assert_eq!(world.wake(), None);
        world.on_deadline(Instant::from_micros(10));
        let mut woken: Vec<_> = std::iter::from_fn(|| world.wake())
            .map(|wake| (wake.machine, wake.why))
            .collect();
        woken.sort_by_key(|(machine, _)| *machine);
        let timeout = Why::Refused(Refusal::QueueTimeout);
        assert_eq!(woken, [locks, channel, event, barrier].map(|id| (id, timeout)));
        assert_eq!(world.next_deadline(), None);
    }

    #[test]
    fn one_select_spans_channels_of_the_world() {
        let mut world = World::new(1);
        let (a, b) = (world.open_channel(0).unwrap(), world.open_channel(0).unwrap());
        let select = world.open_select();
        for id in [a, b] {
            let answer = world.at_channel(id, |channel, selects, wakes| {
                channel.receive(NOW, Patience::Forever, select, selects, wakes)
            });
            assert!(matches!(answer, Some(Receive::Waiting(_))));
        }
        let send = |world: &mut World, id| {
            world.at_channel(id, |channel, selects, wakes| {
                channel.send(NOW, 7, Patience::None, None, selects, wakes)
            })
        };
        assert_eq!(send(&mut world, b), Some(Send::Sent));
        assert_eq!(send(&mut world, a), Some(Send::Refused(Refusal::NotNow)));
        assert_eq!(world.wake().map(|wake| wake.machine), Some(b));
        assert!(!world.close_select(select.unwrap()));
    }

    #[test]
    fn what_time_dooms_or_orders_is_an_errand() {
        let mut world = World::new(1);
        let config = ObjectsConfig::new(1).unwrap().with_idle(Duration::from_micros(5));
        let objects = world.open_objects(config).unwrap();
        world.at_objects(objects, |objects, wakes| {
            let Acquire::Now(Grant::Create(object)) = objects.acquire(NOW, 0, Patience::None, wakes) else {
                panic!()
            };
            objects.made(NOW, object).unwrap();
            objects.give_back(NOW, object, true, wakes).unwrap();
        });
        let config = DispatchConfig::new(1, 1)
            .unwrap()
            .with_task_timeout(Duration::from_micros(5));
        let dispatch = world.open_dispatch(config).unwrap();
        world.at_dispatch(dispatch, |dispatch| {
            dispatch.open(NOW);
            let Some(Order::Spawn(worker)) = dispatch.pop_order() else {
                panic!()
            };
            dispatch.ready(NOW, worker).unwrap();
            dispatch.submit(NOW, Job::of(1)).unwrap();
            while dispatch.pop_order().is_some() {}
        });
        world.on_deadline(Instant::from_micros(5));
        assert_eq!(
            (world.errand(), world.errand(), world.errand()),
            (Some(objects), Some(dispatch), None)
        );
        assert!(
            world
                .at_objects(objects, |objects, _| objects.pop_doomed())
                .flatten()
                .is_some()
        );
        assert!(matches!(
            world.at_dispatch(dispatch, Dispatch::pop_order).flatten(),
            Some(Order::Terminate(_))
        ));
    }
}
