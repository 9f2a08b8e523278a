/** What was meant by a word that is not known: the nearest name within two edits, if it keeps a letter of the word. */
function nearest(word: string, names: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = 3;
  for (const name of names) {
    const d = distance(word, name);
    if (d < bestDistance && d < name.length) {
      best = name;
      bestDistance = d;
    }
  }
  return best;
}

/** The end of a message about a word that is not known: what was meant, or else `otherwise`. */
export function meant(word: string, names: Iterable<string>, otherwise: string): string {
  const guess = nearest(word, names);
  return guess === undefined ? otherwise : `did you mean ${guess}?`;
}

/** Edit distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length];
}
