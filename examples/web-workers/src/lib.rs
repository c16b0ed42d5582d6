//! A page in Rust whose CPU work runs in Web Workers. Page and workers are instances of this one module: the page makes [`Work`], each
//! worker calls [`serve`].

use std::time::Duration;
use tidegate::{
    Host, KernelError, Kernels, WebRuntime, WebWorkers, WorkerPool, WorkerPoolOptions, WorkerRunOptions,
    parallel_map, serve_kernels,
};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

/// What the page asks for and the workers run: those of the crate, and one of our own.
fn kernels() -> Kernels {
    Kernels::built_in().with("collatz", |args| {
        let mut n = u64::from_le_bytes(
            args[0]
                .try_into()
                .map_err(|_| KernelError::new("expected 8 bytes"))?,
        );
        let mut steps = 0_u32;
        while n != 1 {
            n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
            steps += 1;
        }
        Ok(steps.to_le_bytes().to_vec())
    })
}

/// What a worker calls.
#[wasm_bindgen]
pub fn serve() -> Result<(), JsError> {
    Ok(serve_kernels(kernels())?)
}

/// A pool of workers, as the page has it.
#[wasm_bindgen]
pub struct Work(WorkerPool<WebRuntime>);

#[wasm_bindgen]
impl Work {
    /// Up to `most` workers, whose script is at `url`; a task may take half a second.
    #[wasm_bindgen(constructor)]
    pub fn new(url: &str, most: u32) -> Result<Work, JsError> {
        let options = WorkerPoolOptions::new()
            .name("work")
            .max(most)
            .task_timeout(Duration::from_millis(500));
        let host = Host::new(WebRuntime::new());
        Ok(Self(WorkerPool::new(
            &host,
            kernels(),
            WebWorkers::new(url),
            options,
        )?))
    }

    /// Runs one kernel over one argument; without any it is called with none.
    pub async fn run(&self, kernel: String, bytes: Option<Vec<u8>>) -> Result<Vec<u8>, JsError> {
        let options = WorkerRunOptions::new();
        Ok(self.0.run(&kernel, bytes.as_deref(), &options).await?)
    }

    /// Hashes pieces of so many bytes, on every core, and gives their digests one behind the other.
    #[wasm_bindgen(js_name = hashPieces)]
    pub async fn hash_pieces(&self, bytes: Vec<u8>, size: usize) -> Result<Vec<u8>, JsError> {
        let options = WorkerRunOptions::new().idempotent();
        let digests = parallel_map(&self.0, "sha256", bytes.chunks(size.max(1)), &options).await?;
        Ok(digests.concat())
    }

    /// How many workers there are.
    #[wasm_bindgen(getter)]
    pub fn workers(&self) -> usize {
        self.0.workers()
    }

    /// Whether the page does the work itself, since there are no workers to be had.
    #[wasm_bindgen(getter, js_name = runsHere)]
    pub fn runs_here(&self) -> bool {
        self.0.runs_here()
    }
}
