//! The engine: every plugin on every target, through the levels, with a record for each.

use core::any::Any;
use core::cell::Cell;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::rc::Rc;

use super::config::ScanConfig;
use super::course::{Parts, Scan};
use super::fetch::Fetcher;
use super::hosts::Hosts;
use super::levels::Levels;
use super::metrics::MemoryMetrics;
use super::plugin::{Connect, Context};
use super::plugins::PluginEntry;
use super::report::Resumed;
use super::suggest::nearest;
use super::targets::Targets;
use super::visit::{Made, Visits};
use crate::future::{Host, Runtime};

/// Scans targets with plugins, politely. What it learns of hosts (their breakers and rates) lasts from scan to scan.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use tidegate::VirtualRuntime;
/// use tidegate::scan::{Scanner, config::ScanConfig, fake::{Answer, FakeFetcher}, plugins, targets::Targets};
///
/// let runtime = VirtualRuntime::new();
/// let network = FakeFetcher::new(Rc::new(runtime.clone()));
/// network.on("http://localhost:8000/", |_| Answer::status(200));
///
/// let scanner = Scanner::new(runtime.clone(), Rc::new(network), ScanConfig::default(), plugins::all())?;
/// let scan = scanner.scan(Targets::parse(["localhost:8000"]));
/// let report = runtime.block_on(scan.run(|_event| {}));
/// assert_eq!(report.summary.reachable, 1);
/// # Ok::<(), String>(())
/// ```
pub struct Scanner<R: Runtime> {
    runtime: R,
    config: ScanConfig,
    entries: Vec<PluginEntry>,
    plugins: Rc<[Made]>,
    visits: Rc<Visits<R>>,
    hosts: Hosts<R>,
    levels: Rc<Levels<R>>,
    connector: Option<Rc<dyn Connect>>,
    epoch: Cell<f64>,
    memory: Rc<dyn Fn() -> MemoryMetrics>,
}

impl<R: Runtime> Scanner<R> {
    /// A scanner with those of `plugins` that the configuration asks for and allows.
    ///
    /// # Errors
    /// One sentence about a plugin that is not there, that is not allowed in this mode, or whose needs go in a circle.
    pub fn new(
        runtime: R,
        fetcher: Rc<dyn Fetcher>,
        config: ScanConfig,
        plugins: Vec<PluginEntry>,
    ) -> Result<Self, String> {
        let entries = choose(&config, plugins)?;
        let plugins: Rc<[Made]> = entries.iter().map(|entry| make(entry, &config)).collect();
        let visits = Visits::new(
            &runtime,
            entries.iter().map(|entry| entry.name).zip(plugins.iter()),
        );
        let visits =
            visits.map_err(|error| format!("Expected plugins that can be put in order, but {error}."))?;
        let world = Host::new(runtime.clone());
        let levels = Levels::new(&world, &config).map_err(|error| error.to_string())?;
        Ok(Self {
            hosts: Hosts::new(world, config.host.clone(), fetcher),
            levels: Rc::new(levels),
            runtime,
            config,
            entries,
            plugins,
            visits: Rc::new(visits),
            connector: None,
            epoch: Cell::new(0.0),
            memory: Rc::new(MemoryMetrics::default),
        })
    }

    /// The same scanner with a way to open TCP connections.
    #[must_use]
    pub fn with_connector(mut self, connector: Rc<dyn Connect>) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Says which Unix time, in milliseconds, its runtime's origin has; scans made from now on carry calendar time.
    ///
    /// Said before each scan and not once, because some hosts have no calendar at the top level of a module.
    pub fn set_epoch(&self, millis: f64) {
        self.epoch.set(millis);
    }

    /// The same scanner with a reading of memory for its metrics.
    #[must_use]
    pub fn with_memory(mut self, reading: impl Fn() -> MemoryMetrics + 'static) -> Self {
        self.memory = Rc::new(reading);
        self
    }

    /// A scan of these targets, ready to run.
    pub fn scan(&self, targets: Targets) -> Scan<R> {
        self.resume(targets, Resumed::default())
    }

    /// A scan of these targets that takes over what an earlier one has answered.
    pub fn resume(&self, targets: Targets, earlier: Resumed) -> Scan<R> {
        let ctx = Context::new(Rc::new(self.hosts.clone()), Rc::new(self.runtime.clone()))
            .with_connector(self.connector.clone());
        Scan::new(Parts {
            runtime: self.runtime.clone(),
            config: self.config.clone(),
            entries: self.entries.iter().map(PluginEntry::describe).collect(),
            plugins: Rc::clone(&self.plugins),
            visits: Rc::clone(&self.visits),
            hosts: self.hosts.clone(),
            levels: Rc::clone(&self.levels),
            ctx,
            targets,
            earlier,
            epoch: self.epoch.get(),
            memory: Rc::clone(&self.memory),
        })
    }
}

/// A plugin that panics while it is made is one that could not be made.
fn make(entry: &PluginEntry, config: &ScanConfig) -> Made {
    let made = catch_unwind(AssertUnwindSafe(|| (entry.make)(config)));
    made.unwrap_or_else(|panic| Err(panic_text(&*panic)))
}

fn choose(config: &ScanConfig, plugins: Vec<PluginEntry>) -> Result<Vec<PluginEntry>, String> {
    let Some(wanted) = &config.plugins else {
        return Ok(plugins
            .into_iter()
            .filter(|entry| entry.mode <= config.mode)
            .collect());
    };
    if wanted.is_empty() {
        return Err("Expected `plugins` to name at least one plugin, got none.".to_owned());
    }
    for name in wanted {
        let known: Vec<&str> = plugins.iter().map(|entry| entry.name).collect();
        match plugins.iter().find(|entry| entry.name == name) {
            None => {
                let hint = nearest(name, &known).map_or_else(
                    || format!("there are {}", known.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                return Err(format!("There is no plugin `{name}`; {hint}"));
            }
            Some(entry) if entry.mode > config.mode => {
                return Err(format!(
                    "The plugin `{name}` is active; it runs with the mode `active` only."
                ));
            }
            Some(_) => {}
        }
    }
    Ok(plugins
        .into_iter()
        .filter(|entry| wanted.iter().any(|name| name == entry.name))
        .collect())
}

pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("It panicked: {}", text.unwrap_or("for a reason it did not give"))
}
