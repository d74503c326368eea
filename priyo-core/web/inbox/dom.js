// Elements. What people wrote reaches the page only here, as text: nothing is ever read as HTML.

import { paths } from "./icons.js";

/**
 * An element with attributes and children: texts, elements, or nothing.
 * An attribute whose value is a function is a listener: `{ onclick: … }`.
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child || child === 0));
  return element;
}

/** The element of the page with this id. */
export const place = (id) => document.getElementById(id);

/** A small drawing. It says nothing to a screen reader: the words beside it, or the button's label, do. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [attribute, value] of [["viewBox", "0 0 24 24"], ["aria-hidden", "true"], ["class", "drawing"]]) {
    svg.setAttribute(attribute, value);
  }
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", paths[name]);
  svg.append(path);
  return svg;
}

/** A button of one drawing; the label is its name and its tip. */
export function iconButton(name, label, onclick, attributes = {}) {
  return make("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick, ...attributes }, icon(name));
}

/** Puts the drawings into the elements of the page that name one. */
export function draw(root = document) {
  for (const element of root.querySelectorAll("[data-icon]")) element.prepend(icon(element.dataset.icon));
}

/** Changes what an element holds, unless it holds that already: a live region would say it again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The round picture of a person: two letters on a colour of their own, which the id decides. */
export function avatar({ id, username, isOnline }, { big = false } = {}) {
  const letters = [...(username ?? "?").replace(/[^\p{L}\p{N}]+/gu, " ").trim()];
  const space = letters.indexOf(" ");
  const initials = (letters[0] ?? "?") + (space > 0 ? letters[space + 1] ?? "" : letters[1] ?? "");
  let hash = 0;
  for (const letter of String(id)) hash = Math.imul(hash ^ letter.codePointAt(0), 16_777_619);
  return make("span", { class: `avatar hue-${(hash >>> 16) % 8}${big ? " big" : ""}`, "aria-hidden": "true" },
    initials.toLocaleUpperCase(), isOnline && make("i", { class: "online" }));
}
