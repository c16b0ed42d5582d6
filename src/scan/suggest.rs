//! What somebody may have meant.

/// The one of `known` that is nearest to `typed`, if one is near: at most a third of its letters differ, and at least one may.
pub(super) fn nearest<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &&'a str| distance(&typed.to_lowercase(), name);
    let near = known.iter().copied().min_by_key(|name| distance(name))?;
    (distance(&near) <= (near.len() / 3).max(1)).then_some(near)
}

/// How many letters were left out, added, mistaken or swapped: the optimal string alignment distance.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let replaced = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                let swapped: usize = before[j - 2];
                least = least.min(swapped + 1);
            }
            next.push(least);
        }
        before = core::mem::replace(&mut row, next);
    }
    row[b.len()]
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
        assert_eq!(nearest("hihg", &["high", "low"]), Some("high"));
        assert_eq!(nearest("banana", &known), None);
    }
}
