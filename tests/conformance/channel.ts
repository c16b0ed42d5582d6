/**
 * Channels, select, events and barriers: values in order, nobody left waiting, nothing lost when somebody gives up.
 */

import { Barrier, Channel, Event, isClosedError, isTimeoutError, select } from "tidegate";
import { assert, rejection, test, thrown } from "./registry.js";
import { isSettled, watchedAbort } from "./waiting.js";

test("channel: values come out in the order in which they went in", async () => {
  const channel = new Channel<number>(2);
  const sent = [1, 2, 3, 4].map((n) => channel.send(n));
  assert.deepEqual(await Promise.all(sent.map(isSettled)), [true, true, false, false]);
  const received = [];
  for (let n = 0; n < 4; n += 1) received.push(await channel.receive());
  assert.deepEqual(received, [1, 2, 3, 4]);
  await Promise.all(sent);
});

test("channel: without a buffer a value changes hands only when both sides are there", async () => {
  const channel = new Channel<string>(0);
  assert.isFalse(channel.trySend("a"));
  const sending = channel.send("b");
  assert.isFalse(await isSettled(sending));
  assert.equal(channel.tryReceive(), "b");
  await sending;
  const receiving = channel.receive();
  assert.isTrue(channel.trySend("c"));
  assert.equal(await receiving, "c");
});

test("channel: closing ends the loop after the last value, and turns away who sends", async () => {
  const channel = new Channel<number>(2);
  channel.trySend(1);
  channel.trySend(2);
  const late = channel.send(3);
  channel.close();
  assert.isTrue(isClosedError(await rejection(late)));
  assert.isTrue(isClosedError(await rejection(channel.send(4))));
  assert.isTrue(isClosedError(thrown(() => channel.trySend(5))));
  const received = [];
  for await (const n of channel) received.push(n);
  assert.deepEqual(received, [1, 2]);
  assert.isUndefined(await channel.receive());
});

test("channel: closing answers those who wait to receive", async () => {
  const channel = new Channel<number>(0);
  const waiting = channel.receive();
  channel.close();
  assert.isUndefined(await waiting);
});

test("channel: a sender who gives up takes its value back", async () => {
  const channel = new Channel<number>(0);
  const { signal, abort, listeners } = watchedAbort();
  const aborted = channel.send(1, { signal });
  const late = channel.send(2, { timeout: 10 });
  const stays = channel.send(3);
  abort("enough");
  assert.equal(await rejection(aborted), "enough");
  assert.isTrue(isTimeoutError(await rejection(late)));
  assert.equal(listeners(), 0);
  assert.equal(await channel.receive(), 3);
  await stays;
  const { waitingToSend, size } = channel.metrics();
  assert.deepEqual({ waitingToSend, size }, { waitingToSend: 0, size: 0 });
});

test("channel: a receiver who gives up leaves its value to the next", async () => {
  const channel = new Channel<number>(1);
  const { signal, abort, listeners } = watchedAbort();
  const aborted = channel.receive({ signal });
  const late = channel.receive({ timeout: 10 });
  const stays = channel.receive();
  abort("enough");
  assert.equal(await rejection(aborted), "enough");
  assert.isTrue(isTimeoutError(await rejection(late)));
  assert.equal(listeners(), 0);
  channel.trySend(7);
  assert.equal(await stays, 7);
});

test("channel: every value of many senders reaches exactly one of many receivers", async () => {
  const channel = new Channel<number>(3);
  const received: number[] = [];
  const consume = async () => {
    for await (const n of channel) {
      received.push(n);
      await null;
    }
  };
  const consumers = [consume(), consume(), consume()];
  const produce = async (from: number) => {
    for (let n = from; n < from + 50; n += 1) await channel.send(n);
  };
  await Promise.all([produce(0), produce(50), produce(100)]);
  channel.close();
  await Promise.all(consumers);
  assert.deepEqual(
    received.sort((a, b) => a - b),
    Array.from({ length: 150 }, (_, n) => n),
  );
  const { sent, received: counted } = channel.metrics();
  assert.deepEqual({ sent, counted }, { sent: 150, counted: 150 });
});

test("select: takes the first case that is possible, and only that one", async () => {
  const [a, b] = [new Channel<number>(1), new Channel<number>(1)];
  b.trySend(2);
  assert.deepEqual(await select([{ receive: a }, { receive: b }]), { index: 1, value: 2, closed: false });
  a.trySend(1);
  b.trySend(2);
  assert.equal((await select([{ receive: b }, { receive: a }])).value, 2);
  assert.equal(a.tryReceive(), 1);
});

test("select: waits for whichever comes first and leaves the others alone", async () => {
  const [a, b] = [new Channel<number>(0), new Channel<number>(0)];
  const selecting = select<number>([{ receive: a }, { send: b, value: 9 }], { timeout: 60_000 });
  assert.isFalse(await isSettled(selecting));
  assert.equal(await b.receive(), 9);
  assert.deepEqual(await selecting, { index: 1, value: undefined, closed: false });
  assert.isFalse(a.trySend(1));
  assert.deepEqual([a.metrics().waitingToReceive, b.metrics().waitingToSend], [0, 0]);
});

test("select: ends with its timeout, with an abort, and with a closed channel", async () => {
  const [a, b] = [new Channel<number>(0), new Channel<number>(0)];
  const cases = [{ receive: a }, { receive: b }];
  assert.isTrue(isTimeoutError(await rejection(select(cases, { timeout: 10 }))));
  assert.isTrue(isTimeoutError(await rejection(select(cases, { timeout: 0 }))));
  const sending = b.send(5);
  assert.equal((await select(cases, { timeout: 0 })).value, 5);
  await sending;
  const { signal, abort, listeners } = watchedAbort();
  const aborted = select(cases, { signal });
  abort("enough");
  assert.equal(await rejection(aborted), "enough");
  assert.equal(listeners(), 0);
  b.close();
  assert.deepEqual(await select(cases), { index: 1, value: undefined, closed: true });
  assert.equal(a.metrics().waitingToReceive, 0);
  assert.include(String(await rejection(select([]))), "`cases`");
});

test("event: setting it lets all who wait go, and clearing it takes nothing back", async () => {
  const event = new Event();
  const waiting = [event.wait(), event.wait()];
  assert.isFalse(await isSettled(waiting[0] as Promise<void>));
  event.set();
  event.clear();
  await Promise.all(waiting);
  assert.isFalse(event.isSet);
  assert.isTrue(isTimeoutError(await rejection(event.wait({ timeout: 5 }))));
  const { signal, abort, listeners } = watchedAbort();
  const aborted = event.wait({ signal });
  abort("enough");
  assert.equal(await rejection(aborted), "enough");
  assert.equal(listeners(), 0);
  event.set();
  await event.wait({ timeout: 0 });
});

test("barrier: nobody passes until all have arrived, and the last one is told", async () => {
  const barrier = new Barrier(3);
  const early = [barrier.arrive(), barrier.arrive()];
  assert.isFalse(await isSettled(early[0] as Promise<boolean>));
  assert.isTrue(await barrier.arrive());
  assert.deepEqual(await Promise.all(early), [false, false]);
  const next = barrier.arrive();
  assert.isFalse(await isSettled(next));
  assert.deepEqual(await Promise.all([barrier.arrive(), barrier.arrive(), next]), [false, true, false]);
});

test("barrier: who leaves early gives its place back", async () => {
  const barrier = new Barrier(2);
  const { signal, abort, listeners } = watchedAbort();
  const aborted = barrier.arrive({ signal });
  abort("enough");
  assert.equal(await rejection(aborted), "enough");
  assert.equal(listeners(), 0);
  assert.isTrue(isTimeoutError(await rejection(barrier.arrive({ timeout: 5 }))));
  const waiting = barrier.arrive();
  assert.isFalse(await isSettled(waiting));
  assert.isTrue(await barrier.arrive());
  assert.isFalse(await waiting);
  assert.include((thrown(() => new Barrier(0)) as Error).message, "`parties`");
});
