// Elements, made from text that is never read as HTML.

/** An element with attributes and children: texts, elements, or nothing. */
export function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const name in attributes) element.setAttribute(name, attributes[name]);
  element.append(...children.filter(Boolean));
  return element;
}

/** A cross. */
export const CLOSE = "M6 6l12 12M18 6 6 18";

/** A drawing, of lines in a square of 24, that says nothing to a screen reader. */
export function icon(d) {
  const [svg, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", true);
  path.setAttribute("d", d);
  svg.append(path);
  return svg;
}

/** A button that shows an icon, and says what it does: to a screen reader, and to who points at it. */
export function button(d, kind, text, action) {
  const made = make("button", { type: action ? "button" : "submit", class: kind, "aria-label": text, title: text }, icon(d));
  if (action) made.addEventListener("click", action);
  return made;
}

/** Sets a text. The same once more would be read out once more. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Only for screen readers. */
export const hidden = (text) => make("span", { class: "hidden" }, text);

/** Adds a sheet that the page's Content-Security-Policy does not refuse: its `style-src` is for elements. */
export async function dress(shadow, name) {
  const answer = await fetch(new URL(name, import.meta.url), { referrerPolicy: "no-referrer" });
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  shadow.adoptedStyleSheets.push(await new CSSStyleSheet().replace(await answer.text()));
}
