//! The build tool: turns the crate into the wasm modules, and the glue around them, that `js/` imports.
//!
//! ```text
//! cargo run -p xtask -- build [core] [store] [rate] [scan] [edge] [kernels] [kernels-scalar] [trap] [--force]
//! ```

mod bare;
mod emit;
mod letters;
mod panics;
mod recipe;
mod stamp;

use anyhow::{Context, Result};
use recipe::{Lane, Recipe};
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Instant;

fn main() -> ExitCode {
    let order = match Order::from_args(env::args().skip(1)) {
        Ok(order) => order,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    match build(&order) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What was asked for on the command line.
struct Order {
    recipes: Vec<Recipe>,
    force: bool,
}

impl Order {
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        match args.next().as_deref() {
            Some("build") => {}
            Some(other) => return Err(format!("Expected the command `build`, got `{other}`")),
            None => return Err("Expected a command: `build [core] [store] [rate] [scan] [edge] [kernels] [kernels-scalar] [trap] [--force]`".into()),
        }
        let mut order = Order {
            recipes: Vec::new(),
            force: false,
        };
        for arg in args {
            match arg.as_str() {
                "--force" => order.force = true,
                name => order.recipes.push(Recipe::named(name).ok_or_else(|| {
                    format!("Expected `core`, `store`, `rate`, `scan`, `edge`, `kernels`, `kernels-scalar`, `trap` or `--force`, got `{name}`")
                })?),
            }
        }
        if order.recipes.is_empty() {
            order.recipes = vec![
                recipe::CORE,
                recipe::STORE,
                recipe::RATE,
                recipe::SCAN,
                recipe::EDGE,
                recipe::KERNELS,
                recipe::KERNELS_SCALAR,
            ];
        }
        Ok(order)
    }
}

fn build(order: &Order) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies in the repository")?;
    let inputs = stamp::of_inputs(root)?;
    let mut due = Vec::new();
    for recipe in &order.recipes {
        if !order.force && stamp::is_current(root, recipe, &inputs) {
            println!("wasm: {} is up to date", recipe.name);
        } else {
            due.push(recipe);
        }
    }
    // The optimiser of a module takes one core for most of its time; the lanes share the cores there are.
    let (first, second): (Vec<_>, Vec<_>) = due.into_iter().partition(|recipe| recipe.lane == Lane::First);
    thread::scope(|scope| {
        let beside = scope.spawn(|| {
            second
                .into_iter()
                .try_for_each(|recipe| make(root, recipe, &inputs, order.force))
        });
        first
            .into_iter()
            .try_for_each(|recipe| make(root, recipe, &inputs, order.force))?;
        beside
            .join()
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the second lane of the build panicked")))
    })
}

fn make(root: &Path, recipe: &Recipe, inputs: &stamp::Inputs, force: bool) -> Result<()> {
    let began = Instant::now();
    println!("wasm: building {} (features {})", recipe.name, recipe.features);
    let compiled = compile(root, recipe)?;
    let outcome = stamp::of_compiled(&compiled, inputs)?;
    if force || !stamp::is_same(root, recipe, &outcome) {
        stamp::remove(root, recipe)?;
        emit::module(root, recipe, &compiled, &root.join(recipe.out))?;
    }
    stamp::write(root, recipe, inputs, &outcome)?;
    println!(
        "wasm: {} took {:.1} s",
        recipe.name,
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Inlines less than `opt-level=3` would, which makes the core 10 % heavier: engines call from wasm to wasm as written, so what every
/// task of a pool goes through says `inline(always)` itself (a request and a release cost 138 ns instead of 207 for 0.6 KB).
const INLINING: &str = "-Cllvm-args=-inline-threshold=80";

/// What is published must not depend on where it was built: panics carry the paths of their crates.
fn without_local_paths() -> String {
    let home = |variable, folder| {
        env::var_os(variable)
            .map(PathBuf::from)
            .or_else(|| env::home_dir().map(|home| home.join(folder)))
    };
    home("CARGO_HOME", ".cargo").map_or_else(String::new, |cargo| {
        format!("--remap-path-prefix={}=/cargo", cargo.display())
    })
}

/// Runs cargo for one recipe and says where the raw module lies.
fn compile(root: &Path, recipe: &Recipe) -> Result<PathBuf> {
    // Cargo works on a folder alone, and what is built with other flags is built anew: each lane has a folder of its own, and
    // modules with vectors another.
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let target = match recipe.lane {
        Lane::First => target,
        Lane::Second => target.join("second"),
    };
    let (target, vectors) = if recipe.simd {
        (target.join("simd128"), "-Ctarget-feature=+simd128")
    } else {
        (target, "")
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(root)
        .args([
            "build",
            "--quiet",
            "--release",
            "--lib",
            "--target",
            "wasm32-unknown-unknown",
            "--no-default-features",
            "--features",
        ])
        .arg(recipe.features)
        .arg("--target-dir")
        .arg(&target)
        .env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
            format!("{INLINING} {vectors} {}", without_local_paths()),
        )
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", recipe.opt_level)
        .status()
        .context("cargo did not start")?;
    anyhow::ensure!(
        status.success(),
        "cargo could not compile the `{}` module",
        recipe.name
    );
    Ok(target.join("wasm32-unknown-unknown/release/tidegate.wasm"))
}
