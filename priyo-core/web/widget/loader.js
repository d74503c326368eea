// The tag of a website: shows the button, and loads everything else when it is wanted.
//
//     <script src="https://chat.example.com/widget.js" async data-title="Ask us"></script>
(() => {
  const { currentScript, documentElement: page } = document;
  // A module has none, and an element of the page with that name hides it.
  const tag = currentScript instanceof HTMLScriptElement ? currentScript : document.querySelector("script[src*='/widget.js']");
  // The tag may be there twice.
  if (!tag || window.Priyo?.open) return;
  const early = Array.isArray(window.Priyo) ? window.Priyo : [];
  const base = new URL(".", tag.src).href;
  const settings = { ...tag.dataset };

  const LABELS = { en: "Open the chat", de: "Chat öffnen", es: "Abrir el chat", bn: "চ্যাট খুলুন" };
  const code = (language) => language?.slice(0, 2).toLowerCase();
  const locale = [settings.locale, page.lang, ...navigator.languages].find((one) => LABELS[code(one)]) ?? "en";
  const direction = getComputedStyle(page).direction;

  // The page's rules reach the host, and its children inherit from that. So `root` inherits nothing.
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    .root { all: initial; --side: auto 20px; color-scheme: light dark; }
    .start { --side: 20px auto; }
    .launcher {
      all: unset; position: fixed; z-index: 2147483000; inset-inline: var(--side); bottom: max(20px, env(safe-area-inset-bottom));
      display: grid; place-items: center; width: 56px; height: 56px; border-radius: 50%; cursor: pointer;
      color: var(--on-accent); background: var(--accent);
      box-shadow: 0 0 0 1px #0001, 0 6px 24px #0004;
    }
    .launcher:hover { filter: brightness(1.1); }
    .launcher:focus-visible { outline: 3px solid; box-shadow: 0 0 0 6px var(--accent); }
    .launcher svg { width: 26px; height: 26px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
    .launcher[aria-busy=true] svg { opacity: .4; }
  `);
  const make = (name, attributes, ...children) => {
    const space = /svg|path/.test(name) ? "2000/svg" : "1999/xhtml";
    const element = document.createElementNS(`http://www.w3.org/${space}`, name);
    for (const attribute in attributes) element.setAttribute(attribute, attributes[attribute]);
    element.append(...children);
    return element;
  };
  const glyph = make("path", { d: "M20 11.5a8 8 0 0 1-11.4 7.2L4 20l1.3-4.6A8 8 0 1 1 20 11.5Z" });
  const launcher = make("button", { class: "launcher", "aria-label": LABELS[code(locale)], "aria-expanded": false },
    make("svg", { viewBox: "0 0 24 24", "aria-hidden": true }, glyph));
  const atStart = settings.position === (direction === "rtl" ? "right" : "left");
  const root = make("div", { class: atStart ? "root start" : "root", dir: direction, lang: locale }, launcher);
  const host = make("priyo-widget");
  const shadow = host.attachShadow({ mode: "open" });
  shadow.adoptedStyleSheets = [sheet];
  shadow.append(root);

  /** Takes a colour, `#rgb` or `#rrggbb`, and the text on it that is readable; leaves them for anything else. */
  function paint(accent = "") {
    const colour = accent.replace(/^#(.)(.)(.)$/, "#$1$1$2$2$3$3");
    if (!/^#[\da-f]{6}$/i.test(colour)) return;
    // How bright it is to the eye, 0 to 1.
    const luminance = [0.2126, 0.7152, 0.0722].reduce((sum, weight, index) => {
      const part = parseInt(colour.slice(1 + 2 * index, 3 + 2 * index), 16) / 255;
      return sum + weight * (part > 0.04045 ? ((part + 0.055) / 1.055) ** 2.4 : part / 12.92);
    }, 0);
    root.style.setProperty("--accent", colour);
    // White has a contrast of 4.5 up to here, and black from here on.
    root.style.setProperty("--on-accent", luminance < 0.1833 ? "#fff" : "#000");
    return colour;
  }
  paint(paint(settings.accent) ?? "#1f5eff");

  const key = `priyo:${base}`;
  /** What the last page left, if there is a place for it. */
  const kept = (place) => { try { return window[place][key]; } catch { /* There is none. */ } };
  const listeners = {};
  function emit(event, detail) {
    for (const listener of listeners[event] ?? []) {
      // A fault of the page's must not stop the chat.
      try { listener(detail); } catch (error) { reportError(error); }
    }
  }
  const context = { base, key, settings, locale, shadow, root, launcher, paint, emit };
  let app;
  let again = "";
  // After a failure the next call tries again, under another name: some browsers keep what could not be loaded.
  const load = () => (app ??= import(`${base}widget/app.js${again}`).then(({ start }) => start(context)).catch((error) => {
    app = undefined;
    again = `?${Date.now()}`;
    emit("error", error);
  }));
  /** Calls something of the app, once that is loaded. */
  async function call(method, value) {
    launcher.setAttribute("aria-busy", true);
    const loaded = await load();
    launcher.setAttribute("aria-busy", false);
    loaded?.[method](value);
  }
  const Priyo = window.Priyo = {
    open: () => void call("open", true),
    close: () => app && void call("close"),
    identify(who) {
      context.who = who;
      // Until then it is only noted.
      if (app) call("identify");
    },
    reset() {
      context.who = undefined;
      if (app || kept("localStorage")) call("reset");
    },
    send: (text) => void call("send", text),
    on(event, listener) {
      const all = listeners[event] ??= new Set();
      all.add(listener);
      return () => all.delete(listener);
    },
    /** For calls that may come before this script: `(window.Priyo = window.Priyo || []).push(["open"])`. */
    push: (...calls) => calls.forEach(([method, ...values]) => Priyo[method]?.(...values)),
  };
  launcher.addEventListener("click", () => call("toggle"));
  // Not into the body, which some pages replace as a whole.
  page.append(host);
  Priyo.push(...early);

  function later() {
    const wanted = (settings.open ?? "false") !== "false";
    if ((kept("sessionStorage") ?? (wanted && "open")) === "open") call("open");
    // Who is in a conversation must learn of an answer without opening it.
    else if (kept("localStorage") === "talking") call("listen");
  }
  const idle = () => (window.requestIdleCallback ?? setTimeout)(later);
  if (document.readyState === "complete") idle();
  else addEventListener("load", idle);
})();
