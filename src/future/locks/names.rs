//! Locks have names for their users and numbers for the machine.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// The numbers under which the machine knows the names. A number is never given to another name, for the machine
/// remembers in which order it was taken.
#[derive(Default)]
pub(super) struct Names {
    numbers: RefCell<HashMap<Rc<str>, u32>>,
    pub(super) names: RefCell<BTreeMap<u32, Rc<str>>>,
    next: Cell<u32>,
    pub(super) declared: Cell<usize>,
    sweep_above: Cell<usize>,
}

/// So many names are kept though nobody holds them: more than a program has of its own. Names made of data go.
pub(super) const NAMES: usize = 1024;

impl Names {
    /// The numbers of names, in the order in which locks without a declared order are taken.
    pub(super) fn numbers(&self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<u32> {
        let mut names: Vec<(Rc<str>, u32)> = names
            .into_iter()
            .map(|name| {
                let number = self.number(name.as_ref());
                (self.name(number), number)
            })
            .collect();
        names.sort_unstable();
        names.into_iter().map(|(_, number)| number).collect()
    }

    pub(super) fn number(&self, name: &str) -> u32 {
        if let Some(number) = self.known(name) {
            return number;
        }
        let (name, number) = (Rc::<str>::from(name), self.next.get());
        self.next.set(number.wrapping_add(1));
        self.numbers.borrow_mut().insert(Rc::clone(&name), number);
        self.names.borrow_mut().insert(number, name);
        number
    }

    pub(super) fn known(&self, name: &str) -> Option<u32> {
        self.numbers.borrow().get(name).copied()
    }

    pub(super) fn name(&self, number: u32) -> Rc<str> {
        self.names
            .borrow()
            .get(&number)
            .cloned()
            .unwrap_or_else(|| Rc::from("?"))
    }

    /// Forgets names that nobody uses, when there are many.
    pub(super) fn sweep(&self, is_idle: impl Fn(u32) -> bool) {
        let mut names = self.names.borrow_mut();
        if names.len() <= self.sweep_above.get().max(NAMES) {
            return;
        }
        let declared = self.declared.get() as u32;
        let mut numbers = self.numbers.borrow_mut();
        names.retain(|number, name| {
            let stays = *number < declared || !is_idle(*number);
            if !stays {
                numbers.remove(name);
            }
            stays
        });
        self.sweep_above.set(names.len() * 2);
    }
}
