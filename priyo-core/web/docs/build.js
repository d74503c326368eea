// Elements, made from text that is never read as HTML.

/** An element with attributes and children: texts, elements, or nothing. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter(Boolean));
  return element;
}

/** A text in which what stands between backticks is code. */
export function inline(text = "") {
  return text.split("`").map((piece, index) => (index % 2 ? make("code", {}, piece) : piece));
}

/** A text of several paragraphs. */
export function paragraphs(text = "") {
  return text.split("\n\n").filter(Boolean).map((piece) => make("p", {}, inline(piece)));
}

/** A part that folds away. Its texts are what the filter looks through. */
export function fold(id, heading, ...content) {
  return make("details", { id, class: "entry" }, make("summary", {}, heading), make("div", { class: "inside" }, content));
}

/** A heading within an entry. */
export function label(text) {
  return make("h4", {}, text);
}

/** A name as part of an address. */
export function slug(text) {
  return text.replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "").toLowerCase();
}
