// Schemas, as people read them.

import { inline, make, slug } from "./build.js";

const nameOf = (reference) => reference.split("/").pop();

/** The address of a named shape on this page. */
export const shapeId = (kind, name) => `${kind}-shape-${slug(name)}`;

/** Shows schemas of one document; `kind` tells the shapes of several apart. */
export function schemas(kind) {
  const link = (name) => make("a", { href: `#${shapeId(kind, name)}` }, name);

  /** What kind of value it is, on one line. */
  function type(schema) {
    if (schema.$ref) return [link(nameOf(schema.$ref))];
    if ("const" in schema) return [make("code", {}, JSON.stringify(schema.const))];
    if (schema.enum) return join(schema.enum.map((one) => make("code", {}, String(one))), " or ");
    const either = schema.oneOf ?? schema.anyOf?.filter((one) => one.$ref || one.type);
    if (either?.length) return join(either.map(type), " or ");
    if (schema.allOf) return join(schema.allOf.filter((one) => one.$ref || one.type).map(type), " with ");
    if (schema.type === "array") return ["list of ", type(schema.items ?? {})];
    if (schema.type === "object" && typeof schema.additionalProperties === "object") {
      return ["object of ", type(schema.additionalProperties)];
    }
    const types = [schema.type ?? "anything"].flat();
    const plain = { integer: "whole number", boolean: "true or false", string: "text" };
    return [types.map((one) => plain[one] ?? one).join(" or ") + (schema.format === "int64" ? "" : format(schema))];
  }

  /** Bounds, as far as there are any. */
  function bounds(schema) {
    const parts = [];
    const range = (min, max, unit) => {
      if (min !== undefined && max !== undefined) parts.push(`${min} to ${max}${unit}`);
      else if (max !== undefined) parts.push(`at most ${max}${unit}`);
      else if (min === 1 && unit) parts.push("not empty");
      else if (min !== undefined && min !== 0) parts.push(`at least ${min}${unit}`);
    };
    // A bound that no client meets is noise.
    range(schema.minimum, schema.maximum < Number.MAX_SAFE_INTEGER ? schema.maximum : undefined, "");
    range(schema.minLength, schema.maxLength, " characters");
    range(schema.minItems, schema.maxItems, " items");
    if (schema.pattern) parts.push(`matches ${schema.pattern}`);
    if (schema.default !== undefined) parts.push(`default ${schema.default}`);
    return parts.join(", ");
  }

  /** One named value: a row. */
  function field(name, schema, required, description = schema.description) {
    const limits = bounds(schema);
    return make("li", { class: "field" },
      make("div", { class: "name" }, make("code", {}, name), required ? "" : make("span", { class: "optional" }, "optional")),
      make("div", { class: "what" },
        make("span", { class: "type" }, type(schema)),
        limits && make("span", { class: "bounds" }, limits),
        description && make("span", { class: "says" }, inline(description)),
        nested(schema)));
  }

  /** The fields of an object that has no name of its own. */
  function nested(schema) {
    const each = schema.type === "array" ? schema.items : schema.additionalProperties;
    const inner = each?.properties ? each : schema;
    return inner.properties && !inner.$ref ? fields(inner) : "";
  }

  function fields(schema) {
    const required = schema.required ?? [];
    const names = Object.keys(schema.properties);
    names.sort((a, b) => required.includes(b) - required.includes(a));
    return make("ul", { class: "fields" },
      names.map((name) => field(name, schema.properties[name], required.includes(name))));
  }

  /** A schema in full: its fields, or what it is. */
  function whole(schema) {
    if (schema.properties) return Object.keys(schema.properties).length ? fields(schema) : make("p", {}, "An empty object.");
    const either = schema.oneOf?.filter((one) => one.properties);
    if (either?.length) {
      return schema.oneOf.map((one, index) => [
        index > 0 && make("p", { class: "or" }, "or"),
        one.properties ? whole(one) : make("p", {}, type(one), one.description ? [": ", inline(one.description)] : ""),
      ]);
    }
    return make("p", {}, make("span", { class: "type" }, type(schema)), bounds(schema) && ` (${bounds(schema)})`);
  }

  return { field, whole };
}

const format = (schema) => (schema.format ? ` (${schema.format})` : "");

const join = (parts, between) => parts.flatMap((part, index) => (index ? [between, part] : [part]));
