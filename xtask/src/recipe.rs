//! Which modules there are, and what each is made of.

/// Modules of one lane are built one after the other, the lanes side by side: set so that both take about as long.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    First,
    Second,
}

/// One wasm module: a set of features, and the folder its files are written to.
#[derive(Clone, Copy)]
pub struct Recipe {
    pub name: &'static str,
    /// The stem of the files, which the module imports its glue by: `core_bg.js`, `core_bg.wasm`, …
    pub stem: &'static str,
    pub features: &'static str,
    pub opt_level: &'static str,
    /// Whether nothing but numbers crosses: then nobody formats but panics.
    pub numbers_only: bool,
    /// Relative to the repository.
    pub out: &'static str,
    /// Whether it may use vectors, which an engine without them cannot load.
    pub simd: bool,
    pub lane: Lane,
}

/// Pools and all that is admitted with them, in one module with one World; only numbers cross.
pub const CORE: Recipe = Recipe {
    name: "core",
    stem: "core",
    features: "bindings",
    opt_level: "3",
    numbers_only: true,
    out: "js/generated",
    simd: false,
    lane: Lane::First,
};

/// The policies that share no admission with pools, with a World of their own: who only wants a pool does not download them.
pub const STORE: Recipe = Recipe {
    name: "store",
    stem: "store",
    features: "bindings-store",
    // `z` 116 KB gzip, `3` 146 KB.
    opt_level: "z",
    numbers_only: true,
    out: "js/generated",
    simd: false,
    lane: Lane::First,
};

/// Limiters that stand alone: who only wants a pool does not download them, and who only wants them downloads no caches.
pub const RATE: Recipe = Recipe {
    name: "rate",
    stem: "rate",
    features: "bindings-rate",
    opt_level: "z",
    numbers_only: true,
    out: "js/generated",
    simd: false,
    lane: Lane::First,
};

/// The scan engine.
pub const SCAN: Recipe = Recipe {
    name: "scan",
    stem: "scan",
    features: "bindings-scan",
    // A scan waits for the network: what it weighs matters more than what it costs (`z` 319 KB gzip, `3` 400 KB).
    opt_level: "z",
    numbers_only: false,
    out: "js/generated",
    simd: false,
    lane: Lane::Second,
};

/// What workers compute: hashes, secret search, fingerprints, statistics.
pub const KERNELS: Recipe = Recipe {
    name: "kernels",
    stem: "kernels",
    features: "bindings-kernels",
    opt_level: "3",
    // Bytes cross too.
    numbers_only: false,
    out: "js/generated",
    simd: true,
    lane: Lane::Second,
};

/// The same without vectors. Its glue is that of `kernels`, byte for byte.
pub const KERNELS_SCALAR: Recipe = Recipe {
    name: "kernels-scalar",
    out: "js/generated/scalar",
    simd: false,
    lane: Lane::First,
    ..KERNELS
};

/// Who of those who wait is still there: what workerd loads beside the others.
pub const EDGE: Recipe = Recipe {
    name: "edge",
    stem: "edge",
    features: "bindings-edge",
    opt_level: "z",
    numbers_only: true,
    out: "js/generated",
    simd: false,
    lane: Lane::First,
};

/// `core` with one export more, which traps on purpose: for the tests of recovery, never published.
pub const TRAP: Recipe = Recipe {
    name: "trap",
    stem: "core",
    features: "test-trap",
    opt_level: "3",
    numbers_only: true,
    out: "tests/generated",
    simd: false,
    lane: Lane::First,
};

impl Recipe {
    pub fn named(name: &str) -> Option<Self> {
        [CORE, STORE, RATE, SCAN, EDGE, KERNELS, KERNELS_SCALAR, TRAP]
            .into_iter()
            .find(|recipe| recipe.name == name)
    }

    /// The files that a finished build leaves in [`out`](Self::out).
    pub fn files(&self) -> [String; 6] {
        let name = self.stem;
        [
            format!("{name}_bg.js"),
            format!("{name}_bg.d.ts"),
            format!("{name}_bg.wasm"),
            format!("{name}_bg.d.wasm.ts"),
            format!("{name}_letters.js"),
            format!("{name}_letters.d.ts"),
        ]
    }
}
