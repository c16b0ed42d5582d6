//! Reckoning ahead: how many at once, and how long it will take (Little, "A Proof for the Queuing Formula L = λW", 1961).

use core::time::Duration;

/// What [`optimal_concurrency`] recommends.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Optimal {
    /// How many calls at once use the rate up, retries included.
    pub concurrency: u32,
    /// How many results to buffer: three times as many.
    pub buffer: u32,
    /// When to give a call up: after twice its latency.
    pub timeout: Duration,
}

/// How many calls at once it takes to use `rate` calls a second that take `latency` each, of which the share
/// `error_rate` is done once more. What is not a positive number counts as 0; the answer is at least 1.
pub fn optimal_concurrency(rate: f64, latency: Duration, error_rate: f64) -> Optimal {
    let again = 1.0 + error_rate.max(0.0);
    // In milliseconds, which are whole where seconds are not, and less the rounding of the product: 100 calls of
    // 0.5 s with 10 % errors are 55 at once, not 55.00000000000001 and so 56.
    let at_once = rate.max(0.0) * latency.as_secs_f64() * 1000.0 * again / 1000.0;
    let concurrency = ((at_once * (1.0 - 1e-12)).ceil() as u32).max(1);
    Optimal {
        concurrency,
        buffer: concurrency.saturating_mul(3),
        timeout: latency.saturating_mul(2),
    }
}

/// What [`predict`] expects.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Prediction {
    /// How long all items take.
    pub duration: Duration,
    /// How many items end in a second; 0 if there are none, infinite if they take no time.
    pub throughput: f64,
    /// How long an item waits on average before it begins.
    pub wait: Duration,
}

/// How long `items` take that take `latency` each, `concurrency` at once.
pub fn predict(items: u64, latency: Duration, concurrency: u32) -> Prediction {
    if items == 0 {
        return Prediction {
            duration: Duration::ZERO,
            throughput: 0.0,
            wait: Duration::ZERO,
        };
    }
    // More slots than items do not help.
    let at_once = u64::from(concurrency.max(1)).min(items);
    let duration = seconds(latency.as_secs_f64() * items as f64 / at_once as f64);
    Prediction {
        duration,
        throughput: at_once as f64 / latency.as_secs_f64(),
        // The first begins at once, the last one latency before the end.
        wait: duration.saturating_sub(latency) / 2,
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn as_many_at_once_as_begin_while_one_runs() {
        let optimal = optimal_concurrency(100.0, ms(500), 0.1);
        assert_eq!(
            (optimal.concurrency, optimal.buffer, optimal.timeout),
            (55, 165, ms(1000))
        );
        assert_eq!(optimal_concurrency(10.0, ms(1000), 0.1).concurrency, 11);
        assert_eq!(optimal_concurrency(100.0, ms(70), 0.0).concurrency, 7);
        assert_eq!(optimal_concurrency(100.0, ms(71), 0.0).concurrency, 8);
    }

    #[test]
    fn latencies_below_a_second_do_not_give_zero() {
        assert_eq!(optimal_concurrency(1.0, ms(50), 0.0).concurrency, 1);
        assert_eq!(optimal_concurrency(5.0, ms(900), 0.0).concurrency, 5);
    }

    #[test]
    fn what_is_no_number_gives_one_and_what_is_endless_the_most() {
        assert_eq!(optimal_concurrency(f64::NAN, ms(100), f64::NAN).concurrency, 1);
        assert_eq!(optimal_concurrency(-5.0, ms(100), -1.0).concurrency, 1);
        assert_eq!(
            optimal_concurrency(f64::INFINITY, Duration::MAX, 0.0).concurrency,
            u32::MAX
        );
    }

    #[test]
    fn predictions_follow_littles_law() {
        let prediction = predict(100, ms(200), 10);
        assert_eq!((prediction.duration, prediction.wait), (ms(2000), ms(900)));
        assert_eq!(prediction.throughput, 50.0);
    }

    #[test]
    fn more_slots_than_items_do_not_help() {
        let prediction = predict(3, ms(200), 10);
        assert_eq!((prediction.duration, prediction.wait), (ms(200), ms(0)));
        assert_eq!(prediction.throughput, 15.0);
    }

    #[test]
    fn nothing_and_endless_are_predicted_without_a_panic() {
        assert_eq!(predict(0, ms(200), 10).duration, Duration::ZERO);
        assert_eq!(predict(1, ms(200), 0).duration, ms(200));
        assert_eq!(predict(u64::MAX, Duration::MAX, 1).duration, Duration::MAX);
        assert_eq!(predict(5, Duration::ZERO, 1).duration, Duration::ZERO);
    }
}
