/** A host of nobody: nobody is seated, and plain tasks pass, as where requests share an instance. For `attend`, before any pool. */
export const passingHost = (Passing) => {
  const nothing = () => {};
  return {
    leaseTimeout: 60_000,
    sit: nothing,
    stay: nothing,
    rise: nothing,
    forget: nothing,
    wake: (handle, ticket, why, detail, carry) => carry(handle, ticket, why, detail),
    own: (settle) => settle,
    passing: (pool) => new Passing(pool),
  };
};
