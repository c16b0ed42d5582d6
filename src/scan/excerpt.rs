//! What a target says, at most so much of it: one that talks without end must not fill a report.

/// Characters of what was seen that stand in one finding.
pub(super) const LONGEST_EVIDENCE: usize = 500;

/// The first `most` characters, with an ellipsis where there were more.
pub(super) fn excerpt(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_is_longer_ends_in_an_ellipsis_and_never_within_a_character() {
        assert_eq!(excerpt("tide", 4), "tide");
        assert_eq!(excerpt("Gezeiten", 4), "Geze…");
        assert_eq!(excerpt("ßßß", 2), "ßß…");
    }
}
