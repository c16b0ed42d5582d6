//! Leaked credentials in text: what they look like, and the search for all of them in one pass.
//!
//! The [rules] lie in `rules.json`, a file of the package (`tidegate/secret-rules.json`): for each kind of credential the
//! fixed text it begins with, the shape of what stands around that text, and how random it must be. The [search](SecretSearch)
//! runs one automaton over the text, which knows the fixed texts of all rules (Aho and Corasick, 1975, as a full DFA: one
//! lookup a byte, whatever is in it), and looks closer only where one of them ends. No regular expressions, no
//! backtracking: the time is linear in the text, whoever wrote it.
//!
//! ```
//! use tidegate::kernels::secrets::SecretSearch;
//!
//! let search = SecretSearch::built_in()?;
//! let id = ["AKIA", "QYLPMN5HHHFPZAM2"].concat(); // never worked
//! let text = format!("const id = \"{id}\";");
//! let found = search.find(text.as_bytes());
//! assert_eq!(search.rule(&found[0]).unwrap().id, "aws-access-key-id");
//! assert_eq!(&text[found[0].start..found[0].end], id);
//! assert_eq!(search.masked(text.as_bytes(), &found[0]), "AKIA… (20 characters)");
//! # Ok::<(), String>(())
//! ```

mod candidate;
mod checks;
mod classes;
pub mod rules;
mod search;

pub use rules::{Confidence, Grade, Rule, Rules};
pub use search::{Match, Pass, SecretSearch};
