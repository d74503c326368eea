// Reads both descriptions from a server and says whether they are valid.

import { Parser } from "@asyncapi/parser";
import { Validator } from "@seriousme/openapi-schema-validator";

const [base] = process.argv.slice(2);

async function fetched(name) {
  const answer = await fetch(`${base}/api/${name}.json`);
  if (!answer.ok) throw new Error(`${answer.status} for ${name}.json`);
  return answer.json();
}

/** The faults of an OpenAPI document, also in what its references name. */
async function openapi(document) {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(document);
  if (!valid) return [errors].flat().map((error) => (typeof error === "string" ? error : JSON.stringify(error)));
  // Throws at a reference to nothing.
  validator.resolveRefs();
  return validator.version === "3.1" ? [] : [`version ${validator.version}`];
}

/** The faults of an AsyncAPI document. Advice is not a fault: that there is a newer version, for one. */
async function asyncapi(document) {
  const ERROR = 0;
  const { diagnostics } = await new Parser().parse(JSON.stringify(document));
  const faults = diagnostics.filter((one) => one.severity === ERROR);
  return faults.map((one) => `${one.path.join(".")}: ${one.message}`);
}

let failed = false;
for (const [name, faultsOf] of Object.entries({ openapi, asyncapi })) {
  const faults = await fetched(name).then(faultsOf).catch((error) => [error.message]);
  console.log(`${name}.json: ${faults.length ? "NOT VALID" : "valid"}`);
  for (const fault of faults) console.log(`  ${fault}`);
  failed ||= faults.length > 0;
}
process.exit(failed ? 1 : 0);
