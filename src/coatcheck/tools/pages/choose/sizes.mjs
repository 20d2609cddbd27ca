// Numbers of requests and bytes, as people write and read them. Pure.
//
// Rules: whole numbers of any size (BigInt), rounded down: coatcheck choose says the same digit for digit.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/** The number that somebody typed, blanks, commas and underscores between its digits or not; null if it is none. */
export function readCount(text, most) {
  const digits = text.replace(/[\s,_'’.]/g, "");
  if (!/^[0-9]{1,20}$/.test(digits)) return null;
  const count = BigInt(digits);
  return count <= BigInt(most) ? count : null;
}

/** A number with commas between its thousands. */
export function inDigits(count) {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** A number of bytes with its unit of 1,000. */
export function sizeOf(count) {
  const bytes = BigInt(count);
  let index = 0;
  while (index < UNITS.length - 1 && bytes >= 1000n ** BigInt(index + 1)) index += 1;
  const tenths = (bytes * 10n) / 1000n ** BigInt(index);
  const rest = index > 0 && tenths < 1000n ? `.${tenths % 10n}` : "";
  return `${tenths / 10n}${rest} ${UNITS[index]}`;
}
