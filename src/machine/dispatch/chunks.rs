//! How a long list is cut into tasks for workers.

/// How long one chunk should take, in microseconds: a hundred times what its message costs, and short enough to be
/// cancelled, shared out and shown as progress.
const CHUNK: f64 = 20_000.0;
/// What the first chunk takes before anybody knows what an item costs.
const FIRST: u64 = 16;

/// How many of the items that are left the next chunk takes: as many as take 20 ms by what an item has cost so far, and no
/// more than half a fair share of the rest, so that all workers end together (guided self-scheduling: Polychronopoulos
/// and Kuck, 1987).
pub fn chunk(left: u64, workers: u32, item_micros: Option<f64>) -> u64 {
    let share = left.div_ceil(2 * u64::from(workers.max(1)));
    let by_cost = match item_micros {
        Some(cost) => (CHUNK / cost.max(0.001)) as u64,
        None => FIRST,
    };
    by_cost.clamp(1, share.max(1)).min(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_chunk_takes_what_fits_its_time_and_never_more_than_half_a_fair_share() {
        assert_eq!(chunk(1_000_000, 2, None), 16);
        assert_eq!(chunk(1_000_000, 2, Some(10.0)), 2_000);
        assert_eq!(chunk(1_000, 2, Some(10.0)), 250);
        assert_eq!(chunk(1_000, 2, Some(100_000.0)), 1);
        assert_eq!(chunk(3, 8, None), 1);
        assert_eq!(chunk(0, 0, Some(0.0)), 0);
        assert_eq!(chunk(10, 1, Some(f64::NAN)), 5);
    }
}
