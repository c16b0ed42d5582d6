//! What a host that knows the graph is told of it: who waits for whom, and how many tasks are where.

use crate::future::host::Host;
use crate::future::ledger::{Seat, Stage};
use crate::future::owner::{DeadlockStep, Owner};
use crate::future::readings::Reading;
use crate::future::runtime::Runtime;
use crate::future::turn::Room;
use crate::machine::config::ConfigError;
use crate::machine::graph::GraphProgress;
use crate::machine::ticket::Ticket;
use crate::machine::wait_for::{Need, Owner as Name, Resource, Waiter};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// A graph in its host.
pub(super) struct Kin<R: Runtime> {
    room: Rc<Room<R>>,
    owners: RefCell<HashMap<Rc<str>, u64>>,
    told: RefCell<BTreeMap<Ticket, Told>>,
    parent: Cell<Option<Owner>>,
    executor: RefCell<Option<R::Parker>>,
}

/// A task of which the wait-for graph knows.
#[derive(Clone, Copy)]
struct Told {
    owner: u64,
    wait: Ticket,
    slots: u32,
}

/// What a task waits for that has not started.
pub(super) struct Waiting {
    pub(super) name: Rc<str>,
    /// Those it depends on that have not ended.
    pub(super) dependencies: Vec<Rc<str>>,
    pub(super) slots: u32,
    /// Of how many.
    pub(super) capacity: u32,
}

impl<R: Runtime> Kin<R> {
    /// `progress` says where the graph's tasks are.
    pub(super) fn open(
        host: &Host<R>,
        name: Rc<str>,
        progress: impl Fn() -> Option<GraphProgress> + 'static,
    ) -> Result<Self, ConfigError> {
        let count = move || Some(("graph", readings(progress()?)));
        let room = Room::counted(host, "task graphs", Rc::clone(&name), count)?;
        host.label(room.id, move |_| format!("a slot of graph {name:?}"));
        Ok(Self {
            room,
            owners: RefCell::default(),
            told: RefCell::default(),
            parent: Cell::new(None),
            executor: RefCell::new(None),
        })
    }

    pub(super) fn owner(&self, name: &Rc<str>) -> Owner {
        let mut owners = self.owners.borrow_mut();
        let number = owners
            .entry(Rc::clone(name))
            .or_insert_with(|| self.room.host.number());
        Owner::numbered(*number)
    }

    /// An execution begins, for whom, and where whoever executes is told of those who are given up.
    pub(super) fn begin(&self, parent: Option<Owner>, executor: &R::Parker) {
        self.parent.set(parent);
        self.executor.replace(Some(executor.clone()));
    }

    /// A task waits for those it depends on and for its slots.
    ///
    /// # Errors
    ///
    /// The chain, if it would never be started.
    pub(super) fn waits(&self, ticket: Ticket, waiting: &Waiting) -> Result<(), Vec<DeadlockStep>> {
        let Waiting { slots, capacity, .. } = *waiting;
        let owner = self.owner(&waiting.name);
        let dependencies = waiting.dependencies.iter();
        let ends = dependencies.map(|name| Need::End(named(self.owner(name))));
        let room = Need::Slots {
            resource: self.slots(),
            slots,
            capacity,
        };
        let needs: Vec<Need> = ends.chain([room]).collect();
        if let Some(parker) = self.executor.borrow().clone() {
            let host = &self.room.host;
            let seat = Seat::new(owner.id(), None, parker, host.runtime().now(), Stage::Queued);
            self.room.ledger.add(ticket, Rc::new(seat));
        }
        let parent = self.parent.get();
        let declared = self.room.call(|world, now, _| {
            if let Some(parent) = parent {
                world.declare_task(parent.as_parent());
                world.wait_for().child(named(owner), named(parent));
            }
            world.declare_wait(now, owner.as_parent(), self.waiter(ticket), &needs)
        });
        let Ok(wait) = declared else {
            let chain = self.room.host.chain(None);
            self.forget(ticket, owner.id());
            return Err(chain.unwrap_or_default());
        };
        let told = Told {
            owner: owner.id(),
            wait,
            slots,
        };
        self.told.borrow_mut().insert(ticket, told);
        Ok(())
    }

    /// A task has its slots.
    pub(super) fn started(&self, ticket: Ticket) {
        let Some(told) = self.told.borrow().get(&ticket).copied() else {
            return;
        };
        self.room.ledger.remove(ticket);
        let slots = self.slots();
        self.room.call(|world, now, _| {
            let graph = world.wait_for();
            graph.wait_over(told.wait);
            graph.hold(Name::Named(told.owner), slots, told.slots);
            world.break_deadlocks(now);
        });
    }

    /// A task is over.
    pub(super) fn ended(&self, ticket: Ticket) {
        let told = self.told.borrow_mut().remove(&ticket);
        if let Some(told) = told {
            self.forget(ticket, told.owner);
        }
    }

    /// The tasks that were given up since the last look, with their chains.
    pub(super) fn given_up(&self) -> Vec<(Ticket, Vec<DeadlockStep>)> {
        let given_up = self.room.ledger.given_up().into_iter();
        given_up
            .map(|ticket| {
                let chain = self.room.host.chain(Some(self.waiter(ticket)));
                (ticket, chain.unwrap_or_default())
            })
            .collect()
    }

    fn forget(&self, ticket: Ticket, owner: u64) {
        self.room.ledger.remove(ticket);
        self.room.call(|world, now, _| {
            world.wait_for().ended(Name::Named(owner));
            world.break_deadlocks(now);
        });
    }

    fn slots(&self) -> Resource {
        Resource {
            machine: self.room.id,
            part: 0,
        }
    }

    fn waiter(&self, ticket: Ticket) -> Waiter {
        Waiter {
            machine: self.room.id,
            ticket,
        }
    }
}

fn named(owner: Owner) -> Name {
    Name::Named(owner.id())
}

fn readings(progress: GraphProgress) -> Vec<Reading> {
    let states = [
        ("waiting", progress.waiting),
        ("ready", progress.ready),
        ("running", progress.running),
        ("succeeded", progress.succeeded),
        ("failed", progress.failed),
        ("skipped", progress.skipped),
        ("cancelled", progress.cancelled),
    ];
    let read = |(state, tasks)| Reading {
        name: "tasks",
        label: Some(("state", state)),
        grows: false,
        value: u64::from(tasks),
    };
    states.map(read).to_vec()
}
