//! Where programs meet: channels, events, barriers, a cache, versioned state. Each with what must hold of it.

use crate::epoch::setup;
use crate::watch::{Bound, Watch, leaving_after};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use tidegate::machine::random::Random;
use tidegate::{
    Barrier, Cache, CacheConfig, Channel, Event, Host, Runtime, Select, StateConfig, VersionedState,
    VirtualRuntime,
};

type R = VirtualRuntime;

pub(crate) struct Meetings {
    runtime: R,
    watch: Watch,
    channels: [Channel<R, u64>; 2],
    // Every value is sent once, so it may be received once; what was accepted must come out in the end.
    next_value: Cell<u64>,
    accepted: RefCell<BTreeSet<u64>>,
    received: RefCell<BTreeSet<u64>>,
    event: Event<R>,
    barrier: Barrier<R>,
    cache: Cache<R, u64, u64>,
    loaders: [Bound; 3],
    state: VersionedState<R, u64>,
    updates: Cell<u64>,
    begun: Cell<u64>,
}

impl Meetings {
    pub(crate) fn new(host: &Host<R>, watch: &Watch, random: &mut Random) -> Self {
        let capacity = |random: &mut Random| random.up_to(3) as u32;
        let ttl = CacheConfig {
            ttl: Duration::from_micros(1 + random.up_to(20_000)),
            ..CacheConfig::default()
        };
        Self {
            runtime: host.runtime().clone(),
            watch: watch.clone(),
            channels: [(); 2].map(|()| setup(Channel::new(host, capacity(random)))),
            next_value: Cell::new(0),
            accepted: RefCell::default(),
            received: RefCell::default(),
            event: setup(Event::new(host)),
            barrier: setup(Barrier::new(host, 2 + random.up_to(1) as u32)),
            cache: setup(Cache::new(host, ttl)),
            loaders: [0, 1, 2].map(|key| Bound::new(watch, format!("loaders of key {key}"), 1)),
            state: setup(VersionedState::with(host, StateConfig::default())),
            updates: Cell::new(0),
            begun: Cell::new(0),
        }
    }

    /// Spawns a client that meets others and may be dropped in the middle of it.
    pub(crate) fn spawn_some(self: &Rc<Self>, random: &mut Random) {
        let client = self.watch.client();
        let patience = Duration::from_micros(if random.up_to(1) == 0 {
            random.up_to(20_000)
        } else {
            60_000_000
        });
        let (kind, at) = (random.up_to(9), random.up_to(2));
        let micros = Duration::from_micros(random.up_to(10_000));
        let own = Rc::clone(self);
        self.runtime.spawn(async move {
            let work = Rc::clone(&own).meet(kind, at, micros);
            let ended = leaving_after(&own.runtime, patience, work).await;
            own.watch.saw(kind << 40 | u64::from(ended.is_some()));
            drop(client);
        });
    }

    /// Lets everybody go who waits for somebody else.
    pub(crate) fn dismiss(&self) {
        self.channels.iter().for_each(Channel::close);
        self.event.set();
    }

    /// What must hold when everybody has gone.
    pub(crate) fn end(&self) {
        for channel in &self.channels {
            while let Ok(value) = channel.try_receive() {
                self.receive(Some(value));
            }
            if channel.waiting_to_send() + channel.waiting_to_receive() > 0 {
                self.watch
                    .broken(|| "somebody still stands at a channel".to_owned());
            }
        }
        let lost: Vec<_> = self
            .accepted
            .borrow()
            .difference(&self.received.borrow())
            .copied()
            .collect();
        if !lost.is_empty() {
            self.watch
                .broken(|| format!("{lost:?} were accepted by a channel and never received"));
        }
        let value = self.state.get("count").map_or(0, |entry| entry.value);
        let (done, begun) = (self.updates.get(), self.begun.get());
        if value < done || value > begun {
            self.watch
                .broken(|| format!("{done} updates of {begun} are done, the state says {value}"));
        }
        if self.event.waiting() + self.barrier.waiting() > 0 {
            self.watch
                .broken(|| "somebody still waits for an event or a barrier".to_owned());
        }
    }

    async fn meet(self: Rc<Self>, kind: u64, at: u64, micros: Duration) {
        let channel = &self.channels[(at % 2) as usize];
        match kind {
            0 | 1 => {
                let value = self.next_value.get();
                self.next_value.set(value + 1);
                if channel.send(value).await.is_ok() {
                    self.accepted.borrow_mut().insert(value);
                }
            }
            2 => self.receive(channel.receive().await),
            3 => {
                let [a, b] = &self.channels;
                let select = Select::new().receive(a, |value| value).receive(b, |value| value);
                if let Ok(value) = select.wait_within(micros).await {
                    self.receive(value);
                }
            }
            4 => drop(self.event.wait().await),
            5 => {
                self.event.set();
                self.runtime.sleep(micros).await;
                self.event.clear();
            }
            6 => drop(self.barrier.wait_within(micros).await),
            7 | 8 => {
                let (own, key) = (Rc::clone(&self), at);
                let loader = async move || {
                    let _loading = own.loaders[key as usize].enter(1, || false);
                    own.runtime.sleep(micros).await;
                    if micros.as_micros().is_multiple_of(5) {
                        Err("not today")
                    } else {
                        Ok(key * 7)
                    }
                };
                if let Ok(value) = self.cache.load(key, loader).await
                    && value != key * 7
                {
                    self.watch.broken(|| format!("key {key} was loaded as {value}"));
                }
            }
            _ => {
                self.begun.set(self.begun.get() + 1);
                let add_one = async |seen: Option<u64>| {
                    self.runtime.sleep(micros).await;
                    seen.unwrap_or(0) + 1
                };
                if self.state.update("count", add_one).await.is_ok() {
                    self.updates.set(self.updates.get() + 1);
                }
            }
        }
    }

    fn receive(&self, value: Option<u64>) {
        if let Some(value) = value
            && !self.received.borrow_mut().insert(value)
        {
            self.watch.broken(|| format!("{value} was received twice"));
        }
    }
}
