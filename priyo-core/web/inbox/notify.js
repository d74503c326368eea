// What tells an agent who is looking elsewhere: a sound, the title, the icon, and a sentence for a screen reader.

import { icon, place } from "./dom.js";
import { settings } from "./settings.js";

const SOUND = "sound";

export class Notify {
  #switch = place("sound");
  #context = null;
  #speaks = false;
  #done = new AbortController();
  #on = settings.get(SOUND) !== "off";

  constructor() {
    const { signal } = this.#done;
    this.#switch.addEventListener("click", () => this.toggle(), { signal });
    addEventListener("storage", ({ key, newValue }) => {
      if (key !== `priyo-inbox:${SOUND}`) return;
      this.#on = newValue !== "off";
      this.#draw();
    }, { signal });
    // A page may make no sound before somebody has touched it, and should not want to.
    for (const gesture of ["pointerdown", "keydown"]) {
      addEventListener(gesture, () => this.#wake(), { signal, once: true });
    }
    if (navigator.userActivation?.hasBeenActive) this.#wake();
    // Of several tabs one speaks: whichever has held the lock for longest.
    navigator.locks?.request("priyo-inbox:sound", { signal }, () => {
      this.#speaks = true;
      return new Promise((resolve) => signal.addEventListener("abort", resolve));
    }).catch(({ name }) => {
      // No locks where storage is blocked.
      this.#speaks = name === "SecurityError";
    });
    this.#speaks = !navigator.locks;
    this.#draw();
  }

  close() {
    this.#done.abort();
    this.#context?.close();
    this.count(0);
  }

  toggle() {
    this.#on = !this.#on;
    settings.set(SOUND, this.#on ? "on" : "off");
    this.#wake();
    this.#draw();
    if (this.#on) this.#play();
  }

  /** Two soft tones, if sound is on; the sentence is for a screen reader. */
  sound(sentence) {
    if (sentence) place("announcer").textContent = sentence;
    if (this.#on && this.#speaks) this.#play();
  }

  /** How many conversations want to be seen. */
  count(number) {
    document.title = number ? `(${number}) Inbox` : "Inbox";
    const address = number ? "inbox/icon-news.svg" : "inbox/icon.svg";
    const link = document.querySelector("link[rel=icon]");
    if (link.getAttribute("href") !== address) link.setAttribute("href", address);
  }

  #wake() {
    this.#context ??= new AudioContext();
    if (this.#context.state === "suspended") this.#context.resume();
  }

  #play() {
    if (this.#context?.state !== "running") return;
    const now = this.#context.currentTime;
    [[660, 0], [880, 0.12]].forEach(([frequency, after]) => {
      const tone = this.#context.createOscillator();
      const volume = this.#context.createGain();
      tone.frequency.value = frequency;
      volume.gain.setValueAtTime(0, now + after);
      volume.gain.linearRampToValueAtTime(0.12, now + after + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.001, now + after + 0.35);
      tone.connect(volume).connect(this.#context.destination);
      tone.start(now + after);
      tone.stop(now + after + 0.4);
    });
    // Nothing else of a sound can be seen, and tests have no ears.
    this.#switch.dataset.played = String(Number(this.#switch.dataset.played ?? 0) + 1);
  }

  #draw() {
    this.#switch.setAttribute("aria-pressed", String(this.#on));
    this.#switch.title = this.#on ? "Sound is on (m)" : "Sound is off (m)";
    this.#switch.replaceChildren(icon(this.#on ? "sound" : "muted"));
  }
}
