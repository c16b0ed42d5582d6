//! Many inputs at once, over all workers of a pool.

use super::{WorkerError, WorkerPool, WorkerRunOptions};
use crate::future::runtime::Runtime;
use futures::stream::{self, StreamExt, TryStreamExt};
use std::rc::Rc;

/// Tasks under way for each worker: enough for full messages, few enough that a long list takes no memory twice.
const EACH: usize = 64;

/// Runs a kernel over each of `inputs`, on all workers, and gives the results in their order. The first failure ends it; what
/// was not begun is taken back.
///
/// # Errors
///
/// As [`WorkerPool::run`].
///
/// # Cancel safety
///
/// Dropping the future takes back what has not ended.
///
/// # Examples
///
/// ```
/// use tidegate::{Host, Kernels, NoWorkers, VirtualRuntime, WorkerPool, WorkerPoolOptions, WorkerRunOptions, parallel_map};
///
/// let runtime = VirtualRuntime::new();
/// let kernels = Kernels::new().with("length", |args| Ok(vec![args[0].len() as u8]));
/// let pool = WorkerPool::new(&Host::new(runtime.clone()), kernels, NoWorkers, WorkerPoolOptions::new())?;
/// let inputs = ["ebb", "flood", "slack"].map(str::as_bytes);
/// let lengths = runtime.block_on(parallel_map(&pool, "length", inputs, &WorkerRunOptions::new()))?;
/// assert_eq!(lengths, [[3], [5], [5]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn parallel_map<'a, R: Runtime>(
    pool: &WorkerPool<R>,
    kernel: &str,
    inputs: impl IntoIterator<Item = &'a [u8]>,
    options: &WorkerRunOptions,
) -> Result<Vec<Vec<u8>>, WorkerError> {
    let one = |input: &'a [u8]| pool.run_shared(kernel, vec![Rc::from(input)], options);
    at_once(pool, inputs.into_iter().map(one)).try_collect().await
}

/// Runs `kernel` over each of `inputs`, and then `merge` over two results at a time, neighbours first, until one is left; none
/// of no inputs. `merge` takes two arguments and has to be associative: it need not be commutative, the order is kept.
///
/// # Errors
///
/// As [`WorkerPool::run`].
///
/// # Cancel safety
///
/// Dropping the future takes back what has not ended.
///
/// # Examples
///
/// ```
/// use tidegate::{Host, Kernels, NoWorkers, VirtualRuntime, WorkerPool, WorkerPoolOptions, WorkerRunOptions, parallel_reduce};
///
/// let runtime = VirtualRuntime::new();
/// let kernels = Kernels::new()
///     .with("trim", |args| Ok(args[0].trim_ascii().to_vec()))
///     .with("join", |args| Ok(args.join(&b' ')));
/// let pool = WorkerPool::new(&Host::new(runtime.clone()), kernels, NoWorkers, WorkerPoolOptions::new())?;
/// let inputs = [" high", "water ", " at nine "].map(str::as_bytes);
/// let all = runtime.block_on(parallel_reduce(&pool, "trim", "join", inputs, &WorkerRunOptions::new()))?;
/// assert_eq!(all.as_deref(), Some(&b"high water at nine"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn parallel_reduce<'a, R: Runtime>(
    pool: &WorkerPool<R>,
    kernel: &str,
    merge: &str,
    inputs: impl IntoIterator<Item = &'a [u8]>,
    options: &WorkerRunOptions,
) -> Result<Option<Vec<u8>>, WorkerError> {
    let mut level: Vec<Rc<[u8]>> = parallel_map(pool, kernel, inputs, options)
        .await?
        .into_iter()
        .map(Rc::from)
        .collect();
    while level.len() > 1 {
        let (pairs, odd) = level.as_chunks::<2>();
        let two = |pair: &[Rc<[u8]>; 2]| pool.run_shared(merge, pair.to_vec(), options);
        let merged: Vec<Vec<u8>> = at_once(pool, pairs.iter().map(two)).try_collect().await?;
        level = merged
            .into_iter()
            .map(Rc::from)
            .chain(odd.iter().cloned())
            .collect();
    }
    Ok(level.pop().map(|all| all.to_vec()))
}

fn at_once<R: Runtime, F: Future>(
    pool: &WorkerPool<R>,
    tasks: impl Iterator<Item = F>,
) -> impl stream::Stream<Item = F::Output> {
    stream::iter(tasks).buffered(pool.0.max as usize * EACH)
}
