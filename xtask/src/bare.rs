//! Modules across whose boundary only numbers go: JavaScript calls their exports as they are.
//!
//! A function of numbers needs no glue, and what needs none should not weigh any. What wasm-bindgen adds for strings and objects goes,
//! and so do the words that only a panic would have read.

use anyhow::{Result, ensure};
use walrus::{DataId, ExportId, Module};

/// What stands between such a module and its callers: the exports of the instance in use, another one after a trap.
pub const GLUE: &str = "export let bindings;
export function use(exports) {
  bindings = exports;
  return bindings;
}
";

/// Leaves the memory and the functions of numbers; anything that the module would import then is a mistake.
pub fn strip(module: &mut Module) -> Result<()> {
    let glue: Vec<ExportId> = module
        .exports
        .iter()
        .filter(|export| export.name.starts_with("__"))
        .map(|export| export.id())
        .collect();
    for id in glue {
        module.exports.delete(id);
    }
    walrus::passes::gc::run(module);
    let imports: Vec<&str> = module.imports.iter().map(|import| import.name.as_str()).collect();
    ensure!(
        imports.is_empty(),
        "A module of numbers may import nothing, but it needs {}",
        imports.join(", ")
    );
    blank_text(module);
    Ok(())
}

/// As many printable characters in a row are text, and no table of ours.
const TEXT: usize = 16;

/// Panics and errors say what is wrong, and where in the sources; from a module of numbers nobody ever hears it.
fn blank_text(module: &mut Module) {
    let segments: Vec<DataId> = module.data.iter().map(|data| data.id()).collect();
    for id in segments {
        let bytes = &mut module.data.get_mut(id).value;
        for run in bytes.chunk_by_mut(|a, b| is_printable(*a) && is_printable(*b)) {
            if run.len() >= TEXT {
                run.fill(0);
            }
        }
    }
}

fn is_printable(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

/// The types of the exports, from those that wasm-bindgen lists of the module itself.
pub fn types(listed: &str) -> String {
    let mut out = String::from(
        "/** What the module exports: numbers in, numbers out. */\nexport interface Bindings {\n",
    );
    for line in listed.lines() {
        if let Some(item) = line
            .strip_prefix("export const ")
            .filter(|item| !item.starts_with("__"))
        {
            out.push_str("  readonly ");
            out.push_str(item);
            out.push('\n');
        }
    }
    out + "}\n/** The exports of the instance in use. */\nexport let bindings: Bindings;\n\
        /** Gives them, and gives others after a trap. */\n\
        export declare function use(exports: WebAssembly.Exports): Bindings;\n"
}
