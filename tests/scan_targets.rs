//! What holds for any list of targets that anybody may paste.
#![cfg(feature = "scan")]
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use tidegate::scan::target::Entry;
use tidegate::scan::targets::Targets;

/// Text that is likely to look like an address, and text that is not.
fn typed() -> impl Strategy<Value = String> {
    prop_oneof![
        "(https?://)?[a-z0-9.-]{1,12}(:[0-9]{0,5}(-[0-9]{0,5})?)?(/[a-zA-Z?&=%# äé\\\\]{0,10})?",
        "(HTTPS?://)?\\[?[0-9a-f:.]{1,20}\\]?(:[0-9]{1,5})?",
        "[0-9a-fx.]{1,18}",
        "[:/@\\[\\]#?%. \\\\\u{202e}\u{0}a1-]{0,12}",
        ".{0,40}",
    ]
}

proptest! {
    #[test]
    fn no_entry_breaks_the_parser_and_every_refusal_is_one_sentence(text in typed()) {
        if let Err(refusal) = Entry::parse(&text) {
            prop_assert!(refusal.ends_with('.'), "{refusal}");
            prop_assert!(!refusal.contains('\n'), "{refusal}");
            prop_assert!(refusal.len() < 800, "{refusal}");
        }
    }

    #[test]
    fn the_name_of_a_target_names_the_same_target(text in typed()) {
        let Ok(entry) = Entry::parse(&text) else { return Ok(()) };
        for target in entry.targets().take(3) {
            let again: Vec<_> = Entry::parse(&target.url()).unwrap().targets().collect();
            prop_assert_eq!(again.len(), 1);
            prop_assert_eq!(again[0].url(), target.url());
            prop_assert_eq!(again[0].authority(), target.authority());
        }
    }

    #[test]
    fn an_address_goes_on_the_wire_in_one_piece(text in typed()) {
        let Ok(entry) = Entry::parse(&text) else { return Ok(()) };
        for target in entry.targets().take(3) {
            prop_assert!(target.path.starts_with('/'));
            prop_assert!(target.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{}", target.path);
            prop_assert!(!target.host.is_empty());
            prop_assert!(!target.host.contains(['/', '@', '#', '?', '\\', '%', ' ', '[', ']']), "{}", target.host);
            prop_assert_ne!(target.port, 0);
        }
    }

    #[test]
    fn a_list_loses_no_entry_and_repeats_none(texts in proptest::collection::vec(typed(), 0..8)) {
        let list = Targets::parse(&texts);
        let mut urls: Vec<String> = list.targets.iter().map(|target| target.url()).collect();
        let named = urls.len();
        urls.sort();
        urls.dedup();
        prop_assert_eq!(urls.len(), named);
        for text in &texts {
            if let Ok(entry) = Entry::parse(text)
                && !text.contains([',', '#'])
                && !text.trim().contains(char::is_whitespace)
            {
                for target in entry.targets() {
                    prop_assert!(urls.binary_search(&target.url()).is_ok() || named >= 10_000, "{}", target.url());
                }
            }
        }
        for invalid in &list.invalid {
            prop_assert!(!invalid.input.is_empty() && invalid.message.ends_with('.'), "{invalid:?}");
        }
    }
}
