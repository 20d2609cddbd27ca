// Finds the token in whatever was pasted: a header, a cookie, a curl command, JSON, several lines. Pure.
//
// Rules: what is taken off is told. A text that could be a damaged token is left whole, so that the damage can be shown.

const MOST = 20;
const SHORTEST = 8;

const WRAPPINGS = [
  [/^(?:-H\s+|--header\s+)/, "curl's -H"],
  [/^(?:proxy-)?authorization\s*[:=]\s*/i, "the header's name"],
  [/^(?:set-)?cookie\s*:\s*/i, "the header's name"],
  [/^(?:bearer|dpop|jwt|token)\s+/i, "the word before it"],
  [/^[A-Za-z_][\w-]*\s*[=:]\s*(?=["'`]?e[yw])/, "the name before it"],
];

/** `{ tokens, taken }`: the tokens in a text, as they are to be read, and what was taken off, in words. */
export function find(pasted) {
  const { text, taken } = unwrap(pasted.trim());
  if (text === "") return { tokens: [], taken: [] };
  const found = candidates(pasted);
  if (found.length > 1) return { tokens: found, taken: ["the text around them"] };
  const whole = joined(text);
  // A token with a damaged letter is left whole; what stands before a sound one, an address for instance, is not.
  if (whole !== null && (found.length === 0 || /^e[yw]/.test(whole))) return { tokens: [whole], taken: whole === text ? taken : [...taken, "blanks and line breaks"] };
  if (found.length === 1) return { tokens: found, taken: ["the text around it"] };
  return { tokens: [text], taken };
}

/**
 * The words that have the look of a token. Found letter by letter: a regular expression that remembers each letter of
 * 8 MB has no place to do so.
 */
function candidates(text) {
  const found = new Set();
  for (let start = 0; start < text.length && found.size < MOST; ) {
    let end = start;
    while (end < text.length && isOfTokens(text.charCodeAt(end))) end += 1;
    // A JSON object in base64url begins with "ey" ({ and a quote or a blank) or "ew" ({ and a line break).
    if (end - start > SHORTEST && /^e[yw]/.test(text.slice(start, start + 2))) {
      const token = withoutFullStop(text.slice(start, end).split(".").slice(0, 5));
      if (token) found.add(token);
    }
    start = end + 1;
  }
  return [...found];
}

function isOfTokens(code) {
  const isLetter = (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
  return isLetter || (code >= 48 && code <= 57) || code === 45 || code === 46 || code === 95;
}

/** The parts together, or null. A full stop after a sentence is none of the token's; one before no signature is. */
function withoutFullStop(parts) {
  while (parts.length > 3 && parts.at(-1) === "") parts.pop();
  return parts.length >= 3 && parts[0].length >= SHORTEST ? parts.join(".") : null;
}

function unwrap(text) {
  const taken = [];
  for (let again = true; again; ) {
    again = false;
    const bare = /^(["'`<“])([\s\S]*)(["'`>”])[;,\s]*$/.exec(text);
    if (bare && (bare[1] === bare[3] || ["<>", "“”"].includes(bare[1] + bare[3]))) {
      text = bare[2].trim();
      again = note(taken, "quotes");
    }
    for (const [pattern, words] of WRAPPINGS) {
      const rest = text.replace(pattern, "");
      if (rest !== text) {
        text = rest;
        again = note(taken, words);
      }
    }
  }
  return { text, taken };
}

function note(taken, words) {
  if (!taken.includes(words)) taken.push(words);
  return true;
}

/** The text in one piece, if it is one token on one or several lines; or null, if it is prose or a list of things. */
function joined(text) {
  const lines = text.split(/[ \t]*\\?(?:\r\n|\n|\r)[ \t]*/);
  return lines.some((line) => /[\s"';,<>{}&]/.test(line)) ? null : lines.join("");
}
