//! The deterministic simulation: every policy at once, in virtual time, with faults, in an order that a seed decides.
//!
//! `npm run sim -- --seed S --steps N [--seeds K]`, or `cargo run --profile sim --example sim -- …`. The same seed takes the same steps; the first
//! broken invariant is printed with the seed and the step, and the exit code is 1.

mod clients;
mod epoch;
mod families;
mod keyed;
mod meetings;
mod plugins;
mod sharing;
mod watch;

use epoch::Epoch;
use std::process::ExitCode;
use tidegate::machine::random::Random;

/// A world lives for so many steps, then everything in it must come to an end and leave nothing behind.
const STEPS_IN_AN_EPOCH: u64 = 500;

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(sentence) => {
            eprintln!("{sentence}\nusage: sim [--seed S] [--steps N] [--seeds K]");
            return ExitCode::from(2);
        }
    };
    for seed in options.seed..options.seed.saturating_add(options.seeds) {
        match simulate(seed, options.steps) {
            Ok(Walked {
                trace,
                clients,
                works,
            }) => {
                let steps = options.steps;
                println!(
                    "seed {seed}: {steps} steps, no invariant broken, {clients} clients, {works} tasks, trace {trace:016x}"
                );
            }
            Err(broken) => {
                println!("seed {seed}: {broken}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// What a seed came to; its trace is a number that stands for all its steps.
#[derive(Default)]
struct Walked {
    trace: u64,
    clients: u64,
    works: u64,
}

fn simulate(seed: u64, steps: u64) -> Result<Walked, String> {
    let mut random = Random::new(seed);
    let mut walked = Walked::default();
    let mut done = 0;
    while done < steps {
        let length = STEPS_IN_AN_EPOCH.min(steps - done);
        let mut epoch = Epoch::new(random.bits());
        for step in 0..length {
            epoch
                .step()
                .map_err(|broken| format!("broken at step {}: {broken}", done + step))?;
        }
        done += length;
        let ended = epoch
            .end()
            .map_err(|broken| format!("broken at the end of step {done}: {broken}"))?;
        walked.trace = walked.trace.rotate_left(7) ^ ended.trace;
        walked.clients += ended.clients;
        walked.works += ended.works;
    }
    Ok(walked)
}

struct Options {
    seed: u64,
    steps: u64,
    seeds: u64,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            seed: 1,
            steps: 100_000,
            seeds: 1,
        };
        while let Some(name) = arguments.next() {
            let field = match name.as_str() {
                "--seed" => &mut options.seed,
                "--steps" => &mut options.steps,
                "--seeds" => &mut options.seeds,
                other => return Err(format!("Unknown option `{other}`")),
            };
            let value = arguments.next().unwrap_or_default();
            *field = value
                .parse()
                .map_err(|_| format!("Expected `{name}` to be a whole number, got `{value}`"))?;
        }
        Ok(options)
    }
}
