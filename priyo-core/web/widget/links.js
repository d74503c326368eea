// Addresses in texts. Loaded with the first one.

import { make } from "./dom.js";

/** An address of the web, that begins a word. The full stop of a sentence or a bracket around it is none of it. */
const ADDRESS = /(?<![^\s([{<"'])https?:\/\/[^\s<>"]+[^\s<>".,:;!?'*)\]}]/gi;

/** Makes what a text names into links. */
export function link(element) {
  const text = element.textContent;
  const parts = [];
  let end = 0;
  for (const { 0: href, index } of text.matchAll(ADDRESS)) {
    if (!URL.canParse(href)) continue;
    parts.push(text.slice(end, index), make("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, href));
    end = index + href.length;
  }
  element.replaceChildren(...parts, text.slice(end));
}
