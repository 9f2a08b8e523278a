/** Lines of a script split into words as a shell does it, without expansions. */

export interface ScriptLine {
  /** Number of the line it begins on, from 1. */
  readonly line: number;
  readonly words: readonly string[];
  /** Why it is no line of words. */
  readonly fault?: string;
}

/**
 * Words are separated by blanks; '...' keeps everything, "..." all but \\" \\\\ \\$ \\` , a backslash the next
 * character; # at the start of a word begins a comment; a backslash at the end of a line continues it. Lines
 * without words are left out.
 */
export function splitWords(text: string): ScriptLine[] {
  const out: ScriptLine[] = [];
  let line = 1;
  for (let at = 0; at < text.length; ) {
    const start = line;
    const words: string[] = [];
    let word: string | undefined;
    let fault: string | undefined;
    const end = (): void => {
      if (word !== undefined) words.push(word);
      word = undefined;
    };
    for (; at < text.length && text[at] !== '\n'; at++) {
      const c = text[at];
      if (c === ' ' || c === '\t' || c === '\r') end();
      else if (c === '#' && word === undefined) {
        while (at + 1 < text.length && text[at + 1] !== '\n') at++;
      } else if (c === '\\') {
        at++;
        if (text[at] === '\n') line++;
        else if (at < text.length) word = (word ?? '') + text[at];
      } else if (c === "'" || c === '"') {
        word ??= '';
        const from = line;
        for (at++; at < text.length && text[at] !== c; at++) {
          if (c === '"' && text[at] === '\\' && /["\\$`\n]/.test(text[at + 1] ?? '')) {
            at++;
            if (text[at] === '\n') {
              line++;
              continue;
            }
          }
          if (text[at] === '\n') line++;
          word += text[at];
        }
        if (at >= text.length) fault = `the quote that begins on line ${from} never ends`;
      } else word = (word ?? '') + c;
    }
    end();
    if (words.length > 0 || fault !== undefined) out.push({ line: start, words, fault });
    at++;
    line++;
  }
  return out;
}
