/** There are no workers to be inside of. */

export function inside(): undefined {}
