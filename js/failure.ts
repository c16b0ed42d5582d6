/** What was thrown, as an `Error`: anything else comes wrapped, with the original as `cause`. */
export function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  if (
    typeof thrown === "object" &&
    thrown !== null &&
    Object.prototype.toString.call(thrown) === "[object Error]"
  ) {
    return thrown as Error;
  }
  return new Error(`A task threw ${typeof thrown === "string" ? `"${thrown}"` : String(thrown)}`, {
    cause: thrown,
  });
}
