// What the page remembers: settings for good, drafts as long as the tab. A browser may forbid both.

function over(area) {
  return {
    get(key) {
      try {
        return globalThis[area].getItem(`priyo-inbox:${key}`);
      } catch {
        return null;
      }
    },
    set(key, value) {
      try {
        if (value) globalThis[area].setItem(`priyo-inbox:${key}`, value);
        else globalThis[area].removeItem(`priyo-inbox:${key}`);
      } catch {
        // Then it is as it was at the beginning, the next time.
      }
    },
    /** Forgets everything whose name begins so. */
    clear(beginning) {
      try {
        const names = Object.keys(globalThis[area]).filter((name) => name.startsWith(`priyo-inbox:${beginning}`));
        for (const name of names) globalThis[area].removeItem(name);
      } catch {
        // There is nothing.
      }
    },
  };
}

export const settings = over("localStorage");
export const drafts = over("sessionStorage");
