//! What a scan is told, read once into a configuration that works.

use core::time::Duration;

use serde::Deserialize;

use super::plugin::{Level, Mode};

/// What a scan is told, as it is written: every field may be left out. Durations are milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are described once, in js/scan/types.ts")]
pub struct ScanOptions {
    pub plugins: Option<Vec<String>>,
    pub mode: Option<Mode>,
    pub max_workers: Option<f64>,
    pub levels: Option<LevelOptions>,
    pub per_host: Option<HostOptions>,
    pub task_timeout: Option<f64>,
    pub request_timeout: Option<f64>,
    pub tries: Option<f64>,
    pub progress_every: Option<f64>,
}

/// Slots of each level.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are the levels")]
pub struct LevelOptions {
    pub discovery: Option<f64>,
    pub batch: Option<f64>,
    pub introspection: Option<f64>,
    pub analysis: Option<f64>,
    pub monitor: Option<f64>,
}

/// What one host is asked to bear.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are described once, in js/scan/types.ts")]
pub struct HostOptions {
    pub concurrency: Option<f64>,
    pub rate: Option<RateOptions>,
    pub breaker: Option<BreakerOptions>,
}

/// So many in a time.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are described once, in js/scan/types.ts")]
pub struct RateOptions {
    pub limit: f64,
    pub per: f64,
}

/// When a host is left alone.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are described once, in js/scan/types.ts")]
pub struct BreakerOptions {
    pub failures: Option<f64>,
    pub open_for: Option<f64>,
}

/// What a scan goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanConfig {
    pub(super) plugins: Option<Vec<String>>,
    pub(super) mode: Mode,
    pub(super) max_workers: u32,
    pub(super) levels: [u32; Level::ALL.len()],
    pub(super) host: HostConfig,
    pub(super) task_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) tries: u32,
    pub(super) progress_every: Duration,
}

/// What one host is asked to bear.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HostConfig {
    pub(super) concurrency: u32,
    pub(super) rate: (u32, Duration),
    pub(super) failures: u32,
    pub(super) open_for: Duration,
}

/// The defaults: passive, 5 workers on a target, levels of 50, 10, 5, 3 and 1, at most 6 requests at once and 50 a second to a host.
///
/// A host that fails 5 times in a row is left alone for 2 s: long enough for it to recover, short enough that a run of
/// 30 s can look again.
impl Default for ScanConfig {
    fn default() -> Self {
        Self {
            plugins: None,
            mode: Mode::Passive,
            max_workers: 5,
            levels: [50, 10, 5, 3, 1],
            host: HostConfig {
                concurrency: 6,
                rate: (50, Duration::from_secs(1)),
                failures: 5,
                open_for: Duration::from_secs(2),
            },
            task_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(10),
            tries: 3,
            progress_every: Duration::from_millis(250),
        }
    }
}

impl ScanConfig {
    /// Reads options.
    ///
    /// # Errors
    /// One sentence that names the option, what would do and what came.
    pub fn parse(options: &ScanOptions) -> Result<Self, String> {
        let mut config = Self {
            plugins: options.plugins.clone(),
            ..Self::default()
        };
        if let Some(mode) = options.mode {
            config.mode = mode;
        }
        integer("maxWorkers", options.max_workers, 1, 100, &mut config.max_workers)?;
        integer("tries", options.tries, 1, 20, &mut config.tries)?;
        duration("taskTimeout", options.task_timeout, 1, &mut config.task_timeout)?;
        duration(
            "requestTimeout",
            options.request_timeout,
            1,
            &mut config.request_timeout,
        )?;
        duration(
            "progressEvery",
            options.progress_every,
            10,
            &mut config.progress_every,
        )?;
        if let Some(levels) = &options.levels {
            let [discovery, batch, introspection, analysis, monitor] = &mut config.levels;
            integer("levels.discovery", levels.discovery, 1, 10_000, discovery)?;
            integer("levels.batch", levels.batch, 1, 10_000, batch)?;
            integer(
                "levels.introspection",
                levels.introspection,
                1,
                10_000,
                introspection,
            )?;
            integer("levels.analysis", levels.analysis, 1, 10_000, analysis)?;
            integer("levels.monitor", levels.monitor, 1, 1, monitor)?;
        }
        if let Some(host) = &options.per_host {
            config.host.read(host)?;
        }
        Ok(config)
    }

    pub(super) fn slots(&self, level: Level) -> u32 {
        self.levels[level as usize]
    }

    /// How long one request may take.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// The tries of `http-probe`.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// What a scan may send.
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

impl HostConfig {
    fn read(&mut self, options: &HostOptions) -> Result<(), String> {
        integer(
            "perHost.concurrency",
            options.concurrency,
            1,
            1000,
            &mut self.concurrency,
        )?;
        if let Some(rate) = &options.rate {
            integer(
                "perHost.rate.limit",
                Some(rate.limit),
                1,
                1_000_000,
                &mut self.rate.0,
            )?;
            duration("perHost.rate.per", Some(rate.per), 1, &mut self.rate.1)?;
        }
        if let Some(breaker) = &options.breaker {
            integer(
                "perHost.breaker.failures",
                breaker.failures,
                1,
                1000,
                &mut self.failures,
            )?;
            duration("perHost.breaker.openFor", breaker.open_for, 1, &mut self.open_for)?;
        }
        Ok(())
    }
}

fn integer(name: &str, given: Option<f64>, least: u32, most: u32, field: &mut u32) -> Result<(), String> {
    match given {
        None => Ok(()),
        Some(n) if n.fract() == 0.0 && n >= f64::from(least) && n <= f64::from(most) => {
            *field = n as u32;
            Ok(())
        }
        Some(n) => Err(format!(
            "Expected `{name}` to be an integer from {least} to {most}, got `{n}`."
        )),
    }
}

/// A day bounds every duration: what takes longer is a mistake in the unit.
fn duration(name: &str, given: Option<f64>, least: u32, field: &mut Duration) -> Result<(), String> {
    const MOST: u32 = 86_400_000;
    match given {
        None => Ok(()),
        Some(ms) if ms >= f64::from(least) && ms <= f64::from(MOST) => {
            *field = Duration::from_secs_f64(ms / 1000.0);
            Ok(())
        }
        Some(ms) => Err(format!(
            "Expected `{name}` to be milliseconds from {least} to {MOST}, got `{ms}`."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn parse(json: &str) -> Result<ScanConfig, String> {
        ScanConfig::parse(&serde_json::from_str(json).map_err(|error| error.to_string())?)
    }

    #[test]
    fn nothing_said_means_the_defaults() {
        assert_eq!(parse("{}"), Ok(ScanConfig::default()));
    }

    #[test]
    fn what_is_said_is_taken() {
        let config = parse(
            r#"{ "mode": "active", "maxWorkers": 1, "tries": 5, "taskTimeout": 1500, "levels": { "introspection": 2 },
                 "perHost": { "concurrency": 3, "rate": { "limit": 7, "per": 100 }, "breaker": { "failures": 2 } } }"#,
        )
        .unwrap();
        assert_eq!(
            (config.mode, config.max_workers, config.tries),
            (Mode::Active, 1, 5)
        );
        assert_eq!(config.task_timeout, Duration::from_millis(1500));
        assert_eq!(
            (config.slots(Level::Introspection), config.slots(Level::Discovery)),
            (2, 50)
        );
        assert_eq!(
            (config.host.concurrency, config.host.rate, config.host.failures),
            (3, (7, Duration::from_millis(100)), 2)
        );
    }

    #[test]
    fn a_bad_option_is_named_with_what_would_do() {
        for (json, says) in [
            (
                r#"{ "maxWorkers": 0 }"#,
                "Expected `maxWorkers` to be an integer from 1 to 100, got `0`.",
            ),
            (r#"{ "maxWorkers": 2.5 }"#, "got `2.5`."),
            (
                r#"{ "taskTimeout": -1 }"#,
                "Expected `taskTimeout` to be milliseconds from 1 to 86400000, got `-1`.",
            ),
            (r#"{ "levels": { "discovery": 0 } }"#, "`levels.discovery`"),
            (
                r#"{ "perHost": { "rate": { "limit": 0, "per": 1 } } }"#,
                "`perHost.rate.limit`",
            ),
            (r#"{ "maxworkers": 2 }"#, "unknown field `maxworkers`"),
            (r#"{ "mode": "loud" }"#, "unknown variant `loud`"),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(says), "{json}: {error}");
        }
    }
}
