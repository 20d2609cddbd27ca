// Calls functions of the tools' pure modules. stdin: one JSON per line, {"module", "name", "args"}; stdout: one per line,
// {"value"} or {"threw"}. Bytes are {"hex": "…"} both ways; {"subtle": true} is Node's cryptography; undefined is null.
import { createInterface } from "node:readline";

const pages = new URL("../../src/coatcheck/tools/pages/", import.meta.url);

function taken(key, value) {
  if (value?.subtle === true) return globalThis.crypto.subtle;
  return typeof value?.hex === "string" ? Uint8Array.from(Buffer.from(value.hex, "hex")) : value;
}
const given = (key, value) => (value instanceof Uint8Array ? { hex: Buffer.from(value).toString("hex") } : value);

for await (const line of createInterface({ input: process.stdin })) {
  let said;
  try {
    const { module, name, args } = JSON.parse(line, taken);
    const value = await (await import(new URL(module, pages)))[name](...args);
    said = { value: value ?? null };
  } catch (error) {
    said = { threw: String(error.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(said, given)}\n`);
}
