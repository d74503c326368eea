// Collects messages and has them committed together, one batch after the other, in the order in which they came.
import { Refused } from '../refused.js';

const BATCH = 256;

export class Batches {
  #waiting = [];
  #busy = false;
  #commit;

  // commit(messages) returns, in the same order, what `add` resolves to; refusals are values, so that they undo nothing.
  constructor(commit) {
    this.#commit = commit;
  }

  // Resolves after the commit.
  add(message) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ message, resolve, reject });
      if (!this.#busy) this.#schedule();
    });
  }

  // After everything that this turn of the loop reads from sockets.
  #schedule() {
    this.#busy = true;
    setImmediate(() => this.#flush());
  }

  async #flush() {
    const batch = this.#waiting.splice(0, BATCH);
    try {
      const outcomes = await this.#commit(batch.map(({ message }) => message));
      batch.forEach(({ resolve, reject }, index) => {
        const outcome = outcomes[index];
        if (outcome instanceof Refused) reject(outcome);
        else resolve(outcome);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    this.#busy = false;
    if (this.#waiting.length > 0) this.#schedule();
  }
}
