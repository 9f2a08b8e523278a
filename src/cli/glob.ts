/** Shell patterns: * ? [a-z] [!a-z] and \ to take the next character as it is. */

const SPECIAL = /[\\^$.*+?()[\]{}|/-]/g;
const quote = (s: string): string => s.replace(SPECIAL, '\\$&');

/** A test for whole strings. As in find, * and ? match '/' and a leading dot too. */
export function glob(pattern: string, ignoreCase = false): (s: string) => boolean {
  const chars = [...pattern];
  let source = '';
  for (let i = 0; i < chars.length; i++) {
    const c = chars[i];
    if (c === '*') source += source.endsWith('[^]*?') ? '' : '[^]*?';
    else if (c === '?') source += '[^]';
    else if (c === '\\' && i + 1 < chars.length) source += quote(chars[++i]);
    else if (c === '[') {
      const set = bracket(chars, i);
      if (set === undefined) source += '\\[';
      else {
        source += set.source;
        i = set.end;
      }
    } else source += quote(c);
  }
  const regexp = new RegExp(`^${source}$`, ignoreCase ? 'iu' : 'u');
  return (s) => regexp.test(s);
}

/** The set that begins at `from`, as a regular expression, and where it ends; undefined where it never does. */
function bracket(chars: readonly string[], from: number): { source: string; end: number } | undefined {
  let i = from + 1;
  const negated = chars[i] === '!' || chars[i] === '^';
  if (negated) i++;
  let source = '';
  for (const first = i; i < chars.length; i++) {
    // A bracket right at the start stands for itself.
    if (chars[i] === ']' && i > first) return { source: `[${negated ? '^' : ''}${source}]`, end: i };
    if (chars[i] === '\\' && i + 1 < chars.length) i++;
    const isRange = chars[i + 1] === '-' && i + 2 < chars.length && chars[i + 2] !== ']';
    if (!isRange) {
      source += quote(chars[i]);
      continue;
    }
    // A range that runs backwards holds nothing.
    if (chars[i].codePointAt(0)! <= chars[i + 2].codePointAt(0)!)
      source += `${quote(chars[i])}-${quote(chars[i + 2])}`;
    i += 2;
  }
  return undefined;
}
