//! How hard the host itself is pressed, and who heeds it.

use super::adaptive_limit::AdaptiveLimit;
use super::host::Host;
use super::pool::Pool;
use super::readings::Reading;
use super::runtime::Runtime;
use super::subscription::Subscription;
use super::turn::Room;
use crate::machine::adaptive::Strategy;
use crate::machine::config::ConfigError;
use crate::machine::pressure::{
    Pressed, Pressure, PressureAlert, PressureConfig, PressureLevel, PressureReading, PressureSample,
};
use crate::machine::time::Instant;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// How hard this host is pressed, from whatever it can measure. The hardest pressed source decides; what is not known
/// neither presses nor reassures.
///
/// Its sources are the wasm memory (in wasm), how late timers come while somebody listens (an event loop that is busy comes
/// round late), and those that are added. A sample is due once a second: taken when somebody asks, or by a task of its own
/// while somebody [listens](Self::on_sample) or [heeds](Self::pool_heeds) it.
///
/// Clones are handles of the same monitor.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use tidegate::{PressureConfig, PressureLevel, PressureMonitor, PressureReading, VirtualRuntime};
///
/// let share = Rc::new(Cell::new(0.5));
/// let heap = Rc::clone(&share);
/// let read = move || PressureReading { heap: Some(heap.get()), ..PressureReading::default() };
/// let monitor = PressureMonitor::new(&VirtualRuntime::new(), PressureConfig::default()).source(read);
/// assert_eq!((monitor.level(), monitor.should_throttle()), (PressureLevel::Nominal, false));
/// share.set(0.85);
/// assert_eq!((monitor.sample().level, monitor.should_throttle()), (PressureLevel::Serious, true));
/// ```
pub struct PressureMonitor<R: Runtime>(Rc<Shared<R>>);

type Source = Box<dyn FnMut() -> PressureReading>;
type Listener = Rc<dyn Fn(&PressureSample, &Pressed)>;

struct Shared<R: Runtime> {
    runtime: R,
    machine: RefCell<Pressure>,
    interval: Duration,
    sources: RefCell<Vec<Source>>,
    listeners: RefCell<BTreeMap<u64, Listener>>,
    numbers: Cell<u64>,
    watched: Cell<bool>,
    // How late timers have come since the last sample, all together, and how many.
    late: Cell<(Duration, u32)>,
    counts: Rc<Counts>,
    room: RefCell<Option<Rc<Room<R>>>>,
}

#[derive(Default)]
struct Counts {
    level: Cell<PressureLevel>,
    samples: Cell<u64>,
    changes: Cell<u64>,
    alerts: Cell<u64>,
}

/// So many timers between two samples say how late the loop comes round.
const ASKS: u32 = 10;
/// Nobody blocks a loop for so long: the machine slept.
const SLEPT: Duration = Duration::from_secs(60);

impl<R: Runtime> PressureMonitor<R> {
    /// A monitor by the clock of `runtime`. It measures nothing before somebody asks.
    pub fn new(runtime: &R, config: PressureConfig) -> Self {
        let monitor = Self(Rc::new(Shared {
            runtime: runtime.clone(),
            machine: RefCell::new(Pressure::new(config)),
            interval: config.every(),
            sources: RefCell::default(),
            listeners: RefCell::default(),
            numbers: Cell::new(0),
            watched: Cell::new(false),
            late: Cell::default(),
            counts: Rc::default(),
            room: RefCell::new(None),
        }));
        #[cfg(target_arch = "wasm32")]
        let monitor = monitor.source(wasm_memory);
        monitor
    }

    /// Asks `read` too with each sample. What it leaves out is unknown.
    pub fn source(self, read: impl FnMut() -> PressureReading + 'static) -> Self {
        // Only a source that adds one finds the list borrowed.
        if let Ok(mut sources) = self.0.sources.try_borrow_mut() {
            sources.push(Box::new(read));
        }
        self
    }

    /// Has `host` know it by a name, so that what it counts is among the metrics.
    ///
    /// # Errors
    ///
    /// When the host knows more monitors than there are numbers for.
    pub fn known_as(self, host: &Host<R>, name: impl Into<Rc<str>>) -> Result<Self, ConfigError> {
        let counts = Rc::clone(&self.0.counts);
        let count = move || Some(("pressure", counts.readings()));
        let room = Room::counted(host, "pressure", name.into(), count)?;
        self.0.room.replace(Some(room));
        Ok(self)
    }

    /// How hard it is.
    pub fn level(&self) -> PressureLevel {
        self.0.look().level()
    }

    /// Whether to take on less: from serious on. What is unknown is no reason to.
    pub fn should_throttle(&self) -> bool {
        self.0.look().should_throttle()
    }

    /// How many workers this machine bears by a strategy, with so many cores (4 if unknown); the conservative one above 80 %
    /// busy or memory.
    pub fn concurrency(&self, strategy: Strategy, cores: Option<u32>) -> u32 {
        let machine = self.0.look();
        let (busy, memory) = machine.latest().map_or((None, None), |sample| {
            let fuller = [sample.memory, sample.heap]
                .into_iter()
                .flatten()
                .reduce(f64::max);
            (sample.busy, fuller)
        });
        strategy.under(busy, memory).concurrency(cores)
    }

    /// The last 100 samples, oldest first.
    pub fn history(&self) -> Vec<PressureSample> {
        self.0.look().history().copied().collect()
    }

    /// The last 100 alerts, oldest first: memory that ran nearly full.
    pub fn alerts(&self) -> Vec<PressureAlert> {
        self.0.look().alerts().copied().collect()
    }

    /// Takes a sample now, due or not.
    pub fn sample(&self) -> PressureSample {
        self.0.take();
        let machine = self.0.machine.borrow();
        machine.latest().copied().unwrap_or(PressureSample {
            at: Instant::ZERO,
            level: PressureLevel::Unknown,
            busy: None,
            memory: None,
            heap: None,
        })
    }

    /// Calls `listener` with each sample and what it brought. While anybody listens, samples are taken by themselves and
    /// the lateness of timers is measured.
    pub fn on_sample(&self, listener: impl Fn(&PressureSample, &Pressed) + 'static) -> Subscription {
        let shared = &self.0;
        let number = shared.numbers.get() + 1;
        shared.numbers.set(number);
        shared.listeners.borrow_mut().insert(number, Rc::new(listener));
        if !shared.watched.replace(true) {
            let watch = watch(shared.runtime.clone(), Rc::downgrade(shared));
            shared.runtime.spawn(watch);
        }
        // The listener may hold on to this monitor: who unsubscribes must not.
        let shared = Rc::downgrade(shared);
        Subscription::new(move || {
            let removed = shared
                .upgrade()
                .and_then(|shared| shared.listeners.borrow_mut().remove(&number));
            drop(removed);
        })
    }

    /// Holds an adaptive pool at what the conservative strategy says of so many cores, while the monitor throttles; until the
    /// subscription is dropped.
    pub fn pool_heeds(&self, pool: &Pool<R>, cores: Option<u32>) -> Subscription {
        let pool = pool.clone();
        self.on_throttle(move |throttled| pool.hold_at(throttled.then(|| ceiling(cores))))
    }

    /// Holds an adaptive limit at what the conservative strategy says of so many cores, while the monitor throttles; until
    /// the subscription is dropped.
    pub fn limit_heeds(&self, limit: &AdaptiveLimit<R>, cores: Option<u32>) -> Subscription {
        let limit = limit.clone();
        self.on_throttle(move |throttled| {
            limit.hold_at(throttled.then(|| ceiling(cores)));
        })
    }

    fn on_throttle(&self, tell: impl Fn(bool) + 'static) -> Subscription {
        let before = Cell::new(self.should_throttle());
        tell(before.get());
        self.on_sample(move |sample, _| {
            let throttled = sample.level >= PressureLevel::Serious;
            if before.replace(throttled) != throttled {
                tell(throttled);
            }
        })
    }
}

fn ceiling(cores: Option<u32>) -> u32 {
    Strategy::Conservative.concurrency(cores)
}

impl<R: Runtime> Shared<R> {
    /// What holds now: a sample that is due is taken first.
    fn look(&self) -> std::cell::Ref<'_, Pressure> {
        let due = self.machine.borrow().next_deadline();
        if self.runtime.now() >= due {
            self.take();
        }
        self.machine.borrow()
    }

    fn take(&self) {
        // A source that asks how hard it is hears what held before.
        let Ok(mut sources) = self.sources.try_borrow_mut() else {
            return;
        };
        let (late, asked) = self.late.take();
        let mut reading = PressureReading {
            loop_lag: late.checked_div(asked),
            ..PressureReading::default()
        };
        for source in &mut *sources {
            reading = hardest(reading, source());
        }
        drop(sources);
        let (pressed, sample) = {
            let mut machine = self.machine.borrow_mut();
            let pressed = machine.sample(self.runtime.now(), reading);
            (pressed, machine.latest().copied())
        };
        let Some(sample) = sample else { return };
        self.counts.note(&pressed, sample.level);
        let listeners: Vec<_> = self.listeners.borrow().values().cloned().collect();
        for listener in listeners {
            listener(&sample, &pressed);
        }
    }
}

/// Of each number the highest: the hardest pressed decides.
fn hardest(one: PressureReading, other: PressureReading) -> PressureReading {
    let share = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    };
    PressureReading {
        loop_lag: one.loop_lag.max(other.loop_lag),
        memory: share(one.memory, other.memory),
        heap: share(one.heap, other.heap),
        external: one.external.max(other.external),
    }
}

/// Measures how late timers come, and takes the samples that are due, while anybody listens.
async fn watch<R: Runtime>(runtime: R, shared: Weak<Shared<R>>) {
    loop {
        let Some(step) = shared.upgrade().map(|shared| shared.interval / ASKS) else {
            return;
        };
        let due = runtime.now() + step;
        runtime.sleep_until(due).await;
        let Some(shared) = shared.upgrade() else { return };
        if shared.listeners.borrow().is_empty() {
            shared.watched.set(false);
            return;
        }
        let lateness = runtime.now() - due;
        if lateness < SLEPT {
            let (late, asked) = shared.late.get();
            shared.late.set((late + lateness, asked + 1));
        }
        drop(shared.look());
    }
}

/// The share of what a wasm memory can grow to: it never shrinks, so this tells of the worst there was.
#[cfg(target_arch = "wasm32")]
fn wasm_memory() -> PressureReading {
    const MOST_PAGES: f64 = 65_536.0;
    PressureReading {
        memory: Some(core::arch::wasm32::memory_size(0) as f64 / MOST_PAGES),
        ..PressureReading::default()
    }
}

impl Counts {
    fn note(&self, pressed: &Pressed, level: PressureLevel) {
        self.level.set(level);
        self.samples.set(self.samples.get() + 1);
        self.changes
            .set(self.changes.get() + u64::from(pressed.change.is_some()));
        let alerts = [pressed.memory_alert, pressed.heap_alert];
        let raised = alerts.iter().flatten().count() as u64;
        self.alerts.set(self.alerts.get() + raised);
    }

    fn readings(&self) -> Vec<Reading> {
        let level = match self.level.get() {
            PressureLevel::Unknown => "unknown",
            PressureLevel::Nominal => "nominal",
            PressureLevel::Fair => "fair",
            PressureLevel::Serious => "serious",
            PressureLevel::Critical => "critical",
        };
        vec![
            Reading {
                label: Some(("level", level)),
                ..Reading::now("level", 1)
            },
            Reading::ever("samples", self.samples.get()),
            Reading::ever("changes", self.changes.get()),
            Reading::ever("alerts", self.alerts.get()),
        ]
    }
}

impl<R: Runtime> Clone for PressureMonitor<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime> fmt::Debug for PressureMonitor<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PressureMonitor")
            .field("level", &self.0.counts.level.get())
            .finish_non_exhaustive()
    }
}
