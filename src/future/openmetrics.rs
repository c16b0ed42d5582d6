//! Metrics as OpenMetrics text (OpenMetrics 1.0.0, <https://prometheus.io/docs/specs/om/open_metrics_spec/>): base units, one family
//! after another, `# EOF` at the end.

use super::metrics::Snapshot;
use super::readings::{Reading, Readings};
use crate::machine::breaker::BreakerState;
use crate::machine::histogram::Histogram;
use std::fmt::{self, Write};

pub(crate) fn render(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _infallible = write(&mut text, snapshot);
    text
}

fn write(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let Snapshot {
        pools,
        breakers,
        rates,
        others,
        counters,
        ..
    } = snapshot;

    family(
        out,
        "tidegate_pool_tasks",
        "counter",
        "Tasks by what became of them.",
    )?;
    for pool in pools {
        let tasks = &pool.tasks;
        for (outcome, count) in [
            ("accepted", tasks.accepted),
            ("started", tasks.started),
            ("completed", tasks.completed),
            ("failed", tasks.failed),
            ("cancelled", tasks.cancelled),
            ("dropped", tasks.dropped),
            ("rejected", tasks.rejected),
            ("blocked", tasks.blocked),
            ("shed", tasks.shed),
            ("queue_timeout", tasks.queue_timeouts),
            ("task_timeout", tasks.task_timeouts),
        ] {
            let name = Label(&pool.name);
            writeln!(
                out,
                "tidegate_pool_tasks_total{{pool=\"{name}\",outcome=\"{outcome}\"}} {count}"
            )?;
        }
    }
    type Gauge = (
        &'static str,
        &'static str,
        fn(&super::metrics::PoolMetrics) -> u32,
    );
    let gauges: [Gauge; 6] = [
        ("concurrency", "Slots there are.", |pool| pool.concurrency),
        ("slots_in_use", "Slots taken.", |pool| pool.in_use),
        ("active", "Tasks that hold slots.", |pool| pool.active),
        ("queued", "Tasks in the queue.", |pool| pool.queued),
        (
            "waiting_for_room",
            "Tasks that wait outside a full queue.",
            |pool| pool.waiting_for_room,
        ),
        (
            "abandoned",
            "Tasks whose slots are free and that have not ended yet.",
            |pool| pool.abandoned,
        ),
    ];
    for (name, help, read) in gauges {
        family(out, &format!("tidegate_pool_{name}"), "gauge", help)?;
        for pool in pools {
            writeln!(
                out,
                "tidegate_pool_{name}{{pool=\"{}\"}} {}",
                Label(&pool.name),
                read(pool)
            )?;
        }
    }
    seconds_family(out, "tidegate_pool_wait_seconds", "From asking to starting.")?;
    // One that measures nothing has nothing to say of times, not that there were none.
    let measured = || {
        let silent = |pool: &&super::metrics::PoolMetrics| pool.wait.count() == 0 && pool.tasks.started > 0;
        pools.iter().filter(move |pool| !silent(pool))
    };
    for pool in measured() {
        summary(out, "tidegate_pool_wait_seconds", &pool.name, &pool.wait)?;
    }
    seconds_family(out, "tidegate_pool_run_seconds", "From start to end.")?;
    for pool in measured() {
        summary(out, "tidegate_pool_run_seconds", &pool.name, &pool.run)?;
    }

    family(
        out,
        "tidegate_breaker_state",
        "stateset",
        "The state of each breaker.",
    )?;
    for breaker in breakers {
        for (state, name) in [
            (BreakerState::Closed, "closed"),
            (BreakerState::Open, "open"),
            (BreakerState::HalfOpen, "half-open"),
            (BreakerState::Isolated, "isolated"),
        ] {
            let is = u8::from(breaker.state == state);
            let label = Label(&breaker.name);
            writeln!(
                out,
                "tidegate_breaker_state{{breaker=\"{label}\",tidegate_breaker_state=\"{name}\"}} {is}"
            )?;
        }
    }
    family(
        out,
        "tidegate_breaker_calls",
        "counter",
        "Calls by what became of them.",
    )?;
    for breaker in breakers {
        let calls = &breaker.calls;
        for (outcome, count) in [
            ("success", calls.successes),
            ("failure", calls.failures),
            ("ignored", calls.ignored),
            ("refused", calls.refused),
        ] {
            let name = Label(&breaker.name);
            writeln!(
                out,
                "tidegate_breaker_calls_total{{breaker=\"{name}\",outcome=\"{outcome}\"}} {count}"
            )?;
        }
    }
    family(
        out,
        "tidegate_breaker_opened",
        "counter",
        "How often each breaker opened.",
    )?;
    for breaker in breakers {
        let (name, opened) = (Label(&breaker.name), breaker.calls.opened);
        writeln!(
            out,
            "tidegate_breaker_opened_total{{breaker=\"{name}\"}} {opened}"
        )?;
    }

    family(
        out,
        "tidegate_rate_requests",
        "counter",
        "Requests by what became of them.",
    )?;
    for rate in rates {
        let requests = &rate.requests;
        for (outcome, count) in [
            ("allowed", requests.allowed),
            ("denied", requests.denied),
            ("cancelled", requests.cancelled),
        ] {
            let name = Label(&rate.name);
            writeln!(
                out,
                "tidegate_rate_requests_total{{rate=\"{name}\",outcome=\"{outcome}\"}} {count}"
            )?;
        }
    }
    family(
        out,
        "tidegate_rate_waiting",
        "gauge",
        "Requests that stand in line.",
    )?;
    for rate in rates {
        writeln!(
            out,
            "tidegate_rate_waiting{{rate=\"{}\"}} {}",
            Label(&rate.name),
            rate.waiting
        )?;
    }

    for same in others.chunk_by(|a, b| a.kind == b.kind) {
        of_kind(out, same)?;
    }

    family(out, "tidegate_user", "counter", "Counters of the program's own.")?;
    for (name, count) in counters {
        writeln!(out, "tidegate_user_total{{counter=\"{}\"}} {count}", Label(name))?;
    }
    out.push_str("# EOF\n");
    Ok(())
}

/// The families of handles of one kind, all of which read the same numbers in the same order.
fn of_kind(out: &mut String, same: &[Readings]) -> fmt::Result {
    let Some(first) = same.first() else {
        return Ok(());
    };
    let kind = first.kind;
    let mut at = 0;
    for numbers in first.all.chunk_by(|a, b| a.name == b.name) {
        let Some(&Reading { name, grows, .. }) = numbers.first() else {
            continue;
        };
        let (sort, ending) = if grows {
            ("counter", "_total")
        } else {
            ("gauge", "")
        };
        let help = format!("{name} of each {kind}.").replace('_', " ");
        family(out, &format!("tidegate_{kind}_{name}"), sort, &help)?;
        for handle in same {
            for reading in handle.all.iter().skip(at).take(numbers.len()) {
                write!(
                    out,
                    "tidegate_{kind}_{name}{ending}{{{kind}=\"{}\"",
                    Label(&handle.name)
                )?;
                if let Some((label, is)) = reading.label {
                    write!(out, ",{label}=\"{is}\"")?;
                }
                writeln!(out, "}} {}", reading.value)?;
            }
        }
        at += numbers.len();
    }
    Ok(())
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# TYPE {name} {kind}\n# HELP {name} {help}")
}

fn seconds_family(out: &mut String, name: &str, help: &str) -> fmt::Result {
    writeln!(
        out,
        "# TYPE {name} summary\n# UNIT {name} seconds\n# HELP {name} {help}"
    )
}

fn summary(out: &mut String, family: &str, pool: &str, histogram: &Histogram) -> fmt::Result {
    let pool = Label(pool);
    for (quantile, label) in [
        (0.5, "0.5"),
        (0.9, "0.9"),
        (0.95, "0.95"),
        (0.99, "0.99"),
        (0.999, "0.999"),
    ] {
        if let Some(micros) = histogram.quantile(quantile) {
            writeln!(
                out,
                "{family}{{pool=\"{pool}\",quantile=\"{label}\"}} {}",
                Seconds(micros)
            )?;
        }
    }
    writeln!(out, "{family}_count{{pool=\"{pool}\"}} {}", histogram.count())?;
    writeln!(
        out,
        "{family}_sum{{pool=\"{pool}\"}} {}",
        Seconds(histogram.sum())
    )
}

/// Microseconds as seconds, exactly.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A label's value with what would end it escaped.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn names_cannot_end_a_label_and_seconds_are_exact() {
        assert_eq!(Label("a\"b\\c\nd").to_string(), "a\\\"b\\\\c\\nd");
        assert_eq!(Seconds(1_000_042).to_string(), "1.000042");
    }
}
