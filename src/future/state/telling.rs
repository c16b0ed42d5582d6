//! Those who subscribe to a state, and how they are told: each change once, in the order of the writes.

use super::{Name, Shared, VersionedState};
use crate::future::runtime::Runtime;
use crate::future::subscription::Subscription;
use crate::machine::state::Change;
use crate::machine::ticket::Ticket;
use std::cell::Cell;
use std::rc::Rc;

/// What a subscriber is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateChange<V> {
    /// The name.
    pub key: Rc<str>,
    /// Its value at the time it is told; `None` if there is none.
    pub value: Option<V>,
    /// The version of the change; 0 for a deletion.
    pub version: u64,
}

pub(super) type Listener<V> = Rc<dyn Fn(StateChange<V>)>;

impl<R: Runtime, V: Clone + 'static> VersionedState<R, V> {
    /// Calls `listener` after every change of a name, in the order of the writes, until the subscription is dropped.
    pub fn subscribe(&self, key: &str, listener: impl Fn(StateChange<V>) + 'static) -> Subscription {
        self.0.listen(Name::Key(key.into()), Rc::new(listener))
    }

    /// Calls `listener` after every change of a name that begins with `prefix`, in the order of the writes, until the subscription is dropped.
    pub fn subscribe_prefix(
        &self,
        prefix: &str,
        listener: impl Fn(StateChange<V>) + 'static,
    ) -> Subscription {
        self.0.listen(Name::Prefix(prefix.into()), Rc::new(listener))
    }
}

impl<R: Runtime, V: Clone + 'static> Shared<R, V> {
    // Tells the subscribers, then wakes those who wait. A listener may write: then the inner call leaves its changes in the line, and the outermost
    // tells them in their order.
    pub(super) fn settle(&self) {
        if !self.telling.replace(true) {
            let _outermost = Telling(&self.telling);
            while let Some(Some(change)) = self.call_quietly(|state, _| state.pop_change()) {
                self.tell(change);
            }
        }
        self.host.drain();
    }

    fn tell(&self, change: Change) {
        let (listener, key, value) = {
            let entries = self.entries.borrow();
            let Some(Name::Key(key)) = entries.names.name(change.key) else {
                return;
            };
            let listener = entries.listeners.get(&change.subscriber.to_bits()).cloned();
            let value = entries.values.get(&change.key).cloned();
            (listener, Rc::clone(key), value)
        };
        if let Some(listener) = listener {
            let version = change.version;
            listener(StateChange { key, value, version });
        }
    }

    fn listen(self: &Rc<Self>, name: Name, listener: Listener<V>) -> Subscription {
        let id = match &name {
            Name::Key(key) => self.intern(key),
            Name::Prefix(_) => self.entries.borrow_mut().names.id(&name),
        };
        let Some(Ok(ticket)) = self.call_quietly(|state, _| state.subscribe(id)) else {
            return Subscription::new(|| ());
        };
        let bits = ticket.to_bits();
        let members: Vec<u32> = {
            let entries = &mut *self.entries.borrow_mut();
            entries.listeners.insert(bits, listener);
            let Name::Prefix(prefix) = &name else {
                return self.subscription(ticket, id);
            };
            let members = entries.names.names().filter_map(|(other, id)| match other {
                Name::Key(key) if key.starts_with(&**prefix) => Some(id),
                _ => None,
            });
            members.collect()
        };
        for key in members {
            self.call_quietly(|state, _| state.join(key, id));
        }
        self.subscription(ticket, id)
    }

    fn subscription(self: &Rc<Self>, ticket: Ticket, id: u32) -> Subscription {
        let shared = Rc::downgrade(self);
        Subscription::new(move || {
            if let Some(shared) = shared.upgrade() {
                let listener = shared.entries.borrow_mut().listeners.remove(&ticket.to_bits());
                drop(listener);
                let _late = shared.call_quietly(|state, wakes| state.leave(ticket, wakes));
                shared.forget_if_idle(id);
            }
        })
    }
}

/// Says that somebody tells, also if a listener panics.
struct Telling<'a>(&'a Cell<bool>);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
