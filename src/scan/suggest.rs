//! What somebody may have meant.

/// The one of `known` that is nearest to `typed`, if one is near: at most a third of its letters differ, and at least one may.
pub(super) fn nearest<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &&'a str| distance(&typed.to_lowercase(), name);
    let near = known.iter().copied().min_by_key(|name| distance(name))?;
    (distance(&near) <= (near.len() / 3).max(1)).then_some(near)
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_nonsense_is_not() {
        let known = ["http-probe", "port-probe", "cors-policy"];
        assert_eq!(nearest("htpp-probe", &known), Some("http-probe"));
        assert_eq!(nearest("Cors-Polic", &known), Some("cors-policy"));
        assert_eq!(nearest("banana", &known), None);
    }
}
