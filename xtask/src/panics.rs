//! Takes out of a module what its panics would say.
//!
//! A panic ends in a trap, and on this platform what it says first goes nowhere: there is no stream for it. The words, the
//! places and the formatting of both are still compiled in, an eighth of the smallest module. Every function that does
//! nothing but panic becomes the trap itself; the optimiser then drops what only led there.

use anyhow::{Result, bail};
use std::collections::HashSet;
use walrus::ir::{Call, Visitor, dfs_in_order};
use walrus::{FunctionBuilder, FunctionId, FunctionKind, Module};

/// Parts of the names of functions that never return.
const NEVER_RETURN: [&str; 15] = [
    "core::panicking::",
    "core::option::unwrap_failed",
    "core::option::expect_failed",
    "core::result::unwrap_failed",
    "core::cell::panic_already",
    "core::slice::index::slice_",
    "core::str::slice_error_fail",
    "alloc::raw_vec::handle_error",
    "alloc::raw_vec::capacity_overflow",
    "alloc::alloc::handle_alloc_error",
    "std::panicking::begin_panic",
    "std::panicking::panic_handler",
    "std::panicking::panic_with_hook",
    "std::alloc::rust_oom",
    "::rust_begin_unwind",
];

/// Only numbers cross between the policy modules and JavaScript: what formats there, formats for panics.
const FORMATS: &str = "core::fmt::";

/// Makes what only panics trap at once; with `numbers_only`, what formats as well, and says who formats nevertheless.
pub fn silence(module: &mut Module, numbers_only: bool) -> Result<()> {
    let formats: HashSet<FunctionId> = if numbers_only {
        named(module, &[FORMATS])
    } else {
        HashSet::new()
    };
    let silent = &named(module, &NEVER_RETURN) | &formats;
    for (id, function) in module.funcs.iter_local().filter(|(id, _)| !silent.contains(id)) {
        let mut calls = Calls(Vec::new());
        dfs_in_order(&mut calls, function, function.entry_block());
        if calls.0.iter().any(|callee| formats.contains(callee)) {
            let name = module
                .funcs
                .get(id)
                .name
                .as_deref()
                .unwrap_or("a function without a name");
            bail!("Only panics may format in a module of numbers, but {name} does");
        }
    }
    for id in silent {
        trap_at_once(module, id);
    }
    Ok(())
}

/// The functions of the module whose names have one of these parts.
fn named(module: &Module, parts: &[&str]) -> HashSet<FunctionId> {
    let has_part = |name: &str| parts.iter().any(|part| name.contains(part));
    module
        .funcs
        .iter_local()
        .map(|(id, _)| id)
        .filter(|id| {
            let name = module.funcs.get(*id).name.as_deref();
            name.is_some_and(|name| has_part(&without_hashes(name)))
        })
        .collect()
}

struct Calls(Vec<FunctionId>);

impl Visitor<'_> for Calls {
    fn visit_call(&mut self, call: &Call) {
        self.0.push(call.func);
    }
}

fn trap_at_once(module: &mut Module, id: FunctionId) {
    let FunctionKind::Local(old) = &module.funcs.get(id).kind else {
        return;
    };
    let arguments = old.args.clone();
    let signature = module.types.get(old.ty());
    let (params, results) = (signature.params().to_vec(), signature.results().to_vec());
    let mut function = FunctionBuilder::new(&mut module.types, &params, &results);
    function.func_body().unreachable();
    module.funcs.get_mut(id).kind = FunctionKind::Local(function.local_func(arguments));
}

/// `core[c5930c85a12de822]::option::unwrap_failed` as people write it.
fn without_hashes(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut inside = 0_u32;
    for c in name.chars() {
        match c {
            '[' => inside += 1,
            ']' => inside = inside.saturating_sub(1),
            c if inside == 0 => out.push(c),
            _ => {}
        }
    }
    out
}
