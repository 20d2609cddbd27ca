// The order of findings. Pure.

const RANK = { danger: 0, warn: 1, note: 2 };

/** Worst first; of the same level in the order in which they came. */
export function worstFirst(found) {
  return found.toSorted((one, other) => RANK[one.level] - RANK[other.level]);
}
