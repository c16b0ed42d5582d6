/**
 * What must hold after the module traps, whatever the runtime: told by a module with an export that traps on purpose.
 */

/**
 * Loads `slim` with the trapping module and walks through a trap. Gives what was seen, for the test to judge.
 *
 * @param {typeof import("tidegate/slim")} slim
 * @param {BufferSource} bytes
 */
export async function trapAndRecover({ init, Pool, CircuitBreaker, isRuntimeTrapError }, bytes) {
  const instances = spyOnInstances();
  await init(bytes);

  const pool = new Pool({ name: "shaken", concurrency: 2 });
  const breaker = new CircuitBreaker({ consecutive: 1, openFor: 60_000 });
  await breaker.run(() => Promise.reject(new Error("down"))).catch(() => {});
  const [first, second] = [gate(), gate()];
  const running = [pool.run(() => first.promise), pool.run(() => second.promise)];
  let waiterRan = false;
  const waiter = pool.run(() => {
    waiterRan = true;
  });
  const waiting = outcome(waiter);

  instances.armed = true;
  const caller = await outcome(pool.run(() => "never"));
  const seen = {
    callerTrapped: isRuntimeTrapError(caller.error),
    waiterTrapped: isRuntimeTrapError((await waiting).error),
    waiterRan,
    instances: instances.count,
    activeAfter: pool.active,
    queuedAfter: pool.queued,
    breakerAfter: breaker.state,
  };

  // Both slots are still taken by live work: the next task has to wait for one of them.
  let nextRan = false;
  const next = pool.run(() => {
    nextRan = true;
    return "next";
  });
  await turn();
  seen.nextRanTooEarly = nextRan;
  seen.queuedBehindTheLiving = pool.queued;
  first.open("first");
  seen.next = await next;
  second.open("second");
  seen.living = await Promise.all(running);
  await pool.onIdle();
  seen.activeAtTheEnd = pool.active;
  return seen;
}

/** What {@link trapAndRecover} must see. */
export const recovered = {
  callerTrapped: true,
  waiterTrapped: true,
  waiterRan: false,
  instances: 2,
  activeAfter: 2,
  queuedAfter: 0,
  breakerAfter: "open",
  nextRanTooEarly: false,
  queuedBehindTheLiving: 1,
  next: "next",
  living: ["first", "second"],
  activeAtTheEnd: 0,
};

/** Counts instances, and makes the next request to a pool trap inside wasm once it is armed. */
function spyOnInstances() {
  const spy = { count: 0, armed: false };
  const { Instance } = WebAssembly;
  WebAssembly.Instance = function spied(module, imports) {
    spy.count += 1;
    const { exports } = new Instance(module, imports);
    const pool_request = (...numbers) => {
      if (!spy.armed) return exports.pool_request(...numbers);
      spy.armed = false;
      return exports.trap();
    };
    return { exports: { ...exports, pool_request } };
  };
  return spy;
}

function gate() {
  let open;
  const promise = new Promise((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

const outcome = (promise) =>
  promise.then(
    (value) => ({ value }),
    (error) => ({ error }),
  );

const turn = () => new Promise((resolve) => setTimeout(resolve, 0));
