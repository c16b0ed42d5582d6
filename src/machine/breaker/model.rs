//! What a breaker does, written down a second time as plainly as possible: it remembers every call. The machine must agree
//! with it in every answer, change and number.

use super::*;
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// The rules of one run. Times are in microseconds.
#[derive(Clone, Debug)]
struct Rules {
    consecutive: Option<u32>,
    /// Over the last so many calls: the share of failures, and the least number of calls.
    ratio: Option<(u32, f64, u32)>,
    slow: Option<f64>,
    open_for: u64,
    probes: u32,
    successes: u32,
    ramp: u64,
    patience: u64,
}

const SLOW: u64 = 100;

impl Rules {
    fn config(&self) -> BreakerConfig {
        let micros = Duration::from_micros;
        let mut config = BreakerConfig::default();
        if let Some((window, share, minimum)) = self.ratio {
            config = config.ratio(share, Window::Count(window), minimum).unwrap();
        }
        if let Some(share) = self.slow {
            config = config.slow(micros(SLOW), share).unwrap();
        }
        if let Some(most) = self.consecutive {
            config = config.consecutive(most).unwrap();
        }
        config = config.open_for(micros(self.open_for)).unwrap();
        config = config
            .half_open(self.probes, self.successes, micros(self.ramp))
            .unwrap();
        config.probe_timeout(micros(self.patience)).unwrap()
    }
}

#[derive(Clone, Debug)]
struct Sent {
    pass: Pass,
    /// In which stretch between two changes it was let through.
    era: u32,
    /// When its permit passes on, if it is a probe whose permit has not.
    probe: Option<u64>,
}

struct Plain {
    rules: Rules,
    state: BreakerState,
    era: u32,
    until: u64,
    holds: u32,
    sent: Vec<Sent>,
    /// Of this stretch: whether each judged call failed, and whether it was slow.
    judged: Vec<(bool, bool)>,
    /// Before it, from a snapshot.
    ramping: Option<(u64, u64)>,
    openings: u32,
    counts: BreakerCounts,
}

impl Plain {
    fn change(&mut self, to: BreakerState) -> Transition {
        let from = self.state;
        self.state = to;
        self.era += 1;
        self.judged.clear();
        self.ramping = None;
        Transition { from, to }
    }

    fn out(&self) -> Vec<u64> {
        let own = self.sent.iter().filter(|one| one.era == self.era);
        own.filter_map(|one| one.probe).collect()
    }

    fn tried(&self, failed: bool) -> u32 {
        self.judged
            .iter()
            .filter(|(other, slow)| (*other || *slow) == failed)
            .count() as u32
    }

    fn later(&mut self, now: u64) -> Option<Transition> {
        if self.state == BreakerState::Open && self.until <= now {
            return Some(self.change(BreakerState::HalfOpen));
        }
        for one in &mut self.sent {
            one.probe = one.probe.filter(|expires| *expires > now);
        }
        if self
            .ramping
            .is_some_and(|(began, _)| now - began >= self.rules.ramp)
        {
            self.ramping = None;
            self.openings = 0;
        }
        None
    }

    fn refusal(&mut self, now: u64) -> Option<Option<u64>> {
        self.later(now);
        match self.state {
            BreakerState::Closed => None,
            BreakerState::Open => Some(Some(self.until)),
            BreakerState::Isolated => Some(None),
            BreakerState::HalfOpen => {
                let out = self.out();
                let matter = self.rules.probes.max(self.rules.successes);
                let all = self.judged.len() + out.len();
                let has_room = out.len() < self.rules.probes as usize && all < matter as usize;
                (!has_room).then(|| out.first().copied())
            }
        }
    }

    fn admit(&mut self, now: u64) -> Result<(), Option<u64>> {
        if let Some(retry_at) = self.refusal(now) {
            self.counts.refused += 1;
            return Err(retry_at);
        }
        let Some((began, credit)) = self.ramping else {
            return Ok(());
        };
        // Shares of a call that are still missing are added up, in parts of 2^20.
        let ramp = self.rules.ramp;
        let credit = credit + WHOLE.min((now - began) * WHOLE / ramp);
        if credit >= WHOLE {
            self.ramping = Some((began, credit - WHOLE));
            return Ok(());
        }
        self.ramping = Some((began, credit));
        self.counts.refused += 1;
        let then = ((WHOLE - credit) * ramp).div_ceil(WHOLE) + 1;
        Err(Some(now + then.saturating_sub(now - began).max(1)))
    }

    fn let_through(&mut self, now: u64, pass: Pass) {
        let probe = (self.state == BreakerState::HalfOpen).then(|| now + self.rules.patience);
        let era = self.era;
        self.sent.push(Sent { pass, era, probe });
    }

    fn record(&mut self, now: u64, which: usize, outcome: Outcome, took: u64) -> Option<Transition> {
        let by_time = self.later(now);
        let slow = self.rules.slow.is_some() && took > SLOW;
        let one = &mut self.sent[which];
        let was_probe = one.probe.take().is_some();
        let is_heard = one.era == self.era && (self.state != BreakerState::HalfOpen || was_probe);
        let failed = match outcome {
            Outcome::Success => false,
            Outcome::Failure => true,
            _ => {
                self.counts.ignored += 1;
                return by_time;
            }
        };
        if !is_heard {
            self.counts.ignored += 1;
            return by_time;
        }
        self.judged.push((failed, slow));
        if self.state == BreakerState::HalfOpen {
            *(if failed || slow {
                &mut self.counts.failures
            } else {
                &mut self.counts.successes
            }) += 1;
            if self.tried(false) >= self.rules.successes {
                return Some(self.close(now));
            }
            let may_fail = self.rules.probes.saturating_sub(self.rules.successes);
            return if self.tried(true) > may_fail {
                Some(self.open(now))
            } else {
                by_time
            };
        }
        *(if failed {
            &mut self.counts.failures
        } else {
            &mut self.counts.successes
        }) += 1;
        if self.should_open() {
            Some(self.open(now))
        } else {
            by_time
        }
    }

    fn should_open(&self) -> bool {
        let row = self.judged.iter().rev().take_while(|(failed, _)| *failed).count() as u32;
        let by_default = self.rules.ratio.is_none() && self.rules.slow.is_none();
        let most = self.rules.consecutive.or(by_default.then_some(5));
        if most.is_some_and(|most| row >= most) {
            return true;
        }
        let (window, minimum) = match self.rules.ratio {
            Some((window, _, minimum)) => (window, minimum),
            None => return false,
        };
        let last = &self.judged[self.judged.len().saturating_sub(window as usize)..];
        let share = |part: usize| part as f64 / last.len() as f64;
        let failed = share(last.iter().filter(|(failed, _)| *failed).count());
        let slow = share(last.iter().filter(|(_, slow)| *slow).count());
        last.len() >= minimum as usize
            && (self.rules.ratio.is_some_and(|(_, most, _)| failed >= most)
                || self.rules.slow.is_some_and(|most| slow >= most))
    }

    fn open(&mut self, now: u64) -> Transition {
        self.openings += 1;
        self.counts.opened += 1;
        self.until = now + self.rules.open_for;
        self.change(BreakerState::Open)
    }

    fn close(&mut self, now: u64) -> Transition {
        let change = self.change(BreakerState::Closed);
        if self.rules.ramp > 0 {
            self.ramping = Some((now, WHOLE));
        } else {
            self.openings = 0;
        }
        change
    }

    fn lift(&mut self) -> Option<Transition> {
        if self.state != BreakerState::Isolated {
            return None;
        }
        self.holds -= 1;
        (self.holds == 0).then(|| {
            self.openings = 0;
            self.change(BreakerState::Closed)
        })
    }

    fn isolate(&mut self) -> Option<Transition> {
        self.holds += 1;
        (self.state != BreakerState::Isolated).then(|| {
            self.holds = 1;
            self.change(BreakerState::Isolated)
        })
    }
}

#[derive(Clone, Debug)]
enum Op {
    Call,
    End(usize, Outcome, u64),
    Tick(u64),
    Look,
    Isolate,
    Lift,
}

fn some_op() -> impl Strategy<Value = Op> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Success),
        5 => Just(Outcome::Failure),
        1 => Just(Outcome::Ignored),
        1 => Just(Outcome::NeverStarted),
    ];
    prop_oneof![
        16 => Just(Op::Call),
        16 => (any::<usize>(), outcome, SLOW - 1..SLOW + 2).prop_map(|(which, outcome, took)| Op::End(which, outcome, took)),
        10 => (0u64..40).prop_map(Op::Tick),
        4 => Just(Op::Look),
        1 => Just(Op::Isolate),
        2 => Just(Op::Lift),
    ]
}

fn some_rules() -> impl Strategy<Value = Rules> {
    let ratio = (1u32..8, 0.2f64..1.0, 1u32..6)
        .prop_map(|(window, share, minimum)| (window, share, minimum.min(window)));
    (
        prop::option::of(1u32..5),
        prop::option::of(ratio),
        prop::option::of(0.3f64..1.0),
        10u64..60,
        (1u32..5, 1u32..5),
        prop_oneof![Just(0u64), 20u64..80],
        10u64..60,
    )
        .prop_map(
            |(consecutive, ratio, slow, open_for, (probes, successes), ramp, patience)| Rules {
                consecutive,
                // Slow calls are counted in the window of the ratio; without one it is another, see the tally.
                slow: slow.filter(|_| ratio.is_some()),
                ratio,
                open_for,
                probes,
                successes,
                ramp,
                patience,
            },
        )
}

proptest! {
    /// In every answer, every change and every number.
    #[test]
    fn a_breaker_does_what_its_plain_model_does(
        rules in some_rules(),
        ops in prop::collection::vec(some_op(), 1..150),
    ) {
        let mut random = Random::new(1);
        let mut breaker = Breaker::new(rules.config());
        let mut plain = Plain {
            rules,
            state: BreakerState::Closed,
            era: 1,
            until: 0,
            holds: 0,
            sent: Vec::new(),
            judged: Vec::new(),
            ramping: None,
            openings: 0,
            counts: BreakerCounts::default(),
        };
        let mut micros = 1_000u64;
        let at = Instant::from_micros;
        let refused = |retry_at: Option<u64>| Refusal::BrokenCircuit { retry_at: retry_at.map(at) };
        for op in ops {
            match op {
                Op::Call => {
                    let told = breaker.admit(at(micros));
                    prop_assert_eq!(told.map(|_| ()), plain.admit(micros).map_err(refused));
                    if let Ok(pass) = told {
                        plain.let_through(micros, pass);
                    }
                }
                Op::End(which, outcome, took) => {
                    // One of those that began lately; one that ends twice is heard once as a probe, and otherwise again.
                    let lately = plain.sent.len().min(6);
                    if lately > 0 {
                        let which = plain.sent.len() - 1 - which % lately;
                        let took_that = Duration::from_micros(took);
                        let change = breaker.record(at(micros), plain.sent[which].pass, outcome, took_that, &mut random);
                        prop_assert_eq!(change, plain.record(micros, which, outcome, took));
                    }
                }
                Op::Tick(passed) => micros += passed,
                Op::Look => {
                    prop_assert_eq!(breaker.refuse(at(micros)), plain.refusal(micros).map(refused));
                    prop_assert_eq!(breaker.on_deadline(at(micros)), plain.later(micros));
                }
                Op::Isolate => prop_assert_eq!(breaker.isolate(at(micros)), plain.isolate()),
                Op::Lift => prop_assert_eq!(breaker.lift(at(micros)), plain.lift()),
            }
            let deadline = (plain.state == BreakerState::Open).then_some(at(plain.until.max(micros)));
            // One that is over may be told as now.
            prop_assert_eq!(breaker.next_deadline().map(|next| next.max(at(micros))), deadline);
            prop_assert_eq!(format!("{:?}", breaker.counts()), format!("{:?}", plain.counts));
            // A copy looks, so that this look brings nothing.
            let seen = breaker.clone().snapshot(at(micros));
            let due = plain.state == BreakerState::Open && plain.until <= micros;
            let is_ramped = plain.ramping.is_some_and(|(began, _)| micros - began >= plain.rules.ramp);
            let row = plain.judged.iter().rev().take_while(|(failed, _)| *failed).count() as u32;
            prop_assert_eq!(seen, BreakerSnapshot {
                state: if due { BreakerState::HalfOpen } else { plain.state },
                open_for: match plain.state {
                    BreakerState::Open => Duration::from_micros(plain.until.saturating_sub(micros)),
                    _ => Duration::ZERO,
                },
                consecutive: if plain.state == BreakerState::Closed { row } else { 0 },
                openings: if is_ramped { 0 } else { plain.openings },
            });
        }
    }
}
