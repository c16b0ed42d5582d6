//! How many workers a machine bears, by how hard it is pressed.

/// How much of a machine to use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Strategy {
    /// Half of the cores, at least one.
    Conservative,
    /// As many as there are cores.
    #[default]
    Balanced,
    /// Twice the cores, at most eight.
    Aggressive,
}

/// What a browser that does not say is taken to have.
const CORES: u32 = 4;
const PRESSED: f64 = 0.8;

impl Strategy {
    /// How many workers that is; cores that are unknown are 4.
    pub fn concurrency(self, cores: Option<u32>) -> u32 {
        let cores = cores.filter(|cores| *cores > 0).unwrap_or(CORES);
        match self {
            Self::Conservative => (cores / 2).max(1),
            Self::Balanced => cores,
            Self::Aggressive => cores.saturating_mul(2).min(8),
        }
    }

    /// This strategy, or the conservative one above 80 % of time busy or memory used; `None` is unknown, which is no
    /// reason to hold back.
    pub fn under(self, busy: Option<f64>, memory: Option<f64>) -> Self {
        let pressed = |share: Option<f64>| share.is_some_and(|share| share > PRESSED);
        if pressed(busy) || pressed(memory) {
            Self::Conservative
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn strategies_scale_with_the_cores() {
        let of = |cores| {
            [Strategy::Conservative, Strategy::Balanced, Strategy::Aggressive]
                .map(|strategy| strategy.concurrency(cores))
        };
        assert_eq!(of(Some(1)), [1, 1, 2]);
        assert_eq!(of(Some(3)), [1, 3, 6]);
        assert_eq!(of(Some(16)), [8, 16, 8]);
        assert_eq!(of(None), [2, 4, 8]);
        assert_eq!(of(Some(0)), of(None));
    }

    #[test]
    fn above_eighty_percent_it_is_conservative() {
        let aggressive = Strategy::Aggressive;
        assert_eq!(aggressive.under(Some(0.8), Some(0.8)), Strategy::Aggressive);
        assert_eq!(aggressive.under(Some(0.81), None), Strategy::Conservative);
        assert_eq!(aggressive.under(None, Some(0.81)), Strategy::Conservative);
        assert_eq!(aggressive.under(None, None), Strategy::Aggressive);
    }
}
