/** Shell patterns: * ? [a-z] [!a-z] and \ to take the next character as it is. */

/** What one character of a string may be; undefined for '*'. */
type Token = ((c: string) => boolean) | undefined;

/**
 * A test for whole strings. As in find, * and ? match '/' and a leading dot too. It takes time in proportion to
 * the lengths of pattern and string multiplied, whatever they are.
 */
export function glob(pattern: string, ignoreCase = false): (s: string) => boolean {
  const fold = (s: string): string => (ignoreCase ? s.toLowerCase() : s);
  const tokens = tokenize([...fold(pattern)]);
  return (s) => matches(tokens, [...fold(s)]);
}

function tokenize(chars: readonly string[]): Token[] {
  const tokens: Token[] = [];
  for (let i = 0; i < chars.length; i++) {
    const c = chars[i];
    if (c === '*') {
      if (tokens.length === 0 || tokens[tokens.length - 1] !== undefined) tokens.push(undefined);
    } else if (c === '?') tokens.push(() => true);
    else if (c === '\\' && i + 1 < chars.length) tokens.push(exactly(chars[++i]));
    else if (c === '[') {
      const set = bracket(chars, i);
      tokens.push(set === undefined ? exactly('[') : set.holds);
      if (set !== undefined) i = set.end;
    } else tokens.push(exactly(c));
  }
  return tokens;
}

const exactly =
  (c: string): Token =>
  (x) =>
    x === c;

/** When what follows a '*' does not match, that '*' takes one more character; earlier ones never need to. */
function matches(tokens: readonly Token[], s: readonly string[]): boolean {
  let t = 0;
  let star = -1;
  let resume = 0;
  for (let i = 0; i < s.length; ) {
    if (t < tokens.length && tokens[t] === undefined) {
      star = t++;
      resume = i;
    } else if (t < tokens.length && tokens[t]!(s[i])) {
      t++;
      i++;
    } else {
      if (star < 0) return false;
      t = star + 1;
      i = ++resume;
    }
  }
  while (t < tokens.length && tokens[t] === undefined) t++;
  return t === tokens.length;
}

/** The set that begins at `from`, and where it ends; undefined where it never does. */
function bracket(
  chars: readonly string[],
  from: number,
): { holds: (c: string) => boolean; end: number } | undefined {
  let i = from + 1;
  const negated = chars[i] === '!' || chars[i] === '^';
  if (negated) i++;
  /** First and last code point of each range. */
  const ranges: [number, number][] = [];
  for (const first = i; i < chars.length; i++) {
    // A bracket right at the start stands for itself.
    if (chars[i] === ']' && i > first) {
      const holds = (c: string): boolean => {
        const code = c.codePointAt(0)!;
        return ranges.some(([low, high]) => low <= code && code <= high) !== negated;
      };
      return { holds, end: i };
    }
    if (chars[i] === '\\' && i + 1 < chars.length) i++;
    const low = chars[i].codePointAt(0)!;
    const isRange = chars[i + 1] === '-' && i + 2 < chars.length && chars[i + 2] !== ']';
    if (!isRange) {
      ranges.push([low, low]);
      continue;
    }
    i += 2;
    if (chars[i] === '\\' && i + 1 < chars.length) i++;
    // A range that runs backwards holds nothing.
    ranges.push([low, chars[i].codePointAt(0)!]);
  }
  return undefined;
}
