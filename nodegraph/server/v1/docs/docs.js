// Shows the OpenAPI document. Everything is put in as text, nothing as HTML.
"use strict";

/** An element with attributes and children; texts become text nodes. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const nameOf = (reference) => reference.split("/").pop();

/** A schema in one line, such as `Run[]` or `"asc" | "desc"`. */
function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return nameOf(schema.$ref);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const several = schema.anyOf || schema.oneOf;
  if (several) return several.map(typeOf).join(" | ");
  if (schema.type === "array") return `${typeOf(schema.items) || "any"}[]`;
  if (schema.type === "object" && typeof schema.additionalProperties === "object") return `{ [name]: ${typeOf(schema.additionalProperties) || "any"} }`;
  if (schema.format === "binary") return "bytes";
  return schema.title && schema.type === "object" && !schema.additionalProperties ? schema.title : schema.type || "any";
}

/** The named schemas that a schema speaks of, itself first. */
function referred(schema, all, found = []) {
  if (!schema || typeof schema !== "object") return found;
  if (typeof schema.$ref === "string") {
    const name = nameOf(schema.$ref);
    if (!found.includes(name) && all[name]) {
      found.push(name);
      referred(all[name], all, found);
    }
  }
  for (const value of Object.values(schema)) referred(value, all, found);
  return found;
}

function row(name, type, text, required) {
  const left = make("td", {}, make("code", {}, name), required ? "" : make("span", { class: "dim" }, " optional"));
  return make("tr", {}, left, make("td", {}, make("code", { class: "dim" }, type)), make("td", {}, text || ""));
}

function fields(name, schema) {
  const rows = Object.entries(schema.properties || {}).map(([field, each]) => {
    const initial = each.default !== undefined && each.default !== null ? `Default: ${JSON.stringify(each.default)}. ` : "";
    return row(field, typeOf(each), initial + (each.description || ""), (schema.required || []).includes(field));
  });
  return rows.length ? [make("h4", {}, name), make("table", {}, ...rows)] : [];
}

function content(answer) {
  return Object.entries((answer && answer.content) || {}).map(([type, each]) => [type, each.schema]);
}

function body(operation, all) {
  const parts = [];
  if (operation.description) parts.push(make("p", {}, operation.description));
  if (operation.parameters) {
    parts.push(make("h4", {}, "Parameters"));
    parts.push(make("table", {}, ...operation.parameters.map((each) => row(each.name, `${typeOf(each.schema)} in ${each.in}`, each.description, each.required))));
  }
  const named = [];
  const sent = content(operation.requestBody);
  if (sent.length) {
    parts.push(make("h4", {}, "Body"), make("p", {}, ...sent.map(([type, schema]) => make("code", {}, `${type}: ${typeOf(schema)}\n`))));
    sent.forEach(([, schema]) => referred(schema, all, named));
  }
  const answers = Object.entries(operation.responses).map(([status, each]) => {
    const told = content(each).map(([type, schema]) => `${type}: ${typeOf(schema)}`).join(", ");
    if (status < "400") content(each).forEach(([, schema]) => referred(schema, all, named));
    return make("tr", {}, make("td", {}, make("code", {}, status)), make("td", {}, each.description), make("td", {}, make("code", { class: "dim" }, told)));
  });
  parts.push(make("h4", {}, "Answers"), make("table", {}, ...answers));
  for (const name of named) parts.push(...fields(name, all[name]));
  return parts;
}

function show(api) {
  document.getElementById("version").textContent = api.info.version;
  document.getElementById("about").textContent = api.info.description;
  const all = api.components.schemas;
  const chapters = new Map(api.tags.map((tag) => [tag.name, []]));
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) chapters.get(operation.tags[0]).push([method.toUpperCase(), path, operation]);
  }
  const contents = document.getElementById("contents");
  const place = document.getElementById("operations");
  place.replaceChildren();
  for (const [chapter, operations] of chapters) {
    contents.append(make("strong", {}, chapter));
    place.append(make("h2", {}, chapter));
    for (const [method, path, operation] of operations) {
      const id = operation.operationId;
      const link = make("a", { href: `#${id}`, title: path }, make("span", { class: `method ${method}` }, method), ` ${path.replace("/api/v1", "")}`);
      const head = make("summary", {}, make("span", { class: `method ${method}` }, method), make("span", { class: "path" }, path), make("span", { class: "what" }, operation.summary));
      const card = make("details", { id }, head);
      card.addEventListener("toggle", () => card.childElementCount > 1 || card.append(make("div", {}, ...body(operation, all))));
      contents.append(link);
      place.append(card);
    }
  }
  openNamed();
}

/** Open the operation that the address names. */
function openNamed() {
  const card = location.hash.length > 1 ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
  if (card instanceof HTMLDetailsElement) {
    card.open = true;
    card.scrollIntoView();
  }
}

function filter(words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  for (const element of document.querySelectorAll("#contents a, #operations details")) {
    const text = element.querySelector("summary") ? element.querySelector("summary").textContent : element.textContent;
    element.hidden = !wanted.every((word) => text.toLowerCase().includes(word));
  }
}

async function start() {
  document.getElementById("filter").addEventListener("input", (event) => filter(event.target.value));
  window.addEventListener("hashchange", openNamed);
  try {
    const answer = await fetch("/api/v1/openapi.json");
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    show(await answer.json());
  } catch (error) {
    document.getElementById("operations").textContent = `The document could not be loaded: ${error.message}`;
  }
}

start();
