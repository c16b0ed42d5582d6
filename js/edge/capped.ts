/** A body that fails beyond so many bytes, so that nobody fills our memory with an answer; `over` hears of its end. */
export function capped(
  body: ReadableStream<Uint8Array> | null,
  most: number,
  error: () => Error,
  over: () => void = () => {},
): ReadableStream<Uint8Array> | null {
  if (body === null) return null;
  let read = 0;
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        read += chunk.byteLength;
        if (read <= most) return controller.enqueue(chunk);
        over();
        controller.error(error());
      },
      flush: over,
    }),
  );
}
