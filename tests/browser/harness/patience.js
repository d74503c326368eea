// How long anything may take. Nothing here waits for a time: it waits for what must happen, until then.

/** Milliseconds. A machine that also builds is slow. */
export const PATIENCE = 20_000;

/** Rejects when a promise takes too long. */
export function inTime(promise, what, patience = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not in time: ${what}`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Things that come one after the other, for somebody who waits for one of them: none comes too early. */
export class Heard {
  #all = [];
  #waiting = [];

  add(thing) {
    this.#all.push(thing);
    for (const { fits, resolve } of this.#waiting.filter((one) => one.fits(thing))) {
      this.#waiting = this.#waiting.filter((one) => one.resolve !== resolve);
      resolve(thing);
    }
  }

  get all() {
    return [...this.#all];
  }

  /** The first that fits, of those that came and those to come. */
  first(fits, what) {
    const there = this.#all.find(fits);
    if (there !== undefined) return Promise.resolve(there);
    return inTime(new Promise((resolve) => this.#waiting.push({ fits, resolve })), what);
  }
}
