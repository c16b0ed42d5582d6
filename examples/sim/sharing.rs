//! What programs share: locks that exclude, and objects that are used again. Each with what must hold of it.

use crate::epoch::setup;
use crate::watch::{Holders, Watch, leaving_after, nap};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use tidegate::machine::random::Random;
use tidegate::{
    ConnectionPool, Host, LockError, LockOptions, LockSet, ObjectOptions, Owner, Runtime, VirtualRuntime,
};

type R = VirtualRuntime;

const NAMES: [&str; 4] = ["cache", "stats", "a", "b"];

pub(crate) struct Sharing {
    runtime: R,
    host: Host<R>,
    watch: Watch,
    locks: LockSet<R>,
    inside: Holders,
    objects: ConnectionPool<R, u64, Connection, &'static str>,
    alive: Rc<Alive>,
    next_client: Cell<u64>,
}

/// The objects that exist, by key, as they themselves tell.
struct Alive {
    watch: Watch,
    of_key: [Cell<u32>; 3],
    max: u32,
    max_total: u32,
}

struct Connection {
    key: u64,
    in_use: bool,
    uses: u64,
    alive: Rc<Alive>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let count = &self.alive.of_key[self.key as usize];
        count.set(count.get() - 1);
    }
}

impl Alive {
    fn total(&self) -> u32 {
        self.of_key.iter().map(Cell::get).sum()
    }

    fn open(self: &Rc<Self>, key: u64) -> Connection {
        let count = &self.of_key[key as usize];
        count.set(count.get() + 1);
        if count.get() > self.max || self.total() > self.max_total {
            let (one, all) = (count.get(), self.total());
            self.watch
                .broken(|| format!("{one} objects of key {key}, {all} of all"));
        }
        Connection {
            key,
            in_use: false,
            uses: 0,
            alive: Rc::clone(self),
        }
    }
}

impl Sharing {
    pub(crate) fn new(host: &Host<R>, watch: &Watch, random: &mut Random) -> Self {
        let runtime = host.runtime().clone();
        let locks = if random.up_to(1) == 0 {
            LockSet::with_order(host, ["cache", "stats"])
        } else {
            LockSet::new(host)
        };
        let (max, max_total) = (1 + random.up_to(2) as u32, 2 + random.up_to(4) as u32);
        let alive = Rc::new(Alive {
            watch: watch.clone(),
            of_key: Default::default(),
            max,
            max_total,
        });
        let mut options = ObjectOptions::new()
            .max(max)
            .max_total(max_total)
            .validate(|one: &mut Connection| one.uses % 5 != 4)
            .reset(|one| {
                one.in_use = false;
                one.uses % 7 != 6
            });
        if random.up_to(1) == 0 {
            options = options.idle(Duration::from_micros(1 + random.up_to(20_000)));
        }
        if random.up_to(1) == 0 {
            options = options.max_age(Duration::from_micros(1 + random.up_to(50_000)));
        }
        let (opened, clock) = (Rc::clone(&alive), runtime.clone());
        let create = move |key: &u64| {
            let (key, alive, clock) = (*key, Rc::clone(&opened), clock.clone());
            async move {
                // The number of the moment decides how it goes, so that the same seed takes the same steps.
                let at = clock.now().as_micros();
                if !at.is_multiple_of(3) {
                    nap(&clock, Duration::from_millis(at % 9)).await;
                }
                if at % 11 == 0 {
                    return Err("refused");
                }
                Ok(alive.open(key))
            }
        };
        Self {
            locks: setup(locks),
            inside: Holders::new(watch),
            objects: setup(ConnectionPool::new(host, options, create)),
            alive,
            runtime,
            host: host.clone(),
            watch: watch.clone(),
            next_client: Cell::new(0),
        }
    }

    /// Spawns a client that shares with others and may be dropped in the middle of it.
    pub(crate) fn spawn_some(self: &Rc<Self>, random: &mut Random) {
        let client = self.watch.client();
        let patience = Duration::from_millis(match random.up_to(1) {
            0 => random.up_to(30),
            _ => u64::MAX,
        });
        let ask = Ask {
            kind: random.up_to(8),
            key: random.up_to(2),
            wanted: some_names(random),
            then: some_names(random),
            limit: Duration::from_millis(random.up_to(40)),
            micros: Duration::from_millis(random.up_to(20)),
        };
        let own = Rc::clone(self);
        self.runtime.spawn(async move {
            let kind = ask.kind;
            let ended = leaving_after(&own.runtime, patience, own.share(ask)).await;
            own.watch.saw(kind << 44 | u64::from(ended.is_some()));
            drop(client);
        });
    }

    /// What happens now and then to all of it.
    pub(crate) fn disturb(&self) {
        self.objects.drop_idle();
        self.look();
    }

    pub(crate) fn look(&self) {
        let counted = self.objects.len();
        let alive = self.alive.total() as usize;
        if counted < alive || self.objects.idle() > alive {
            let idle = self.objects.idle();
            self.watch
                .broken(|| format!("{alive} objects exist, {counted} are counted, {idle} of them idle"));
        }
    }

    /// What must hold when everybody has gone.
    pub(crate) fn end(&self) {
        for name in NAMES {
            if self.locks.is_held(name) || self.locks.waiting(name) > 0 {
                self.watch
                    .broken(|| format!("somebody still stands at lock `{name}`"));
            }
        }
        let (waiting, idle) = (self.objects.waiting(), self.objects.idle());
        if waiting > 0 || idle != self.objects.len() || idle != self.alive.total() as usize {
            self.watch.broken(|| {
                let (len, alive) = (self.objects.len(), self.alive.total());
                format!("{waiting} wait for objects; of {len} {idle} are idle, {alive} exist")
            });
        }
        self.objects.close();
        if self.alive.total() > 0 {
            let left = self.alive.total();
            self.watch
                .broken(|| format!("{left} objects have outlived their pool"));
        }
    }

    async fn share(&self, ask: Ask) {
        let client = self.next_client.get();
        self.next_client.set(client + 1);
        match ask.kind {
            0 => self.lock(client, LockOptions::new(), &ask).await,
            1 => {
                let options = LockOptions::new().timeout(ask.limit);
                self.lock(client, options, &ask).await;
            }
            2 => self.lock_twice(client, &ask).await,
            3 => {
                let options = LockOptions::new().timeout(ask.limit);
                if let Ok(guard) = self.locks.reserve(&ask.wanted, options).await {
                    let inside = self.inside.enter(client, &ask.wanted);
                    nap(&self.runtime, ask.micros).await;
                    drop((inside, guard));
                }
            }
            4 => {
                if let Some(guard) = self.locks.try_acquire(&ask.wanted, LockOptions::new()) {
                    let inside = self.inside.enter(client, &ask.wanted);
                    nap(&self.runtime, ask.micros).await;
                    drop((inside, guard));
                }
            }
            _ => self.use_an_object(&ask).await,
        }
    }

    async fn lock(&self, client: u64, options: LockOptions, ask: &Ask) {
        match self.locks.acquire(&ask.wanted, options).await {
            Ok(guard) => {
                let inside = self.inside.enter(client, &ask.wanted);
                nap(&self.runtime, ask.micros).await;
                drop((inside, guard));
            }
            // Those who name no owner take all they want in one order: a circle needs somebody else.
            Err(LockError::Deadlock { chain, .. }) if chain.iter().all(|step| step.owner.is_none()) => self
                .watch
                .broken(|| "a deadlock among those who wait in one order".to_owned()),
            Err(_) => {}
        }
    }

    // In any order, and for as long as it takes: who closes a circle is told, so that nobody hangs.
    async fn lock_twice(&self, client: u64, ask: &Ask) {
        let options = LockOptions::new().owner(Owner::new(&self.host)).no_timeout();
        let Ok(first) = self.locks.acquire(&ask.wanted, options).await else {
            return;
        };
        let inside = self.inside.enter(client, &ask.wanted);
        nap(&self.runtime, ask.micros).await;
        match self.locks.acquire(&ask.then, options).await {
            Ok(second) => {
                let both = self.inside.enter(client, &ask.then);
                nap(&self.runtime, ask.micros).await;
                drop((both, second));
            }
            Err(LockError::Deadlock { chain, .. }) if chain.len() > 1 => {}
            Err(error) => self
                .watch
                .broken(|| format!("an owner without a time-out is told {error}")),
        }
        drop((inside, first));
    }

    async fn use_an_object(&self, ask: &Ask) {
        let asked = if ask.kind == 5 {
            self.objects.acquire_within(ask.key, ask.limit).await
        } else {
            self.objects.acquire(ask.key).await
        };
        let Ok(mut one) = asked else {
            return;
        };
        if one.key != ask.key || one.in_use {
            let (key, in_use) = (one.key, one.in_use);
            self.watch
                .broken(|| format!("asked for key {}, got {key}, in use: {in_use}", ask.key));
        }
        one.in_use = true;
        one.uses += 1;
        nap(&self.runtime, ask.micros).await;
        if ask.micros.as_millis().is_multiple_of(7) {
            one.mark_non_reusable();
        }
    }
}

/// What a client will do, decided before it does.
struct Ask {
    kind: u64,
    key: u64,
    wanted: BTreeSet<&'static str>,
    then: BTreeSet<&'static str>,
    limit: Duration,
    micros: Duration,
}

fn some_names(random: &mut Random) -> BTreeSet<&'static str> {
    (0..1 + random.up_to(2))
        .map(|_| NAMES[random.up_to(3) as usize])
        .collect()
}
