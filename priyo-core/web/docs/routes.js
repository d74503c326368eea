// The OpenAPI document: routes by group.

import { fold, inline, label, make, paragraphs, slug } from "./build.js";
import { schemas } from "./schema.js";

const { field, whole } = schemas("rest");

const idOf = (operation) => `route-${slug(operation.operationId)}`;

/** Every operation: its method, path and description. */
function operations(document) {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, ...operation })));
}

/** The groups of routes: a title, words, and for each route a heading and an entry. */
export function routes(document) {
  const all = operations(document);
  return document.tags.map((tag) => ({
    title: tag.name,
    text: tag.description,
    entries: all.filter((one) => one.tags.includes(tag.name)).map((one) => ({
      id: idOf(one),
      title: one.summary,
      element: entry(document, one),
    })),
  }));
}

function entry(document, operation) {
  const heading = [
    make("span", { class: `method ${operation.method.toLowerCase()}` }, operation.method),
    make("code", { class: "path" }, breakable(operation.path)),
    make("span", { class: "summary" }, operation.summary),
  ];
  return fold(idOf(operation), heading,
    paragraphs(operation.description),
    make("p", { class: "access" }, access(operation)),
    parameters(operation),
    body(operation),
    answers(document, operation));
}

/** Long paths break at slashes. */
function breakable(path) {
  return path.split("/").flatMap((piece, index) => (index ? [make("wbr"), `/${piece}`] : [piece]));
}

function access({ security }) {
  if (!security?.length) return "Anyone may call it.";
  const open = security.some((one) => Object.keys(one).length === 0);
  return open ? "Works with or without a token." : ["Needs ", make("code", {}, "Authorization: Bearer"), "."];
}

function parameters({ parameters: all = [] }) {
  const where = { path: "Path", query: "Query", header: "Headers" };
  return Object.entries(where).map(([kind, title]) => {
    const some = all.filter((one) => one.in === kind);
    const rows = some.map((one) => field(one.name, one.schema, one.required, one.description));
    return some.length ? [label(title), make("ul", { class: "fields" }, rows)] : [];
  });
}

function body({ requestBody }) {
  if (!requestBody) return [];
  return Object.entries(requestBody.content).map(([media, { schema }]) => [
    label(["Body ", make("code", {}, media), requestBody.required ? "" : " (may be missing)"]),
    whole(schema),
  ]);
}

function answers(document, operation) {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const failed = Number(status) >= 400;
    const [media, content] = Object.entries(response.content ?? {})[0] ?? [];
    return make("li", { class: `answer ${failed ? "failed" : "fine"}` },
      make("span", { class: "status" }, status),
      make("div", {},
        paragraphs(response.description),
        headers(document, response),
        !failed && media && media !== "application/json" && make("p", {}, "Bytes: ", make("code", {}, media)),
        !failed && content?.schema?.properties && whole(content.schema)));
  });
  return [label("Answers"), make("ul", { class: "answers" }, rows)];
}

/** Headers beside the one that every answer has. */
function headers(document, response) {
  const names = Object.keys(response.headers ?? {}).filter((name) => name !== "X-Request-ID");
  if (!names.length) return "";
  const words = (name) => {
    const header = response.headers[name];
    const found = header.$ref ? document.components.headers[header.$ref.split("/").pop()] : header;
    return make("li", {}, make("code", {}, name), " ", inline(found.description));
  };
  return make("ul", { class: "headers" }, names.map(words));
}
