//! A circuit breaker: stops calling what fails, and finds out gently whether it works again.
//!
//! Michael Nygard's pattern ("Release It!", 2007) with what its users came to miss: several probes with a threshold,
//! a ramp after closing instead of a stampede, and probes that are never heard of again but hold nothing up.

use super::gate::{Outcome, Pass};
use super::random::Random;
use super::steady::Steady;
use super::time::{Instant, micros};
use super::wakes::Refusal;
use core::time::Duration;
use tally::Tally;

mod config;
mod tally;

pub use config::BreakerConfig;
pub use tally::Window;

/// What a breaker does with calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum BreakerState {
    /// All pass, or a growing share of them while it ramps up again.
    Closed = 0,
    /// None pass until its time is over.
    Open = 1,
    /// A few probes pass, to find out.
    HalfOpen = 2,
    /// None pass until somebody lifts it.
    Isolated = 3,
}

/// A change of state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transition {
    /// The state before.
    pub from: BreakerState,
    /// The state now.
    pub to: BreakerState,
}

/// What a breaker has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BreakerCounts {
    /// Calls that went well.
    pub successes: u64,
    /// Calls that failed, or that were too slow for a probe.
    pub failures: u64,
    /// Calls that say nothing about the target, and those from before the last change of state.
    pub ignored: u64,
    /// Calls that were turned away.
    pub refused: u64,
    /// How often it opened.
    pub opened: u64,
}

/// What outlives a breaker: plain numbers, with times as durations, since clocks do not outlive it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BreakerSnapshot {
    /// Its state.
    pub state: BreakerState,
    /// How long it would have stayed open from then on; nothing unless open.
    pub open_for: Duration,
    /// Failures in a row; 0 unless closed.
    pub consecutive: u32,
    /// How often it has opened since it last recovered.
    pub openings: u32,
}

/// The breaker. Time comes with the calls: it needs no timer to become half-open.
///
/// What is admitted gets a [`Pass`], which comes back with the outcome. Outcomes of calls that were admitted before
/// the last change of state do not count: they tell of another time.
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    clock: Steady,
    mode: Mode,
    era: u32,
    openings: u32,
    last_open: Option<Duration>,
    counts: BreakerCounts,
}

#[derive(Clone, Debug)]
enum Mode {
    Closed {
        consecutive: u32,
        tally: Option<Tally>,
        ramp: Option<Ramp>,
    },
    Open {
        until: u64,
    },
    HalfOpen(Trial),
    Isolated {
        holds: u32,
    },
}

/// The way back after closing. Shares add up until they make a whole call, which spreads those that pass evenly and
/// needs no dice.
#[derive(Clone, Debug)]
struct Ramp {
    began: u64,
    credit: u64,
}

#[derive(Clone, Debug, Default)]
struct Trial {
    // Oldest first, so the first to expire is in front.
    out: Vec<Probe>,
    numbered: u32,
    successes: u32,
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u32,
    expires: u64,
}

// A pass is 22 bits of era and 10 of probe, 0 being no probe.
const PROBE_BITS: u32 = 10;
const PROBES: u32 = (1 << PROBE_BITS) - 1;
const ERAS: u32 = (1 << (32 - PROBE_BITS)) - 1;

const WHOLE: u64 = 1 << 20;

impl Breaker {
    /// A closed breaker.
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            clock: Steady::new(config.first_open()),
            mode: closed(&config, None),
            config,
            era: 1,
            openings: 0,
            last_open: None,
            counts: BreakerCounts::default(),
        }
    }

    /// The breaker that a snapshot tells of. One that was half-open starts with its probes anew.
    pub fn restore(config: BreakerConfig, snapshot: BreakerSnapshot, now: Instant) -> Self {
        let mut breaker = Self::new(config);
        let now = breaker.clock.read(now);
        breaker.openings = snapshot.openings;
        breaker.mode = match snapshot.state {
            BreakerState::Closed => {
                let mut mode = closed(&config, None);
                if let Mode::Closed { consecutive, .. } = &mut mode {
                    *consecutive = snapshot.consecutive;
                }
                mode
            }
            BreakerState::Open => Mode::Open {
                until: now.saturating_add(micros(snapshot.open_for)),
            },
            BreakerState::HalfOpen => Mode::HalfOpen(Trial::default()),
            BreakerState::Isolated => Mode::Isolated { holds: 1 },
        };
        breaker
    }

    /// Why a call that arrives now would be turned away. Nothing changes but what time brings; during the ramp
    /// nobody is turned away on arrival, only by [`admit`](Self::admit).
    pub fn refuse(&mut self, now: Instant) -> Option<Refusal> {
        self.on_deadline(now);
        let retry_at = match &self.mode {
            Mode::Closed { .. } => return None,
            Mode::HalfOpen(trial) if trial.has_room(&self.config) => return None,
            Mode::HalfOpen(trial) => trial.out.first().map(|probe| self.clock.host_time(probe.expires)),
            Mode::Open { until } => Some(self.clock.host_time(*until)),
            Mode::Isolated { .. } => None,
        };
        Some(Refusal::BrokenCircuit { retry_at })
    }

    /// Counts a call that was turned away on arrival, as [`refuse`](Self::refuse) said it would be.
    pub const fn turned_away(&mut self) {
        self.counts.refused += 1;
    }

    /// Lets a call begin, as a probe if half-open.
    ///
    /// # Errors
    /// Why not, and when to come back.
    pub fn admit(&mut self, now: Instant) -> Result<Pass, Refusal> {
        if let Some(refusal) = self.refuse(now) {
            self.counts.refused += 1;
            return Err(refusal);
        }
        let now = self.clock.elapsed();
        let mut probe = 0;
        match &mut self.mode {
            Mode::Closed { ramp: Some(ramp), .. } => {
                if !ramp.admits(now, self.config.ramp) {
                    self.counts.refused += 1;
                    let next = now.saturating_add(ramp.until_next(now, self.config.ramp));
                    let retry_at = Some(self.clock.host_time(next));
                    return Err(Refusal::BrokenCircuit { retry_at });
                }
            }
            Mode::HalfOpen(trial) => {
                let expires = now.saturating_add(micros(self.config.probe_patience()));
                probe = trial.send(expires);
            }
            Mode::Closed { .. } | Mode::Open { .. } | Mode::Isolated { .. } => {}
        }
        Ok(Pass((self.era << PROBE_BITS) | probe))
    }

    /// Judges a call by how it ended and how long it took. [`Outcome::Ignored`] and [`Outcome::NeverStarted`] give a
    /// probe's permit back unjudged.
    pub fn record(
        &mut self,
        now: Instant,
        pass: Pass,
        outcome: Outcome,
        took: Duration,
        random: &mut Random,
    ) -> Option<Transition> {
        // Time first: a probe that comes back after its permit has passed on is not heard.
        let by_time = self.on_deadline(now);
        if pass.0 >> PROBE_BITS != self.era {
            self.counts.ignored += 1;
            return by_time;
        }
        let now = self.clock.elapsed();
        let slow = self.config.slow_rule().is_some_and(|rule| took > rule.over);
        let verdict = match &mut self.mode {
            Mode::Closed {
                consecutive, tally, ..
            } => {
                let failed = match outcome {
                    Outcome::Success => false,
                    Outcome::Failure => true,
                    Outcome::Ignored | Outcome::NeverStarted => {
                        self.counts.ignored += 1;
                        return by_time;
                    }
                };
                *consecutive = if failed { consecutive.saturating_add(1) } else { 0 };
                if let Some(tally) = tally {
                    tally.add(now, failed, slow);
                }
                self.count(failed);
                self.should_open(now).then_some(BreakerState::Open)
            }
            Mode::HalfOpen(trial) => {
                if !trial.returned(pass.0 & PROBES) {
                    self.counts.ignored += 1;
                    return by_time;
                }
                match outcome {
                    Outcome::Success if !slow => {
                        trial.successes += 1;
                        self.counts.successes += 1;
                    }
                    Outcome::Success | Outcome::Failure => {
                        trial.failures += 1;
                        self.counts.failures += 1;
                    }
                    Outcome::Ignored | Outcome::NeverStarted => self.counts.ignored += 1,
                }
                trial.verdict(&self.config)
            }
            Mode::Open { .. } | Mode::Isolated { .. } => {
                self.counts.ignored += 1;
                None
            }
        };
        match verdict {
            Some(BreakerState::Open) => Some(self.open(now, random)),
            Some(_) => Some(self.close(now)),
            None => by_time,
        }
    }

    /// Turns everybody away until it is lifted as often as it was isolated.
    pub fn isolate(&mut self, now: Instant) -> Option<Transition> {
        self.clock.read(now);
        if let Mode::Isolated { holds } = &mut self.mode {
            *holds = holds.saturating_add(1);
            return None;
        }
        Some(self.change(Mode::Isolated { holds: 1 }))
    }

    /// Takes one [`isolate`](Self::isolate) back; the last one closes it.
    pub fn lift(&mut self, now: Instant) -> Option<Transition> {
        self.clock.read(now);
        match &mut self.mode {
            Mode::Isolated { holds } if *holds > 1 => {
                *holds -= 1;
                None
            }
            Mode::Isolated { .. } => {
                self.openings = 0;
                self.last_open = None;
                Some(self.change(closed(&self.config, None)))
            }
            Mode::Closed { .. } | Mode::Open { .. } | Mode::HalfOpen(_) => None,
        }
    }

    /// Its state at `now`.
    pub fn state(&mut self, now: Instant) -> BreakerState {
        self.on_deadline(now);
        self.mode.state()
    }

    /// When it becomes half-open.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.mode {
            Mode::Open { until } => Some(self.clock.host_time(until)),
            Mode::Closed { .. } | Mode::HalfOpen(_) | Mode::Isolated { .. } => None,
        }
    }

    /// Does what time brings. Every other call does the same first, but only this one and [`record`](Self::record)
    /// tell: a host that wants to know of the change to half-open calls it before [`refuse`](Self::refuse).
    pub fn on_deadline(&mut self, now: Instant) -> Option<Transition> {
        let now = self.clock.read(now);
        match &mut self.mode {
            Mode::Open { until } if *until <= now => Some(self.change(Mode::HalfOpen(Trial::default()))),
            Mode::HalfOpen(trial) => {
                trial.out.retain(|probe| probe.expires > now);
                None
            }
            Mode::Closed { ramp, .. } => {
                let full = micros(self.config.ramp);
                if ramp.as_ref().is_some_and(|ramp| now - ramp.began >= full) {
                    *ramp = None;
                    self.openings = 0;
                    self.last_open = None;
                }
                None
            }
            Mode::Open { .. } | Mode::Isolated { .. } => None,
        }
    }

    /// What a [`restore`](Self::restore) needs.
    pub fn snapshot(&mut self, now: Instant) -> BreakerSnapshot {
        self.on_deadline(now);
        let now = self.clock.elapsed();
        let (open_for, consecutive) = match self.mode {
            Mode::Open { until } => (Duration::from_micros(until.saturating_sub(now)), 0),
            Mode::Closed { consecutive, .. } => (Duration::ZERO, consecutive),
            Mode::HalfOpen(_) | Mode::Isolated { .. } => (Duration::ZERO, 0),
        };
        BreakerSnapshot {
            state: self.mode.state(),
            open_for,
            consecutive,
            openings: self.openings,
        }
    }

    /// What it has seen.
    pub const fn counts(&self) -> &BreakerCounts {
        &self.counts
    }

    fn count(&mut self, failed: bool) {
        if failed {
            self.counts.failures += 1;
        } else {
            self.counts.successes += 1;
        }
    }

    fn should_open(&mut self, now: u64) -> bool {
        let Mode::Closed {
            consecutive, tally, ..
        } = &mut self.mode
        else {
            return false;
        };
        if self
            .config
            .consecutive_rule()
            .is_some_and(|most| *consecutive >= most)
        {
            return true;
        }
        let (Some(tally), Some((_, minimum))) = (tally, self.config.evidence()) else {
            return false;
        };
        let totals = tally.totals(now);
        let reaches = |part: u32, share: f64| f64::from(part) >= share * f64::from(totals.calls);
        let failing = self.config.ratio_rule().map(|rule| rule.failures);
        let slow = self.config.slow_rule().map(|rule| rule.ratio);
        totals.calls >= minimum
            && (failing.is_some_and(|share| reaches(totals.failed, share))
                || slow.is_some_and(|share| reaches(totals.slow, share)))
    }

    fn open(&mut self, now: u64, random: &mut Random) -> Transition {
        self.openings = self.openings.saturating_add(1);
        self.counts.opened += 1;
        let stay = self.config.stay_open(self.openings, self.last_open, random);
        self.last_open = Some(stay);
        let until = now.saturating_add(micros(stay));
        self.change(Mode::Open { until })
    }

    fn close(&mut self, now: u64) -> Transition {
        let ramp = (!self.config.ramp.is_zero()).then_some(Ramp {
            began: now,
            credit: WHOLE,
        });
        if ramp.is_none() {
            self.openings = 0;
            self.last_open = None;
        }
        self.change(closed(&self.config, ramp))
    }

    fn change(&mut self, mode: Mode) -> Transition {
        let from = self.mode.state();
        self.mode = mode;
        self.era = self.era.wrapping_add(1) & ERAS;
        let to = self.mode.state();
        Transition { from, to }
    }
}

fn closed(config: &BreakerConfig, ramp: Option<Ramp>) -> Mode {
    Mode::Closed {
        consecutive: 0,
        tally: config.evidence().map(|(window, _)| Tally::new(window)),
        ramp,
    }
}

impl Mode {
    const fn state(&self) -> BreakerState {
        match self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen(_) => BreakerState::HalfOpen,
            Self::Isolated { .. } => BreakerState::Isolated,
        }
    }
}

impl Trial {
    /// Whether another probe may go out: never more than `probes` at once, and never more than can still matter.
    fn has_room(&self, config: &BreakerConfig) -> bool {
        let out = self.out.len() as u32;
        let round = config.probes.max(config.successes);
        out < config.probes && self.successes + self.failures + out < round
    }

    fn send(&mut self, expires: u64) -> u32 {
        // Numbers come round after 1,023 probes of one trial; by then the first has long expired.
        self.numbered = self.numbered % PROBES + 1;
        let number = self.numbered;
        self.out.push(Probe { number, expires });
        number
    }

    /// Whether the probe was still expected.
    fn returned(&mut self, number: u32) -> bool {
        let place = self.out.iter().position(|probe| probe.number == number);
        if let Some(place) = place {
            self.out.remove(place);
        }
        place.is_some()
    }

    fn verdict(&self, config: &BreakerConfig) -> Option<BreakerState> {
        if self.successes >= config.successes {
            Some(BreakerState::Closed)
        } else if self.failures > config.probes.saturating_sub(config.successes) {
            Some(BreakerState::Open)
        } else {
            None
        }
    }
}

impl Ramp {
    fn admits(&mut self, now: u64, full: Duration) -> bool {
        self.credit += self.share(now, full);
        let admits = self.credit >= WHOLE;
        if admits {
            self.credit -= WHOLE;
        }
        admits
    }

    /// The share of calls that pass, in parts of [`WHOLE`].
    fn share(&self, now: u64, full: Duration) -> u64 {
        let passed = (now - self.began) as f64 / micros(full) as f64;
        ((passed * WHOLE as f64) as u64).min(WHOLE)
    }

    /// How long until a share makes the credit a whole call; not nothing, since the next call is not this one.
    fn until_next(&self, now: u64, full: Duration) -> u64 {
        let missing = (WHOLE - self.credit) as f64 / WHOLE as f64;
        let then = (missing * micros(full) as f64).ceil() as u64 + 1;
        then.saturating_sub(now - self.began).max(1)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
