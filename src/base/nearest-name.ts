/**
 * The known name that somebody most likely meant. Distance is that of Damerau and Levenshtein with
 * adjacent swaps (optimal string alignment): what fingers get wrong.
 */

/** The nearest of `names`, or undefined if none is near enough to be worth a guess. */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  let nearest: string | undefined;
  let shortest = Math.max(2, Math.floor(given.length / 3)) + 1;
  for (const name of names) {
    const steps = editsBetween(given.toLowerCase(), name.toLowerCase());
    if (steps >= shortest) continue;
    shortest = steps;
    nearest = name;
  }
  return nearest;
}

/** Insertions, deletions, changes and swaps of neighbours that make one text the other. */
export function editsBetween(left: string, right: string): number {
  let before: readonly number[] = [];
  let row = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let i = 1; i <= left.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= right.length; j += 1) {
      const change = left[i - 1] === right[j - 1] ? 0 : 1;
      const swapped =
        i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
      next.push(
        Math.min(
          at(row, j) + 1,
          at(next, j - 1) + 1,
          at(row, j - 1) + change,
          swapped ? at(before, j - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
    before = row;
    row = next;
  }
  return at(row, right.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
