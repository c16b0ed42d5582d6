//! Pools of workers as a user has them: threads where there are any, and this thread where there are none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(not(target_arch = "wasm32"))]
#[path = "worker_pool/threads.rs"]
mod on_the_host;

use tidegate::{
    Host, KernelError, Kernels, NoWorkers, VirtualRuntime, WorkerError, WorkerPool, WorkerPoolOptions,
    WorkerRunOptions, parallel_map,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn where_there_are_no_workers_kernels_run_here_and_say_so() {
    let runtime = VirtualRuntime::new();
    let kernels = Kernels::new()
        .with("echo", |args| Ok(args[0].to_vec()))
        .with("fail", |_| Err(KernelError::new("no")));
    let pool = WorkerPool::new(
        &Host::new(runtime.clone()),
        kernels,
        NoWorkers,
        WorkerPoolOptions::new(),
    )
    .unwrap();
    let options = WorkerRunOptions::new();
    let inputs: Vec<[u8; 1]> = (0..=255).map(|n| [n]).collect();
    let mapped = runtime.block_on(parallel_map(
        &pool,
        "echo",
        inputs.iter().map(<[u8; 1]>::as_slice),
        &options,
    ));
    assert_eq!(mapped.unwrap(), inputs);
    let failed = runtime.block_on(pool.run("fail", [&b""[..]], &options));
    assert_eq!(failed, Err(WorkerError::Kernel(KernelError::new("no"))));
    assert!(pool.runs_here());
}
