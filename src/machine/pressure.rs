//! How hard the host itself is pressed, from whatever it can measure.
//!
//! No web platform tells its load. What can be had is how late the event loop runs, how full the wasm memory and the
//! heap are, and here and there a level that the system itself gives (Compute Pressure). A source that a platform
//! does not have, or lies about, is *unknown*: it neither presses nor reassures.

use super::config::ConfigError;
use super::steady::Steady;
use super::time::{Instant, micros};
use core::time::Duration;
use std::collections::VecDeque;

/// How hard it is, in the words of the W3C's Compute Pressure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub enum PressureLevel {
    /// Nothing is known: no source, or none that tells the truth here.
    #[default]
    Unknown = 0,
    /// At ease.
    Nominal = 1,
    /// Busy, with room left.
    Fair = 2,
    /// Too busy to take on more.
    Serious = 3,
    /// About to fail.
    Critical = 4,
}

/// What a host measured. `None` is what it cannot.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct PressureReading {
    /// How much later than asked for the event loop came round. Zero counts as unknown until it was once above: a
    /// clock that stands still measures nothing else.
    pub loop_lag: Option<Duration>,
    /// The share of wasm memory in use; zero is unknown.
    pub memory: Option<f64>,
    /// The share of the heap in use; zero is unknown.
    pub heap: Option<f64>,
    /// What the system itself says.
    pub external: Option<PressureLevel>,
}

/// One sample of the history.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PressureSample {
    /// When it was taken.
    pub at: Instant,
    /// The level that held from then on.
    pub level: PressureLevel,
    /// The share of time that the event loop seems busy.
    pub busy: Option<f64>,
    /// The share of wasm memory in use.
    pub memory: Option<f64>,
    /// The share of the heap in use.
    pub heap: Option<f64>,
}

/// A change of level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PressureChange {
    /// The level before.
    pub from: PressureLevel,
    /// The level now.
    pub to: PressureLevel,
}

/// Memory that ran nearly full.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PressureAlert {
    /// When it was noticed.
    pub at: Instant,
    /// Which memory.
    pub source: PressureSource,
    /// The share in use.
    pub share: f64,
}

/// What can raise an alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PressureSource {
    /// The wasm memory.
    Memory,
    /// The heap.
    Heap,
}

/// What a sample brought.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Pressed {
    /// The level changed.
    pub change: Option<PressureChange>,
    /// The wasm memory has just become nearly full.
    pub memory_alert: Option<PressureAlert>,
    /// The heap has just become nearly full.
    pub heap_alert: Option<PressureAlert>,
}

/// Options of a [`Pressure`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PressureConfig {
    interval: Duration,
    levels: [f64; 3],
    alert_above: f64,
}

impl Default for PressureConfig {
    /// A sample a second; fair from 60 %, serious from 80 %, critical from 90 %; alerts above 90 % memory.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            levels: [0.6, 0.8, 0.9],
            alert_above: 0.9,
        }
    }
}

impl PressureConfig {
    /// The time between two samples.
    ///
    /// # Errors
    /// One sentence if it is nothing.
    pub fn interval(mut self, interval: Duration) -> Result<Self, ConfigError> {
        if interval.is_zero() {
            return Err(ConfigError::duration("interval", "longer than nothing", interval));
        }
        self.interval = interval;
        Ok(self)
    }

    /// The time between two samples.
    pub(crate) const fn every(&self) -> Duration {
        self.interval
    }

    /// The shares from which pressure is fair, serious and critical.
    ///
    /// # Errors
    /// One sentence if they do not rise from above 0 to at most 1.
    pub fn levels(mut self, fair: f64, serious: f64, critical: f64) -> Result<Self, ConfigError> {
        let expected = "a number above 0 and below `serious`";
        let fair_fits = fair > 0.0 && fair < serious;
        if !fair_fits {
            return Err(ConfigError::number("fair", expected, fair));
        }
        let serious_fits = serious < critical;
        if !serious_fits {
            return Err(ConfigError::number("serious", "below `critical`", serious));
        }
        if critical > 1.0 {
            return Err(ConfigError::number("critical", "at most 1", critical));
        }
        self.levels = [fair, serious, critical];
        Ok(self)
    }

    /// The share of memory in use above which an alert is raised.
    ///
    /// # Errors
    /// One sentence if it is not above 0 and below 1.
    pub fn alert_above(mut self, share: f64) -> Result<Self, ConfigError> {
        if !(share > 0.0 && share < 1.0) {
            let expected = "a number above 0 and below 1";
            return Err(ConfigError::number("alertAbove", expected, share));
        }
        self.alert_above = share;
        Ok(self)
    }
}

/// The levels of one host over time.
///
/// The level is that of the hardest pressed source. It rises at once, and falls only when two samples in a row are
/// 5 % below where it rose: a level that flickers would throttle and release all the time.
#[derive(Clone, Debug)]
pub struct Pressure {
    config: PressureConfig,
    level: PressureLevel,
    calm: u32,
    lag_moves: bool,
    nearly_full: [bool; 2],
    history: VecDeque<PressureSample>,
    alerts: VecDeque<PressureAlert>,
    clock: Steady,
    sampled_at: Option<u64>,
}

/// How many samples, and how many alerts, are remembered.
const HISTORY: usize = 100;
const HYSTERESIS: f64 = 0.05;
const CALM: u32 = 2;
/// What the W3C calls a long task.
const LONG_TASK: Duration = Duration::from_millis(50);

impl Pressure {
    /// Nothing is known yet.
    pub fn new(config: PressureConfig) -> Self {
        Self {
            clock: Steady::new(config.interval),
            config,
            level: PressureLevel::Unknown,
            calm: 0,
            lag_moves: false,
            nearly_full: [false; 2],
            history: VecDeque::new(),
            alerts: VecDeque::new(),
            sampled_at: None,
        }
    }

    /// Takes what the host measured.
    pub fn sample(&mut self, now: Instant, reading: PressureReading) -> Pressed {
        self.sampled_at = Some(self.clock.read(now));
        self.lag_moves |= reading.loop_lag.is_some_and(|lag| !lag.is_zero());
        let busy = reading.loop_lag.filter(|_| self.lag_moves).map(busy);
        let memory = reading.memory.and_then(share);
        let heap = reading.heap.and_then(share);

        let change = self.settle([busy, memory, heap], reading.external);
        let sample = PressureSample {
            at: now,
            level: self.level,
            busy,
            memory,
            heap,
        };
        remember(&mut self.history, sample);
        Pressed {
            change,
            memory_alert: self.watch(now, PressureSource::Memory, memory),
            heap_alert: self.watch(now, PressureSource::Heap, heap),
        }
    }

    /// The level that holds.
    pub const fn level(&self) -> PressureLevel {
        self.level
    }

    /// Whether to take on less: from serious on. What is unknown is no reason to.
    pub fn should_throttle(&self) -> bool {
        self.level >= PressureLevel::Serious
    }

    /// The last sample.
    pub fn latest(&self) -> Option<&PressureSample> {
        self.history.back()
    }

    /// The last 100 samples, oldest first.
    pub fn history(&self) -> impl ExactSizeIterator<Item = &PressureSample> {
        self.history.iter()
    }

    /// The last 100 alerts, oldest first.
    pub fn alerts(&self) -> impl ExactSizeIterator<Item = &PressureAlert> {
        self.alerts.iter()
    }

    /// When the next sample is due; at once if there is none.
    pub fn next_deadline(&self) -> Instant {
        match self.sampled_at {
            Some(at) => self
                .clock
                .host_time(at.saturating_add(micros(self.config.interval))),
            None => Instant::ZERO,
        }
    }

    fn settle(
        &mut self,
        shares: [Option<f64>; 3],
        external: Option<PressureLevel>,
    ) -> Option<PressureChange> {
        let external = external.unwrap_or_default();
        let level_above = |margin: f64| {
            let levels = shares.iter().flatten().map(|share| self.level_of(share + margin));
            levels.fold(external, PressureLevel::max)
        };
        let (up, down) = (level_above(0.0), level_above(HYSTERESIS));
        let from = self.level;
        let to = if up > from || up == PressureLevel::Unknown || from == PressureLevel::Unknown {
            self.calm = 0;
            up
        } else if down < from {
            self.calm += 1;
            if self.calm < CALM {
                return None;
            }
            self.calm = 0;
            down
        } else {
            self.calm = 0;
            from
        };
        self.level = to;
        (from != to).then_some(PressureChange { from, to })
    }

    fn level_of(&self, share: f64) -> PressureLevel {
        let [fair, serious, critical] = self.config.levels;
        if share >= critical {
            PressureLevel::Critical
        } else if share >= serious {
            PressureLevel::Serious
        } else if share >= fair {
            PressureLevel::Fair
        } else {
            PressureLevel::Nominal
        }
    }

    /// One alert each time a memory becomes nearly full; the next only after it was not for once.
    fn watch(&mut self, at: Instant, source: PressureSource, share: Option<f64>) -> Option<PressureAlert> {
        let share = share?;
        let nearly_full = &mut self.nearly_full[source as usize];
        let was = *nearly_full;
        let margin = if was { HYSTERESIS } else { 0.0 };
        *nearly_full = share > self.config.alert_above - margin;
        if was || !*nearly_full {
            return None;
        }
        let alert = PressureAlert { at, source, share };
        remember(&mut self.alerts, alert);
        Some(alert)
    }
}

/// How busy a loop is that runs so late: the share of time at which a queue of 50 ms tasks makes a task wait that long
/// (an M/M/1 queue waits service × ρ ÷ (1 − ρ)). 50 ms are 50 %, 200 ms 80 %, 450 ms 90 %.
fn busy(lag: Duration) -> f64 {
    let (lag, task) = (lag.as_secs_f64(), LONG_TASK.as_secs_f64());
    lag / (lag + task)
}

/// A share that can be true: above nothing. What is above all is all.
fn share(share: f64) -> Option<f64> {
    (share > 0.0).then(|| share.min(1.0))
}

fn remember<T>(past: &mut VecDeque<T>, item: T) {
    if past.len() == HISTORY {
        past.pop_front();
    }
    past.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use PressureLevel::{Critical, Fair, Nominal, Serious, Unknown};
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn at(second: u64) -> Instant {
        Instant::from_micros(second * 1_000_000)
    }

    fn pressure() -> Pressure {
        Pressure::new(PressureConfig::default())
    }

    fn memory(share: f64) -> PressureReading {
        PressureReading {
            memory: Some(share),
            ..PressureReading::default()
        }
    }

    fn lag(millis: u64) -> PressureReading {
        PressureReading {
            loop_lag: Some(Duration::from_millis(millis)),
            ..PressureReading::default()
        }
    }

    fn levels(readings: impl IntoIterator<Item = PressureReading>) -> Vec<PressureLevel> {
        let mut pressure = pressure();
        let levels = readings.into_iter().zip(1..).map(|(reading, second)| {
            pressure.sample(at(second), reading);
            pressure.level()
        });
        levels.collect()
    }

    #[test]
    fn without_a_source_it_is_unknown_and_does_not_throttle() {
        let mut pressure = pressure();
        assert_eq!(
            pressure.sample(at(1), PressureReading::default()),
            Pressed::default()
        );
        assert_eq!((pressure.level(), pressure.should_throttle()), (Unknown, false));
    }

    #[test]
    fn zeros_of_a_platform_that_measures_nothing_are_unknown() {
        let zeros = PressureReading {
            loop_lag: Some(Duration::ZERO),
            memory: Some(0.0),
            heap: Some(f64::NAN),
            external: None,
        };
        assert_eq!(levels([zeros, zeros]), [Unknown, Unknown]);
        let mut pressure = pressure();
        pressure.sample(at(1), zeros);
        let latest = pressure.latest().unwrap();
        assert_eq!((latest.busy, latest.memory, latest.heap), (None, None, None));
    }

    #[test]
    fn a_lag_of_zero_is_believed_once_the_clock_was_seen_to_move() {
        assert_eq!(levels([lag(0), lag(1), lag(0)]), [Unknown, Nominal, Nominal]);
    }

    #[test]
    fn lag_maps_to_busy_as_documented() {
        for (millis, share) in [(50, 0.5), (200, 0.8), (450, 0.9)] {
            assert!((busy(Duration::from_millis(millis)) - share).abs() < 1e-9);
        }
        assert_eq!(
            levels([lag(1), lag(76), lag(201), lag(451)]),
            [Nominal, Fair, Serious, Critical]
        );
    }

    #[test]
    fn the_hardest_pressed_source_decides() {
        let reading = PressureReading {
            heap: Some(0.85),
            ..lag(1)
        };
        let external = PressureReading {
            external: Some(Critical),
            ..memory(0.1)
        };
        assert_eq!(levels([reading, external]), [Serious, Critical]);
    }

    #[test]
    fn it_throttles_from_serious_on() {
        let mut pressure = pressure();
        for (share, throttles) in [(0.79, false), (0.8, true), (0.95, true)] {
            pressure.sample(at(1), memory(share));
            assert_eq!(pressure.should_throttle(), throttles);
        }
    }

    #[test]
    fn it_rises_at_once_and_falls_after_two_samples_clearly_below() {
        let shares = [0.5, 0.8, 0.76, 0.76, 0.74, 0.76, 0.74, 0.74];
        let expected = [
            Nominal, Serious, Serious, Serious, Serious, Serious, Serious, Fair,
        ];
        assert_eq!(levels(shares.map(memory)), expected);
    }

    #[test]
    fn each_fall_takes_two_samples_of_its_own() {
        let shares = [0.95, 0.82, 0.82, 0.5, 0.5, 0.6, 0.59];
        let expected = [Critical, Critical, Serious, Serious, Nominal, Fair, Fair];
        assert_eq!(levels(shares.map(memory)), expected);
    }

    #[test]
    fn changes_are_told_once() {
        let mut pressure = pressure();
        let change = |from, to| Some(PressureChange { from, to });
        assert_eq!(
            pressure.sample(at(1), memory(0.5)).change,
            change(Unknown, Nominal)
        );
        assert_eq!(pressure.sample(at(2), memory(0.5)).change, None);
        assert_eq!(
            pressure.sample(at(3), memory(0.95)).change,
            change(Nominal, Critical)
        );
        assert_eq!(
            pressure.sample(at(4), PressureReading::default()).change,
            change(Critical, Unknown)
        );
    }

    #[test]
    fn nearly_full_memory_raises_one_alert_each_time() {
        let mut pressure = pressure();
        let shares = [0.9, 0.91, 0.99, 0.86, 0.91, 0.85, 0.91];
        let alerts = shares.map(|share| pressure.sample(at(1), memory(share)).memory_alert.is_some());
        assert_eq!(alerts, [false, true, false, false, false, false, true]);
        assert_eq!(pressure.alerts().len(), 2);
        let heap = PressureReading {
            heap: Some(2.0),
            ..PressureReading::default()
        };
        let alert = pressure.sample(at(2), heap).heap_alert.unwrap();
        assert_eq!(
            (alert.source, alert.share, alert.at),
            (PressureSource::Heap, 1.0, at(2))
        );
    }

    #[test]
    fn a_hundred_samples_are_remembered() {
        let mut pressure = pressure();
        for second in 1..=250 {
            pressure.sample(at(second), memory(0.5));
        }
        assert_eq!(pressure.history().len(), 100);
        assert_eq!(pressure.history().next().map(|sample| sample.at), Some(at(151)));
    }

    #[test]
    fn a_sample_is_due_every_second_and_at_once_at_first() {
        let mut pressure = pressure();
        assert_eq!(pressure.next_deadline(), Instant::ZERO);
        pressure.sample(at(5), memory(0.5));
        assert_eq!(pressure.next_deadline(), at(6));
    }

    #[test]
    fn options_that_cannot_work_are_refused_in_a_sentence() {
        let config = PressureConfig::default;
        for (option, result) in [
            ("interval", config().interval(Duration::ZERO)),
            ("fair", config().levels(0.0, 0.5, 0.9)),
            ("fair", config().levels(0.6, 0.5, 0.9)),
            ("fair", config().levels(0.6, f64::NAN, 0.9)),
            ("serious", config().levels(0.6, 0.9, 0.9)),
            ("serious", config().levels(0.6, 0.9, f64::NAN)),
            ("critical", config().levels(0.6, 0.8, 1.1)),
            ("alertAbove", config().alert_above(0.0)),
            ("alertAbove", config().alert_above(1.0)),
            ("alertAbove", config().alert_above(f64::NAN)),
        ] {
            let sentence = result.unwrap_err().to_string();
            assert!(
                sentence.starts_with(&format!("Expected `{option}` to be ")),
                "{sentence}"
            );
        }
        let config = config()
            .levels(0.1, 0.2, 0.3)
            .unwrap()
            .interval(Duration::from_secs(5))
            .unwrap();
        let mut pressure = Pressure::new(config.alert_above(0.2).unwrap());
        let pressed = pressure.sample(at(1), memory(0.25));
        assert_eq!(
            (pressure.level(), pressed.memory_alert.is_some()),
            (Serious, true)
        );
        assert_eq!(pressure.next_deadline(), at(6));
    }

    proptest! {
        #[test]
        fn the_level_is_never_below_what_the_sample_says_and_falls_within_two(
            shares in prop::collection::vec(0.01f64..1.0, 1..100),
        ) {
            let mut pressure = pressure();
            for (second, share) in (1..).zip(&shares) {
                pressure.sample(at(second), memory(*share));
                prop_assert!(pressure.level() >= pressure.level_of(*share));
            }
            let last = shares[shares.len() - 1];
            let rests_at = pressure.level_of(last + HYSTERESIS);
            pressure.sample(at(200), memory(last));
            pressure.sample(at(201), memory(last));
            prop_assert!(pressure.level() <= rests_at);
        }
    }
}
