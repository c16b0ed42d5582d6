/** Tasks on their way to a worker. */

import type { Names } from "../names.js";
import { uncloneable } from "./cloneable.js";
import type { Link } from "./link.js";
import { HOWS, MARK, TASKS } from "./protocol.js";
import type { Task } from "./tasks.js";

/**
 * Sends a worker its tasks in one message. Gives those that cannot be sent, with the reason. `watched`: somebody ends the worker
 * where an answer does not come in time.
 */
export function sendTasks(
  link: Link,
  tasks: readonly Task[],
  known: Names,
  watched: boolean,
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
    link.post([MARK, TASKS, names.length === 0 ? 0 : names, list, watched], transfer);
    return [];
  } catch {
    return tasks.flatMap((task) => sendAlone(link, task, names, watched));
  }
}

/** One of several could not be cloned: the others can. */
function sendAlone(
  link: Link,
  task: Task,
  names: readonly (number | string)[],
  watched: boolean,
): { task: Task; error: TypeError }[] {
  try {
    const list = [task.ticket, task.what, task.args];
    link.post([MARK, TASKS, names, list, watched], [...(task.more?.transfer ?? [])]);
    return [];
  } catch (error) {
    return [{ task, error: uncloneable("args", task.args, error) }];
  }
}
