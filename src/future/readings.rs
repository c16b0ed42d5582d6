//! The numbers of what is neither a pool, a breaker nor a rate limiter: caches, channels, events, barriers, locks, objects
//! and states, each as readings under the names that the text of metrics gives them.

use crate::machine::cache::{Cache, CacheStats};
use crate::machine::objects::Objects;
use crate::machine::state::{State, StateStats};
use crate::machine::wakes::MachineId;
use crate::machine::world::World;
use std::rc::Rc;

/// Everything that one handle counts.
#[derive(Clone, Debug)]
pub struct Readings {
    /// What it is: `cache`, `channel`, `event`, `barrier`, `locks`, `objects`, `state`, `counter`, `graph`, `orchestrator`, `sink`
    /// or `workers`.
    pub kind: &'static str,
    /// Its name.
    pub name: Rc<str>,
    /// Its numbers; those of one name stand together.
    pub all: Vec<Reading>,
}

/// One number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What is counted; in the text of metrics, `tidegate_<kind>_<name>`.
    pub name: &'static str,
    /// What tells it from others of the name.
    pub label: Option<(&'static str, &'static str)>,
    /// Whether it only ever grows.
    pub grows: bool,
    /// How many.
    pub value: u64,
}

impl Reading {
    pub(crate) const fn now(name: &'static str, value: usize) -> Self {
        Self {
            name,
            label: None,
            grows: false,
            value: value as u64,
        }
    }

    pub(crate) const fn ever(name: &'static str, value: u64) -> Self {
        Self {
            name,
            label: None,
            grows: true,
            value,
        }
    }

    pub(crate) const fn outcome(name: &'static str, outcome: &'static str, value: u64) -> Self {
        Self {
            label: Some(("outcome", outcome)),
            ..Reading::ever(name, value)
        }
    }
}

impl Readings {
    /// The number of a name and, where there are several, of the value of its label.
    pub fn value(&self, name: &str, label: Option<&str>) -> Option<u64> {
        let of = |reading: &&Reading| reading.name == name && reading.label.map(|(_, is)| is) == label;
        self.all.iter().find(of).map(|reading| reading.value)
    }

    /// What a machine counts, if it is of one of the kinds.
    pub(crate) fn of(world: &mut World, id: MachineId, name: &Rc<str>) -> Option<Self> {
        let (kind, all) = read(world, id)?;
        let name = Rc::clone(name);
        Some(Self { kind, name, all })
    }
}

fn read(world: &mut World, id: MachineId) -> Option<(&'static str, Vec<Reading>)> {
    if let Some((channel, selects)) = world.channel(id) {
        let waiting = [
            ("send", channel.waiting_to_send(selects)),
            ("receive", channel.waiting_to_receive(selects)),
        ];
        let mut all = vec![Reading::now("size", channel.len())];
        all.extend(waiting.map(|(side, many)| Reading {
            label: Some(("side", side)),
            ..Reading::now("waiting", many)
        }));
        all.push(Reading::outcome("values", "sent", channel.sent()));
        all.push(Reading::outcome("values", "received", channel.received));
        return Some(("channel", all));
    }
    if let Some(event) = world.event(id) {
        let all = vec![
            Reading::now("is_set", usize::from(event.is_set())),
            Reading::now("waiting", event.waiting()),
        ];
        return Some(("event", all));
    }
    if let Some(barrier) = world.barrier(id) {
        let all = vec![
            Reading::now("parties", barrier.parties() as usize),
            Reading::now("waiting", barrier.waiting()),
        ];
        return Some(("barrier", all));
    }
    if let Some(locks) = world.locks(id) {
        let all = vec![
            Reading::now("taken", locks.taken()),
            Reading::now("most_waiting", locks.most_waiting()),
        ];
        return Some(("locks", all));
    }
    if let Some(objects) = world.objects(id) {
        return Some(("objects", of_objects(objects)));
    }
    if let Some(all) = world.at_cache(id, |cache, _| of_cache(cache)) {
        return Some(("cache", all));
    }
    let all = world.at_state(id, |state, _| of_state(state))?;
    Some(("state", all))
}

fn of_objects(objects: &Objects) -> Vec<Reading> {
    let counts = &objects.counts;
    let idle = objects.idle();
    let count = |state, many| Reading {
        label: Some(("state", state)),
        ..Reading::now("count", many)
    };
    vec![
        count("in_use", objects.len().saturating_sub(idle)),
        count("idle", idle),
        Reading::now("waiting", objects.waiting()),
        Reading::outcome("requests", "hit", counts.hits),
        Reading::outcome("requests", "miss", counts.misses),
        Reading::ever("created", counts.created),
        Reading::ever("failed", counts.failed),
        Reading::ever("returned", counts.returned),
        Reading::ever("invalid", counts.invalid),
        Reading::ever("destroyed", counts.destroyed),
        Reading::ever("timeouts", counts.timeouts),
    ]
}

fn of_cache(cache: &Cache) -> Vec<Reading> {
    let CacheStats {
        hits,
        misses,
        stale_hits,
        negative_hits,
        evictions,
        expirations,
        invalidations,
        loads,
        load_failures,
        coalesced,
        ..
    } = cache.stats();
    let left = |reason, value| Reading {
        label: Some(("reason", reason)),
        ..Reading::ever("departures", value)
    };
    vec![
        Reading::now("entries", cache.len()),
        Reading::outcome("lookups", "hit", hits.saturating_sub(stale_hits)),
        Reading::outcome("lookups", "stale", stale_hits),
        Reading::outcome("lookups", "negative", negative_hits),
        Reading::outcome("lookups", "miss", misses),
        left("evicted", evictions),
        left("expired", expirations),
        left("invalidated", invalidations),
        Reading::ever("loads", loads),
        Reading::ever("load_failures", load_failures),
        Reading::ever("coalesced", coalesced),
    ]
}

fn of_state(state: &State) -> Vec<Reading> {
    let StateStats {
        writes,
        conflicts,
        updates,
        timeouts,
        ..
    } = state.stats();
    vec![
        Reading::now("entries", state.len()),
        Reading::ever("writes", writes),
        Reading::ever("conflicts", conflicts),
        Reading::ever("updates", updates),
        Reading::ever("timeouts", timeouts),
    ]
}
