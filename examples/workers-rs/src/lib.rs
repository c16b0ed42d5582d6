//! A Worker in Rust whose requests share one pool: two tasks at once, however many requests there are, and none of them hangs.

use std::cell::Cell;
use std::time::Duration;
use tidegate::{Host, Pool, PoolOptions, RunOptions, WorkerdRuntime};
use worker::{Context, Delay, Env, Error, Request, Response, Result, event};

thread_local! {
    static POOL: std::result::Result<Pool<WorkerdRuntime>, String> =
        Pool::new(&Host::new(WorkerdRuntime::new()), PoolOptions::new(2)).map_err(|error| error.to_string());
    static RUNNING: Cell<u32> = const { Cell::new(0) };
    static MOST: Cell<u32> = const { Cell::new(0) };
}

/// Answers with what was sent, read after the request has had its turn; `GET /seen` says how many ran at once.
#[event(fetch)]
async fn fetch(request: Request, _env: Env, _context: Context) -> Result<Response> {
    if request.path() == "/seen" {
        return Response::ok(MOST.get().to_string());
    }
    let pool = POOL.with(Clone::clone).map_err(Error::RustError)?;
    let answer = pool.run(RunOptions::new(), |_| work(request)).await;
    Response::ok(answer.map_err(|error| Error::RustError(error.to_string()))?)
}

async fn work(mut request: Request) -> Result<String> {
    RUNNING.set(RUNNING.get() + 1);
    MOST.set(MOST.get().max(RUNNING.get()));
    Delay::from(Duration::from_millis(2)).await;
    let copy = request.clone()?.text().await?;
    let body = request.text().await?;
    RUNNING.set(RUNNING.get() - 1);
    Ok(format!("{copy} {body}"))
}
