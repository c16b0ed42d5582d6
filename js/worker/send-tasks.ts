/** Tasks on their way to a worker. */

import type { Names } from "../names.js";
import { uncloneable } from "./cloneable.js";
import type { Link } from "./link.js";
import { HOWS, MARK, TASKS } from "./protocol.js";
import type { Task } from "./tasks.js";

/** Sends a worker its tasks in one message. Gives those that cannot be sent, with the reason. */
export function sendTasks(
  link: Link,
  tasks: readonly Task[],
  known: Names,
): readonly { task: Task; error: TypeError }[] {
  const names: (number | string)[] = [];
  const list: unknown[] = [];
  const transfer: Transferable[] = [];
  for (const task of tasks) {
    task.link = link;
    const name = Math.floor(task.what / HOWS);
    if (!link.knows.has(name)) {
      link.knows.add(name);
      names.push(name, known.name(name) as string);
    }
    list.push(task.ticket, task.what, task.args.length === 0 ? 0 : task.args);
    if (task.more?.transfer !== undefined) transfer.push(...task.more.transfer);
  }
  try {
    link.post([MARK, TASKS, names.length === 0 ? 0 : names, list], transfer);
    return [];
  } catch {
    return tasks.flatMap((task) => sendAlone(link, task, names));
  }
}

/** One of several could not be cloned: the others can. */
function sendAlone(
  link: Link,
  task: Task,
  names: readonly (number | string)[],
): { task: Task; error: TypeError }[] {
  try {
    link.post([MARK, TASKS, names, [task.ticket, task.what, task.args]], [...(task.more?.transfer ?? [])]);
    return [];
  } catch (error) {
    return [{ task, error: uncloneable("args", task.args, error) }];
  }
}
