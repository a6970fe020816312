"use strict";
// Draws the OpenAPI document and lets one try it. No library, nothing from elsewhere; values are set as text, never as HTML.

const make = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};

const typeOf = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" | ");
  if (schema.enum) return schema.enum.map((choice) => JSON.stringify(choice)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `${typeOf(schema.items)}[]`;
  return schema.type || "any";
};

const table = (heads, rows) =>
  make("table", {}, make("tr", {}, ...heads.map((head) => make("th", {}, head))),
    ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell)))));

const drawType = ([name, schema]) => {
  const required = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([field, shape]) =>
    [field + (required.has(field) ? " *" : ""), typeOf(shape), shape.description || ""]);
  return make("details", {}, make("summary", {}, make("code", {}, name)),
    make("p", {}, schema.description || ""), table(["Field", "Type", "Meaning"], rows));
};

const send = async (method, path, operation, fields, body, output) => {
  let address = path;
  const query = new URLSearchParams();
  for (const { parameter, input } of fields) {
    if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value) query.set(parameter.name, input.value);
  }
  const headers = { accept: "application/json, text/plain;q=0.9" };
  const token = document.getElementById("token").value;
  if (token) headers.authorization = `Bearer ${token}`;
  if (body && body.value) headers["content-type"] = "application/json";
  output.textContent = "…";
  try {
    const answer = await fetch(address + (query.size ? `?${query}` : ""),
      { method: method.toUpperCase(), headers, body: body && body.value ? body.value : undefined });
    const text = await answer.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
    output.textContent = `${answer.status} ${answer.statusText}\n${shown}`;
  } catch (error) {
    output.textContent = String(error);
  }
};

const drawForm = (method, path, operation) => {
  const fields = (operation.parameters || []).map((parameter) => {
    const input = make("input", { size: 30, placeholder: typeOf(parameter.schema) });
    return { parameter, input, label: make("label", {}, `${parameter.name} `, input, ` ${parameter.description || ""}`) };
  });
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  const body = content && make("textarea", { spellcheck: false });
  const output = make("pre");
  const form = make("div", {}, ...fields.map((field) => field.label));
  if (content && content.examples) {
    const choice = make("select", {}, ...Object.keys(content.examples).map((name) => make("option", {}, name)));
    const fill = () => { body.value = JSON.stringify(content.examples[choice.value].value, null, 2); };
    choice.addEventListener("change", fill);
    fill();
    form.append(make("label", {}, "Example ", choice));
  }
  if (body) form.append(make("p", {}, `Body: ${typeOf(content.schema)}`), body);
  const button = make("button", { type: "button" }, "Send");
  button.addEventListener("click", () => send(method, path, operation, fields, body, output));
  form.append(button, output);
  return form;
};

const drawOperation = (method, path, operation) => {
  const answers = Object.entries(operation.responses).map(([status, answer]) => [status, answer.description]);
  return make("details", {},
    make("summary", {}, make("span", { className: `method ${method}` }, method.toUpperCase()),
      make("code", {}, path), ` ${operation.summary}`),
    make("p", {}, operation.description || ""), table(["Status", "Meaning"], answers),
    drawForm(method, path, operation));
};

const draw = (spec) => {
  document.getElementById("about").textContent = `${spec.info.summary} Version ${spec.info.version}.`;
  const groups = new Map(spec.tags.map(({ name, description }) =>
    [name, make("section", {}, make("h2", {}, name), make("p", {}, description))]));
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      groups.get(operation.tags[0]).append(drawOperation(method, path, operation));
    }
  }
  document.getElementById("operations").append(...groups.values());
  document.getElementById("types").append(...Object.entries(spec.components.schemas).map(drawType));
};

fetch("/schema/openapi.json").then((answer) => answer.json()).then(draw);
