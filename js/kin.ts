/**
 * Who waits for whom among those who say so: tasks with a `parent`, their pools, owners of locks and of waits.
 *
 * What is told is kept here as numbers, and judged by the wait-for graph of the store module, where the locks are. An
 * application of pools alone does not carry that module, so it is fetched when the first waiter meets a slot that its
 * own family holds. What is told is judged in a microtask: by then everything that has happened has been told, so a
 * cycle that is seen is one. Tasks that name no parent cost one comparison each.
 */

import { type LockOwner, labelOfNumber, numberOf, release } from "./lock-owners.js";
import { reportError } from "./log.js";
import type { Pool } from "./pool.js";
import { RUNNING, type TaskContext, type Work, workOf } from "./work.js";

/** The graph that judges. Waits have the numbers that they were told under. */
export interface Graph {
  child(child: number, parent: number): void;
  hold(owner: number, resource: number, slots: number): void;
  letGo(owner: number, resource: number, slots: number): void;
  /** For 0 slots, for the signal of those who hold the resource; and for the ends of all in `ends`. */
  wait(
    owner: number,
    wait: number,
    resource: number,
    slots: number,
    capacity: number,
    ends: readonly number[],
  ): void;
  over(wait: number): void;
  resize(resource: number, capacity: number): void;
  ended(owner: number): void;
  /** Turns away the youngest of each cycle, by {@link giveWay} where its wait was told here. */
  judge(): void;
}

/** How many tasks and waits are told: nobody asks here for anything before there is one. */
export let told = 0;

interface Stand {
  readonly owner: number;
  /** Who waits for its end. A lease has none: it is its parent's own. */
  parent: number | undefined;
  /** Of a lease: the task that asked for it. */
  readonly holder: Work | undefined;
  slots: number;
  wait: Wait | undefined;
}

interface Wait {
  readonly number: number;
  readonly owner: number;
  readonly resource: number;
  readonly slots: number;
  /** What has the slots. */
  readonly room: { readonly concurrency: number } | undefined;
  /** Those of whom one will give the signal. */
  readonly writers: readonly number[];
  /** Those who must end first. */
  readonly ends: readonly number[];
  readonly label: () => string;
  readonly giveWay: (chain: readonly string[]) => void;
}

const tasks = new Map<Work, Stand>();
const waits = new Map<number, Wait>();
const resources = new WeakMap<Pool, number>();
let lastResource = 0;
let lastWait = 0;
let graph: Graph | undefined;
let fetching = false;
let judging = false;

/** A task that names its parent is in the queue of its pool, or has its slots. */
export function entered(work: Work, waiting: boolean): void {
  const above = work.extra?.parent;
  const parent = above === undefined ? undefined : stand(above);
  if (above === undefined || parent === undefined) return;
  const isLease = work.task === undefined;
  const weight = work.extra?.weight ?? 1;
  const { pool } = work;
  const task: Stand = {
    owner: isLease ? parent.owner : numberOf(work),
    parent: isLease ? undefined : parent.owner,
    holder: isLease ? above : undefined,
    slots: waiting ? 0 : weight,
    wait: undefined,
  };
  tasks.set(work, task);
  if (waiting) {
    task.wait = {
      number: ++lastWait,
      owner: task.owner,
      resource: resourceOf(pool),
      slots: weight,
      room: pool,
      writers: [],
      ends: [],
      label: () => `a slot of pool "${pool.name}"`,
      giveWay: (chain) => pool.giveWay(work, chain),
    };
    waits.set(task.wait.number, task.wait);
  }
  count();
  tellTask(work, task);
  if (task.wait !== undefined) tellWait(task.wait);
  judgeSoon();
}

/** It has its slots. */
export function began(work: Work): void {
  const task = tasks.get(work);
  if (task?.wait === undefined) return;
  graph?.over(task.wait.number);
  waits.delete(task.wait.number);
  task.wait = undefined;
  task.slots = work.extra?.weight ?? 1;
  count();
  graph?.hold(task.owner, resourceOf(work.pool), task.slots);
  judgeSoon();
}

/** Its slots are free, and its function goes on. */
export function left(work: Work): void {
  const task = tasks.get(work);
  if (task === undefined || task.slots === 0) return;
  graph?.letGo(task.owner, resourceOf(work.pool), task.slots);
  task.slots = 0;
}

/** Nothing of it remains. */
export function over(work: Work): void {
  const task = tasks.get(work);
  if (task === undefined) return;
  if (task.wait !== undefined) {
    graph?.over(task.wait.number);
    waits.delete(task.wait.number);
  }
  left(work);
  tasks.delete(work);
  count();
  if (task.holder === undefined) {
    graph?.ended(task.owner);
    release(work);
  }
  judgeSoon();
}

/** A pool has another number of slots. */
export function resized(pool: Pool): void {
  const resource = resources.get(pool);
  if (resource === undefined) return;
  graph?.resize(resource, pool.concurrency);
  judgeSoon();
}

/** Somebody waits for what one of the writers will do; what is returned says that the wait is over. */
export function waitsFor(
  owner: LockOwner,
  writers: readonly LockOwner[],
  label: () => string,
  giveWay: (chain: readonly string[]) => void,
): () => void {
  const numbers = writers.map(numberOf);
  const rest = { resource: ++lastResource, slots: 0, room: undefined, writers: numbers, ends: [] };
  return begins(owner, writers, { ...rest, label, giveWay });
}

/** A task of a graph waits until all that it depends on have ended and `slots` of `room` are free, whose tasks run in `pool`. */
export function waitsToStart(
  task: LockOwner,
  dependencies: readonly LockOwner[],
  slots: number,
  room: { readonly concurrency: number; readonly pool: Pool },
  label: () => string,
  giveWay: (chain: readonly string[]) => void,
): () => void {
  const ends = dependencies.map(numberOf);
  const rest = { resource: resourceOf(room.pool), slots, room, writers: [], ends };
  return begins(task, dependencies, { ...rest, label, giveWay });
}

/** A wait begins; what is returned says that it is over. The others have been counted by their numbers. */
function begins(
  owner: LockOwner,
  others: readonly LockOwner[],
  need: Omit<Wait, "number" | "owner">,
): () => void {
  for (const one of [owner, ...others]) standAs(one);
  const wait: Wait = { number: ++lastWait, owner: numberOf(owner), ...need };
  waits.set(wait.number, wait);
  count();
  tellWait(wait);
  judgeSoon();
  return () => {
    if (!waits.delete(wait.number)) return;
    count();
    graph?.over(wait.number);
    for (const writer of wait.writers) graph?.letGo(writer, wait.resource, 1);
    for (const one of [owner, ...others]) release(one);
    judgeSoon();
  };
}

/** An owner that is the context of a task holds what the task holds. Whether it is one. */
export function standAs(owner: LockOwner | undefined): boolean {
  const work = workOf(owner);
  return work !== undefined && stand(work) !== undefined;
}

/** A task that runs is awaited by another, which was not said when it was asked for. */
export function runsBelow(context: TaskContext, above: TaskContext): void {
  const [work, parent] = [workOf(context), workOf(above)];
  const task = work && stand(work);
  const holder = parent && stand(parent);
  if (task === undefined || holder === undefined) return;
  task.parent = holder.owner;
  graph?.child(task.owner, holder.owner);
  judgeSoon();
}

/** From here on this graph is told, and it is told all there is. */
export function judgedBy(next: Graph): void {
  graph = next;
  const children = [...tasks].filter(([, task]) => task.holder === undefined);
  for (const [work, task] of children) tellTask(work, task);
  for (const [work, task] of tasks) {
    if (task.holder !== undefined && tasks.has(task.holder)) tellTask(work, task);
  }
  // The youngest gives way, so the order counts.
  for (const wait of waits.values()) tellWait(wait);
  judgeSoon();
}

/** Has it judged, once everything that happens now has been told. */
export function judgeSoon(): void {
  if (judging || (told === 0 && graph === undefined)) return;
  judging = true;
  queueMicrotask(() => {
    judging = false;
    if (graph !== undefined) graph.judge();
    else if (isSuspicious()) fetchGraph();
  });
}

/** Turns a wait away. */
export function giveWay(number: number, chain: readonly string[]): void {
  const wait = waits.get(number);
  if (wait === undefined) return;
  try {
    wait.giveWay(chain);
  } catch (error) {
    reportError(error);
  }
}

/** What a chain calls a resource that was told here. */
export function labelOfResource(resource: number): string {
  for (const wait of waits.values()) if (wait.resource === resource) return wait.label();
  for (const [{ pool }] of tasks)
    if (resources.get(pool) === resource) return `a slot of pool "${pool.name}"`;
  return "something";
}

/** The steps of a chain in words, from owner, machine and part of each. */
export function chainOf(
  steps: readonly (readonly [owner: number, machine: number, part: number])[],
  label: (machine: number, part: number) => string,
): string[] {
  return steps.map(([owner, machine, part], index) => {
    const after = steps[(index + 1) % steps.length]?.[0] ?? -1;
    const awaited =
      machine < 0
        ? `the end of ${labelOfNumber(after)}`
        : machine === 0
          ? labelOfResource(part)
          : label(machine, part);
    return `${labelOfNumber(owner)} waits for ${awaited}`;
  });
}

function stand(work: Work): Stand | undefined {
  let task = tasks.get(work);
  if (task === undefined && work.isUnderWay) {
    const slots = work.state === RUNNING ? (work.extra?.weight ?? 1) : 0;
    task = { owner: numberOf(work), parent: undefined, holder: undefined, slots, wait: undefined };
    tasks.set(work, task);
    count();
    tellTask(work, task);
  }
  return task;
}

function tellTask(work: Work, { owner, parent, slots }: Stand): void {
  if (graph === undefined) return;
  if (parent !== undefined) graph.child(owner, parent);
  if (slots > 0) graph.hold(owner, resourceOf(work.pool), slots);
}

function tellWait({ owner, number, resource, slots, room, writers, ends }: Wait): void {
  if (graph === undefined) return;
  for (const writer of writers) graph.hold(writer, resource, 1);
  graph.wait(owner, number, resource, slots, room?.concurrency ?? 0, ends);
}

/** Whether somebody waits for a slot of a pool in which another, for whom somebody waits, holds one. */
function isSuspicious(): boolean {
  const held = new Set<number>();
  for (const [work, { slots }] of tasks) if (slots > 0) held.add(resourceOf(work.pool));
  for (const { resource } of waits.values()) if (held.has(resource)) return true;
  return false;
}

function fetchGraph(): void {
  if (fetching) return;
  fetching = true;
  import("./kin-graph.js")
    .then(({ attach }) => attach())
    // Without it deadlocks end with a timeout, as they do where nothing is told; the next wait tries again.
    .catch(() => {
      fetching = false;
    });
}

function resourceOf(pool: Pool): number {
  let resource = resources.get(pool);
  if (resource === undefined) resources.set(pool, (resource = ++lastResource));
  return resource;
}

function count(): void {
  told = tasks.size + waits.size;
}
