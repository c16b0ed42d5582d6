//! What is wrong with an option, said in one sentence.

use core::fmt;
use core::time::Duration;

/// An option that cannot be honoured. Its text is one sentence that names the option, what would do and what came:
/// ``Expected `limit` to be an integer ≥ 1, got `0` ``.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ConfigError {
    option: &'static str,
    expected: &'static str,
    got: Got,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Got {
    Integer(u64),
    Number(f64),
    Duration(Duration),
}

impl ConfigError {
    /// An integer that is out of range.
    pub const fn integer(option: &'static str, expected: &'static str, got: u64) -> Self {
        let got = Got::Integer(got);
        Self {
            option,
            expected,
            got,
        }
    }

    /// A number that is out of range.
    pub const fn number(option: &'static str, expected: &'static str, got: f64) -> Self {
        let got = Got::Number(got);
        Self {
            option,
            expected,
            got,
        }
    }

    /// A duration that is out of range.
    pub const fn duration(option: &'static str, expected: &'static str, got: Duration) -> Self {
        let got = Got::Duration(got);
        Self {
            option,
            expected,
            got,
        }
    }

    /// The option's name.
    pub const fn option(&self) -> &'static str {
        self.option
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expected `{}` to be {}, got ", self.option, self.expected)?;
        match self.got {
            Got::Integer(n) => write!(f, "`{n}`"),
            Got::Number(n) => write!(f, "`{n}`"),
            Got::Duration(d) => write!(f, "`{d:?}`"),
        }
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_sentence_names_the_option_what_would_do_and_what_came() {
        let error = ConfigError::integer("limit", "an integer ≥ 1", 0);
        assert_eq!(
            error.to_string(),
            "Expected `limit` to be an integer ≥ 1, got `0`"
        );
        let error = ConfigError::number("ratio", "a number above 0 and at most 1", 1.5);
        assert_eq!(
            error.to_string(),
            "Expected `ratio` to be a number above 0 and at most 1, got `1.5`"
        );
        assert_eq!(error.option(), "ratio");
        let error = ConfigError::duration("per", "longer than nothing", Duration::ZERO);
        assert_eq!(
            error.to_string(),
            "Expected `per` to be longer than nothing, got `0ns`"
        );
    }
}
