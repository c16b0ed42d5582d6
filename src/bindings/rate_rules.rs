//! The rules of a rate across the wasm boundary. They come through the list of the reply area, four numbers each: 0 for a token
//! bucket or 1 for a sliding window, limit, milliseconds, burst.

use super::millis;
use crate::machine::rate::RateConfig;

/// So many rules from the list; `None` where one is out of range.
pub(super) fn rules_of(list: &[f64], count: u32) -> Option<Vec<RateConfig>> {
    let (numbers, _) = list.get(..count as usize * 4)?.as_chunks::<4>();
    let mut rules = Vec::with_capacity(numbers.len());
    for &[kind, limit, per, burst] in numbers {
        let (limit, per) = (limit as u32, millis(per));
        let rule = if kind == 0.0 {
            RateConfig::token_bucket(limit, per, Some(burst as u32))
        } else {
            RateConfig::sliding_window(limit, per)
        };
        rules.push(rule.ok()?);
    }
    Some(rules)
}
