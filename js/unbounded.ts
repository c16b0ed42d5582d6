import { CircuitBreaker } from "./breaker.js";
import { Pool } from "./pool.js";

const pools = new WeakMap<object, Pool>();

/**
 * A pool without a bound: what a call needs that has a timeout, a signal and a context, and nothing to wait for. One for
 * each owner, so that nothing but the owner holds anybody back.
 */
export function unbounded(owner: { readonly name: string }): Pool {
  let pool = pools.get(owner);
  if (pool === undefined) {
    const breaker = owner instanceof CircuitBreaker ? { breaker: owner } : {};
    pools.set(owner, (pool = new Pool({ name: owner.name, concurrency: 4_294_967_294, ...breaker })));
  }
  return pool;
}
