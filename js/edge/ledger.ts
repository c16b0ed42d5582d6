/**
 * What a coordinator decides, as functions of what it knows, a request and a time: the same for one that lives in this
 * isolate and for a Durable Object, whose truth is a row of its database. Times are its own epoch milliseconds, and
 * nothing is promised by them: what was granted ends after so many milliseconds by whichever clock counts them.
 */

/** What is asked of a coordinator about one key. */
export type CoordinatorRequest =
  | PermitsRequest
  | RateRequest
  | LockRequest
  | UnlockRequest
  | ReadRequest
  | WriteRequest
  | BreakerRequest;

/** A holder says how many slots it will not exceed and how many it could use; it is heard of by that, too. */
export interface PermitsRequest {
  kind: "permits";
  holder: string;
  limit: number;
  hold: number;
  want: number;
  ttl: number;
}

/** So many slots are the holder's for its time; it is to go down to `target` as its work ends. */
export interface PermitsAnswer {
  granted: number;
  target: number;
  fence: number;
  /** Others want more than they have: what is not needed is to be given back and not kept. */
  wanted: boolean;
}

/** Takes tokens in advance, as many of those wanted as there are; none where there are fewer than `least` (1). */
export interface RateRequest {
  kind: "rate";
  limit: number;
  per: number;
  want: number;
  least?: number;
}

export interface RateAnswer {
  granted: number;
  /** Milliseconds until there are as many as were the least; 0 where some were granted. */
  retryAfter: number;
}

/** Takes a lock, or, by the one that has it, keeps it. A waiter asks again within two seconds, or loses its place. */
export interface LockRequest {
  kind: "lock";
  holder: string;
  ttl: number;
}

export interface LockAnswer {
  /** Above every fence before it; 0 where the lock is somebody else's. */
  fence: number;
}

export interface UnlockRequest {
  kind: "unlock";
  holder: string;
}

export interface ReadRequest {
  kind: "read";
}

/** Writes a value, where `version` is the one that is there: 0 for none, absent for whichever. */
export interface WriteRequest {
  kind: "write";
  value: unknown;
  version?: number;
}

export interface StateAnswer {
  value: unknown;
  version: number;
  /** Whether the value is the one that was asked to be written. */
  written: boolean;
}

/** Tells of a circuit that opened for so long or closed, or only asks. */
export interface BreakerRequest {
  kind: "breaker";
  openFor?: number;
  closed?: boolean;
}

export interface BreakerAnswer {
  /** Milliseconds for which the circuit is still open. */
  openFor: number;
}

/** What each request is answered with. */
export interface Answers {
  permits: PermitsAnswer;
  rate: RateAnswer;
  lock: LockAnswer;
  unlock: LockAnswer;
  read: StateAnswer;
  write: StateAnswer;
  breaker: BreakerAnswer;
}

/** What is known about one key. Each kind of request uses its own part, and kinds do not meet under one key. */
export interface Ledger {
  fence: number;
  blocks?: Record<string, Block>;
  /** When the bucket would be full again (GCRA's theoretical arrival time, ITU-T I.371). */
  fullAt?: number;
  owner?: { holder: string; until: number; fence: number };
  line?: { holder: string; until: number }[];
  value?: unknown;
  version?: number;
  openUntil?: number;
}

interface Block {
  count: number;
  want: number;
  until: number;
  /** When it last came from nothing to something, counted in such moments: who has waited longest comes first. */
  fence: number;
}

/** How long somebody who waits for a lock is waited for. */
const PATIENCE = 2000;

/** Nothing is known. */
export function newLedger(): Ledger {
  return { fence: 0 };
}

/** Decides one request, and changes the ledger accordingly. */
export function decide<K extends keyof Answers>(
  ledger: Ledger,
  request: Extract<CoordinatorRequest, { kind: K }>,
  now: number,
): Answers[K] {
  return rules[request.kind](ledger, request as never, now) as Answers[K];
}

/** When something next runs out by itself, so that nobody need ask for it to be forgotten. */
export function nextExpiry({ blocks = {}, owner, line = [] }: Ledger): number {
  const ends = [...Object.values(blocks), ...line, ...(owner === undefined ? [] : [owner])];
  return ends.reduce((first, { until }) => Math.min(first, until), Number.POSITIVE_INFINITY);
}

/** Forgets what has run out. */
export function expire(ledger: Ledger, now: number): void {
  for (const [holder, { until }] of Object.entries(ledger.blocks ?? {}))
    if (until <= now) delete (ledger.blocks as Record<string, Block>)[holder];
  if (ledger.owner !== undefined && ledger.owner.until <= now) delete ledger.owner;
  ledger.line = ledger.line?.filter(({ until }) => until > now);
}

const rules = {
  permits(ledger: Ledger, { holder, limit, hold, want, ttl }: PermitsRequest, now: number): PermitsAnswer {
    expire(ledger, now);
    ledger.blocks ??= {};
    const { blocks } = ledger;
    const before = blocks[holder];
    // Whose lease was over has nothing any more, whatever it believes.
    const held = Math.min(hold, before?.count ?? 0);
    const block: Block = {
      count: held,
      want: Math.max(want, held),
      until: now + ttl,
      fence: before?.fence ?? 0,
    };
    blocks[holder] = block;
    const target = shareOf(block, Object.values(blocks), limit);
    const others = Object.values(blocks).reduce((sum, { count }) => sum + count, 0) - held;
    block.count = Math.max(held, Math.min(target, limit - others));
    if (block.count > 0 && (before?.count ?? 0) === 0) {
      ledger.fence += 1;
      block.fence = ledger.fence;
    }
    const wanted = Object.values(blocks).some((one) => one !== block && one.want > one.count);
    return { granted: block.count, target, fence: block.fence, wanted };
  },

  rate(ledger: Ledger, { limit, per, want, least = 1 }: RateRequest, now: number): RateAnswer {
    const each = per / limit;
    const fullAt = Math.max(ledger.fullAt ?? 0, now);
    // A hair more, because a sum of thirds is less than one.
    const there = Math.floor((now + per - fullAt) / each + 1e-9);
    const granted = there < least ? 0 : Math.min(want, there);
    ledger.fullAt = fullAt + granted * each;
    return {
      granted,
      retryAfter: granted > 0 ? 0 : Math.max(1, Math.ceil(fullAt + least * each - per - now)),
    };
  },

  lock(ledger: Ledger, { holder, ttl }: LockRequest, now: number): LockAnswer {
    expire(ledger, now);
    ledger.line ??= [];
    const { line, owner } = ledger;
    if (owner?.holder === holder) {
      owner.until = now + ttl;
      return { fence: owner.fence };
    }
    const place = line.find((one) => one.holder === holder);
    if (owner === undefined && (line.length === 0 || line[0] === place)) {
      if (place !== undefined) line.shift();
      ledger.fence += 1;
      ledger.owner = { holder, until: now + ttl, fence: ledger.fence };
      return { fence: ledger.fence };
    }
    if (place === undefined) line.push({ holder, until: now + PATIENCE });
    else place.until = now + PATIENCE;
    return { fence: 0 };
  },

  unlock(ledger: Ledger, { holder }: UnlockRequest, now: number): LockAnswer {
    expire(ledger, now);
    ledger.line = ledger.line?.filter((one) => one.holder !== holder);
    if (ledger.owner?.holder !== holder) return { fence: 0 };
    const { fence } = ledger.owner;
    delete ledger.owner;
    return { fence };
  },

  read({ value, version = 0 }: Ledger): StateAnswer {
    return { value, version, written: false };
  },

  write(ledger: Ledger, { value, version }: WriteRequest): StateAnswer {
    const there = ledger.version ?? 0;
    if (version !== undefined && version !== there)
      return { value: ledger.value, version: there, written: false };
    ledger.value = value;
    ledger.version = there + 1;
    return { value, version: there + 1, written: true };
  },

  breaker(ledger: Ledger, { openFor, closed = false }: BreakerRequest, now: number): BreakerAnswer {
    if (openFor !== undefined) ledger.openUntil = Math.max(ledger.openUntil ?? 0, now + openFor);
    else if (closed) ledger.openUntil = 0;
    return { openFor: Math.max(0, (ledger.openUntil ?? 0) - now) };
  },
};

/** What one of several who want slots should have: nobody more than its part while another wants more; what is left over goes to those who waited longest. */
function shareOf(own: Block, all: readonly Block[], limit: number): number {
  // Those who want little leave the rest to the others (max-min fairness).
  const byWant = [...all].sort((a, b) => a.want - b.want);
  let rest = limit;
  let share = 0;
  for (const [index, { want }] of byWant.entries()) {
    const sharers = byWant.length - index;
    share = Math.floor(rest / sharers);
    if (want > share) {
      const greedy = byWant.slice(index).sort((a, b) => a.fence - b.fence);
      const place = greedy.indexOf(own);
      return place < 0 ? own.want : Math.min(own.want, share + (place < rest - share * sharers ? 1 : 0));
    }
    rest -= want;
  }
  return own.want;
}
