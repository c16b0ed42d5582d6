/**
 * What became of mutants, added up.
 */

const OUTCOMES = ["killed", "missed", "timeouts", "unviable"];

export class Sum {
  killed = 0;
  missed = 0;
  timeouts = 0;
  unviable = 0;

  /** @param {"killed" | "missed" | "timeouts" | "unviable"} outcome */
  add(outcome) {
    this[outcome] += 1;
  }

  join(other) {
    for (const outcome of OUTCOMES) this[outcome] += other[outcome];
  }

  /**
   * The share of mutants that compile and are noticed. One that makes the tests hang is noticed by whoever runs them.
   * Nothing noticed of nothing is no success.
   */
  get share() {
    const noticed = this.killed + this.timeouts;
    return noticed + this.missed === 0 ? 0 : noticed / (noticed + this.missed);
  }

  toString() {
    const counts = OUTCOMES.map((outcome) => `${this[outcome]} ${outcome}`).join(", ");
    // Down, never up: 89.96 % is not 90 %.
    return `${counts}: ${(Math.floor(this.share * 1000) / 10).toFixed(1)} % killed`;
  }
}
