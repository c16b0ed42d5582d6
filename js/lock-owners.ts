/** Owners of locks as the numbers under which the wait-for graph knows them: one numbering for all lock sets. */

import { Work, workOf } from "./work.js";

/** Who holds and waits: a string, or an object such as the context of a task, which is told by its identity. */
export type LockOwner = string | object;

interface Known {
  readonly number: number;
  readonly label: string;
  claims: number;
}

const strings = new Map<string, Known>();
const objects = new WeakMap<object, Known>();
// Only owners with claims: what a chain can name.
const labels = new Map<number, string>();
let last = 0;

/** The number of an owner, for one more claim of it. */
export function numberOf(named: LockOwner): number {
  const owner = identityOf(named);
  let known = typeof owner === "string" ? strings.get(owner) : objects.get(owner);
  if (known === undefined) {
    last += 1;
    known = { number: last, label: labelOf(owner, last), claims: 0 };
    if (typeof owner === "string") strings.set(owner, known);
    else objects.set(owner, known);
  }
  known.claims += 1;
  labels.set(known.number, known.label);
  return known.number;
}

/** One claim less. */
export function release(named: LockOwner): void {
  const owner = identityOf(named);
  const known = typeof owner === "string" ? strings.get(owner) : objects.get(owner);
  if (known === undefined) return;
  known.claims -= 1;
  if (known.claims > 0) return;
  labels.delete(known.number);
  if (typeof owner === "string") strings.delete(owner);
}

/** From here on what was known as `owner` is known as the task of that context too. */
export function isTask(owner: object, context: object): void {
  const known = objects.get(owner) ?? { number: ++last, label: labelOf(owner, last), claims: 0 };
  objects.set(owner, known);
  objects.set(identityOf(context) as object, known);
}

/** What a chain calls an owner. */
export function labelOfNumber(number: number): string {
  return labels.get(number) ?? "a request";
}

/** A task is told by its work, so that it is one owner in pools and in locks. */
function identityOf(owner: LockOwner): LockOwner {
  return workOf(owner) ?? owner;
}

function labelOf(owner: LockOwner, number: number): string {
  if (typeof owner === "string") return `"${owner}"`;
  if (owner instanceof Work)
    return owner.extra?.name === undefined ? `task ${owner.id}` : `"${owner.extra.name}"`;
  const { name, id } = owner as { name?: unknown; id?: unknown };
  if (typeof name === "string" && name !== "") return `"${name}"`;
  return typeof id === "number" ? `task ${id}` : `owner ${number}`;
}
