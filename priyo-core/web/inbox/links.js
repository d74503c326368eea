// Addresses that other people wrote.

import { make } from "./dom.js";

/** The address, if it is one of the web: `javascript:` and its kin are none. */
export function webAddress(text) {
  const url = URL.parse?.(text) ?? parse(text);
  return url && (url.protocol === "https:" || url.protocol === "http:") ? url.href : null;
}

function parse(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

/** A link that takes nothing along: no opener, no referrer, no blessing. */
export function link(href, ...children) {
  return make("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
}

const ADDRESS = /https?:\/\/[^\s<>"'\x60]+/gi;

/** A text as nodes, in which addresses can be followed. */
export function withLinks(text) {
  const nodes = [];
  let from = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    // The sentence's own full stop or bracket is no part of the address.
    let address = found.replace(/[.,;:!?…]+$/u, "");
    if (address.endsWith(")") && !address.includes("(")) address = address.slice(0, -1);
    const href = webAddress(address);
    if (!href) continue;
    nodes.push(text.slice(from, index), link(href, address));
    from = index + address.length;
  }
  nodes.push(text.slice(from));
  return nodes;
}
