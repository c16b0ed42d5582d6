//! Plugins over a target: each gives one result, whatever becomes of it, and no more run at once than there are workers.

use crate::epoch::setup;
use crate::watch::{AtWork, Bound, Watch, leaving_after};
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;
use tidegate::machine::random::Random;
use tidegate::{
    Mode, Orchestrator, Plugin, PluginEnd, PluginResult, RunConfig, RunHandle, Runtime, VirtualRuntime,
};

type R = VirtualRuntime;
type Results = Vec<PluginResult<u64, &'static str>>;

pub(crate) struct Plugins {
    runtime: R,
    watch: Watch,
    orchestrator: Orchestrator<R, Workers, u64, &'static str>,
    needs: Vec<Vec<usize>>,
    active: Vec<bool>,
}

/// The target of a run: it knows who looks at it, and how many may.
#[derive(Clone)]
struct Workers {
    bound: Bound,
    now: Rc<Cell<u32>>,
}

impl Workers {
    // Who is heavier than all workers together takes all of them.
    fn enter(&self, weight: u32) -> AtWork {
        self.bound.enter(weight.min(self.now.get()), || false)
    }
}

impl Plugins {
    pub(crate) fn new(runtime: &R, watch: &Watch, random: &mut Random) -> Self {
        let mut orchestrator = Orchestrator::new(runtime);
        let (mut needs, mut active) = (Vec::new(), Vec::new());
        for number in 0..2 + random.up_to(4) as usize {
            let of: Vec<usize> = (0..number).filter(|_| random.up_to(3) == 0).collect();
            let (weight, end) = (1 + random.up_to(1) as u32, random.up_to(9));
            let micros = Duration::from_micros(random.up_to(8_000));
            let clock = runtime.clone();
            let expected = of.len();
            let seen = watch.clone();
            let plugin = Plugin::new(
                number.to_string(),
                move |target: Rc<Workers>, values: HashMap<Rc<str>, Rc<u64>>| {
                    let (clock, seen) = (clock.clone(), seen.clone());
                    async move {
                        let _at_work = target.enter(weight);
                        if values.len() != expected {
                            seen.broken(|| {
                                format!("plugin {number} was handed {} of {expected} values", values.len())
                            });
                        }
                        clock.sleep(micros).await;
                        match end {
                            0 => Err("broken"),
                            // A panic without the hook's report.
                            1 => std::panic::resume_unwind(Box::new("fault")),
                            _ => Ok(number as u64),
                        }
                    }
                },
            );
            let mut plugin = plugin
                .needs(of.iter().map(usize::to_string))
                .priority(random.up_to(4) as i32 - 2)
                .weight(weight);
            let is_active = random.up_to(5) == 0;
            if is_active {
                plugin = plugin.active();
            }
            if random.up_to(5) == 0 {
                plugin = plugin.available(async |_| false);
            }
            setup(orchestrator.register(plugin));
            needs.push(of);
            active.push(is_active);
        }
        Self {
            runtime: runtime.clone(),
            watch: watch.clone(),
            orchestrator,
            needs,
            active,
        }
    }

    /// Spawns a run that may be steered, cancelled or dropped in the middle of it.
    pub(crate) fn spawn_some(self: &Rc<Self>, random: &mut Random) {
        let client = self.watch.client();
        let patience = Duration::from_micros(if random.up_to(2) == 0 {
            random.up_to(20_000)
        } else {
            60_000_000
        });
        let workers = 1 + random.up_to(3) as u32;
        let config = RunConfig {
            mode: if random.up_to(1) == 0 {
                Mode::Active
            } else {
                Mode::Passive
            },
            max_workers: NonZeroU32::new(workers).unwrap_or(NonZeroU32::MIN),
            ..RunConfig::default()
        };
        let steer = (Duration::from_micros(random.up_to(10_000)), random.up_to(5));
        let workers = Workers {
            bound: Bound::new(&self.watch, "workers of a run", workers),
            now: Rc::new(Cell::new(workers)),
        };
        let own = Rc::clone(self);
        self.runtime.spawn(async move {
            let work = own.run(config, workers, steer);
            let ended = leaving_after(&own.runtime, patience, work).await;
            own.watch.saw(1 << 52 | u64::from(ended.is_some()));
            drop(client);
        });
    }

    async fn run(&self, config: RunConfig, workers: Workers, (after, how): (Duration, u64)) {
        let run = self.orchestrator.begin(workers.clone(), config).await;
        let handle = run.handle();
        let mut told = 0;
        let steering = async {
            self.runtime.sleep(after).await;
            steer(&handle, &workers, how);
        };
        let (results, ()) = futures::future::join(run.finish(|_| told += 1), steering).await;
        let admitted = |at: &usize| config.mode == Mode::Active || !self.active[*at];
        let expected: Vec<String> = (0..self.needs.len())
            .filter(admitted)
            .map(|at| at.to_string())
            .collect();
        let given: Vec<&str> = results.iter().map(|result| &*result.plugin).collect();
        if given != expected || told != given.len() {
            self.watch
                .broken(|| format!("results of {given:?}, {told} of them told, expected {expected:?}"));
        }
        self.judge(&results);
        let (done, all) = handle.progress();
        if done != all || all as usize != given.len() {
            self.watch
                .broken(|| format!("a run that is over says {done} of {all}"));
        }
    }

    // Who was skipped was skipped because of one it needs, directly or not, which gave no value; who succeeded had all of them.
    fn judge(&self, results: &Results) {
        let gave = |name: &str| {
            results
                .iter()
                .any(|one| &*one.plugin == name && one.value().is_some())
        };
        for result in results {
            let Ok(number) = result.plugin.parse::<usize>() else {
                continue;
            };
            let holds = match &result.end {
                PluginEnd::Skipped { because_of } => {
                    self.all_needs(number).contains(&**because_of) && !gave(because_of)
                }
                PluginEnd::Succeeded(value) => {
                    **value == number as u64 && self.all_needs(number).iter().all(|need| gave(need))
                }
                _ => true,
            };
            if !holds {
                self.watch
                    .broken(|| format!("of {:?} became {result:?}", self.needs));
            }
        }
    }

    fn all_needs(&self, number: usize) -> BTreeSet<String> {
        let direct = self.needs[number].iter();
        direct
            .flat_map(|need| {
                let mut all = self.all_needs(*need);
                all.insert(need.to_string());
                all
            })
            .collect()
    }
}

fn steer(handle: &RunHandle<R>, workers: &Workers, how: u64) {
    match how {
        0 => handle.cancel(),
        more @ 1..=3 => {
            workers.bound.raise(more as u32);
            workers.now.set(more as u32);
            handle.set_max_workers(more as u32);
        }
        _ => {}
    }
}
