// Claims that should not be in a token, by their names and by the look of their values. Pure.
//
// Rules: a guess is told as one. The value itself is never repeated in a finding. At most LOOKED_AT values are looked
// at: a hostile token has a million.

const LOOKED_AT = 2000;

const SECRETS = /^(?:.*[_-])?(?:pass(?:word|wd|phrase|code)?|pwd|secret|client_?secret|api_?key|private_?key|access_?key|credentials?|pin|cvv|cvc|otp|refresh_?token|session_?token)(?:[_-]?(?:hash|value))?$/i;
const PRIVATE = /^(?:.*[_-])?(?:e?-?mail|phone(?:_?number)?|mobile|address|street|birth_?date|birthday|dob|gender|ssn|social_?security(?:_?number)?|passport(?:_?number)?|tax_?id|iban|credit_?card(?:_?number)?|card_?number|account_?number|salary|religion|ethnicity|diagnosis|health|blood_?type)$/i;
const NAMES = /^(?:name|given_name|family_name|middle_name|first_?name|last_?name|full_?name|nickname)$/i;

/** Findings (findings.mjs) about what a payload gives away. */
export function personal(payload) {
  const kinds = { secret: new Set(), personal: new Set(), name: new Set() };
  let left = LOOKED_AT;
  const look = (node, name) => {
    if (left <= 0) return;
    left -= 1;
    if (node.type === "object") for (const one of node.members) look(one.value, one.name);
    else if (node.type === "array") for (const one of node.items) look(one, name);
    if (name !== null && node.value !== null && node.value !== "") sort(name, node, kinds);
  };
  if (payload) look(payload, null);
  return said(kinds);
}

function sort(name, node, kinds) {
  // "email_verified": true gives nothing away.
  const isFlag = node.type === "boolean";
  if (isFlag) return;
  const text = node.type === "string" || node.type === "number" ? String(node.raw ?? node.value) : "";
  if (SECRETS.test(name) || looksSecret(text)) kinds.secret.add(name);
  else if (PRIVATE.test(name) || isCard(text) || /^[^\s@]{1,64}@[^\s@]+\.[a-z]{2,}$/i.test(text)) kinds.personal.add(name);
  else if (NAMES.test(name)) kinds.name.add(name);
}

function looksSecret(text) {
  return /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text) || /^(?:AKIA[0-9A-Z]{16}|gh[pousr]_\w{30,}|sk_live_\w{10,}|\$2[aby]\$\d\d\$.{53}|\$argon2id?\$.+)$/.test(text);
}

/** Whether it is the number of a payment card: its length and its check digit. */
function isCard(text) {
  const digits = text.replace(/[ -]/g, "");
  if (!/^[3-6]\d{14,15}$/.test(digits) || !/^[\d -]+$/.test(text)) return false;
  let sum = 0;
  for (const [index, digit] of [...digits].reverse().entries()) {
    const twice = index % 2 ? 2 * Number(digit) : Number(digit);
    sum += twice > 9 ? twice - 9 : twice;
  }
  return sum % 10 === 0;
}

function said({ secret, personal: found, name }) {
  const list = [];
  const readable = "A JWT is signed, not encrypted: anyone holding this can read it, and it ends up in logs.";
  if (secret.size) list.push({ code: "secret_claim", level: "danger", title: `It seems to hold a secret: ${names(secret)}`, text: `${readable} Take it out, and change the secret.` });
  if (found.size) list.push({ code: "personal_claim", level: "warn", title: `Personal data: ${names(found)}`, text: `${readable} Put an identifier in, and let the service look the rest up.` });
  if (name.size) list.push({ code: "name_claim", level: "note", title: `Names of a person: ${names(name)}`, text: readable });
  return list;
}

function names(found) {
  const shown = [...found].slice(0, 5).map((one) => (one.length > 40 ? `${one.slice(0, 40)}…` : one));
  return shown.join(", ") + (found.size > 5 ? ` and ${found.size - 5} more` : "");
}
