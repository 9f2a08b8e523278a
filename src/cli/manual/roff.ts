/**
 * Manual pages without man(1): the macros of man(7) that ours are written in, as lines of text. A macro or an
 * escape that is not known here throws: a test renders every page.
 */

export const STYLE = { PLAIN: 0, BOLD: 1, ITALIC: 2 } as const;
export type Style = (typeof STYLE)[keyof typeof STYLE];

/** A piece of a line in one style. */
export interface Span {
  text: string;
  style: Style;
}
export type Line = Span[];

/** Columns of the text of a section, and of what stands deeper. */
const INDENT = 7;

const ESCAPES: Record<string, string> = { '-': '-', e: '\\', '&': '', ' ': ' ', '\\': '\\', '.': '.' };
const SPECIAL: Record<string, string> = { aq: "'", dq: '"', ha: '^', ti: '~', bu: '•', em: '—', en: '–' };
const FONTS: Record<string, Style> = { R: STYLE.PLAIN, B: STYLE.BOLD, I: STYLE.ITALIC };

/** Text with escapes as spans, beginning in `style`. */
function spans(text: string, style: Style): Span[] {
  const out: Span[] = [];
  let now = style;
  let before = style;
  let piece = '';
  const cut = (): void => {
    if (piece !== '') out.push({ text: piece, style: now });
    piece = '';
  };
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== '\\') {
      piece += text[i];
      continue;
    }
    const c = text[++i];
    if (c === 'f') {
      cut();
      const font = text[++i];
      const next = font === 'P' ? before : FONTS[font];
      if (next === undefined) throw new Error(`unknown font \\f${font}`);
      before = now;
      now = next;
    } else if (c === '(') {
      const name = text.slice(i + 1, i + 3);
      if (SPECIAL[name] === undefined) throw new Error(`unknown character \\(${name}`);
      piece += SPECIAL[name];
      i += 2;
    } else if (c === '"') {
      break;
    } else {
      if (ESCAPES[c] === undefined) throw new Error(`unknown escape \\${c}`);
      piece += ESCAPES[c];
    }
  }
  cut();
  return out;
}

/** The arguments of a macro: words, or text in double quotes, in which "" is one of them. */
function macroArguments(text: string): string[] {
  const out: string[] = [];
  for (const [, quoted, word] of text.matchAll(/"((?:[^"]|"")*)"?|(\S+)/g))
    out.push(quoted?.replaceAll('""', '"') ?? word);
  return out;
}

/** Arguments in turn in the two styles of a macro such as BR. */
function alternate(args: readonly string[], macro: string): Span[] {
  const styles = [...macro].map((c) => FONTS[c]);
  return args.flatMap((arg, i) => spans(arg, styles[i % 2]));
}

const widthOf = (line: Line): number => line.reduce((n, s) => n + s.text.length, 0);

class Page {
  readonly #width: number;
  readonly lines: Line[] = [];
  #indent = INDENT;
  readonly #margins: number[] = [];
  #hanging = 0;
  #filled = true;
  #words: Line[] = [];
  /** The tag of a TP, until its text comes. */
  #tag: Line | undefined;
  #wantsTag = false;

  constructor(width: number) {
    this.#width = width;
  }

  get #margin(): number {
    return this.#indent + this.#hanging;
  }

  /** An empty line, but not two. */
  #gap(): void {
    this.#flush();
    if (this.lines.length > 0 && this.lines.at(-1)?.length !== 0) this.lines.push([]);
  }

  /** Sets the words collected so far. */
  #flush(): void {
    let line: Line = [];
    let used = 0;
    if (this.#tag !== undefined) {
      const start = this.#indent;
      line = [{ text: ' '.repeat(start), style: STYLE.PLAIN }, ...this.#tag];
      used = start + widthOf(this.#tag);
      // A tag that leaves no room has a line of its own.
      if (used >= this.#margin || this.#words.length === 0) {
        this.lines.push(line);
        line = [];
        used = 0;
      } else {
        line.push({ text: ' '.repeat(this.#margin - used), style: STYLE.PLAIN });
        used = this.#margin;
      }
      this.#tag = undefined;
    }
    let first = true;
    for (const word of this.#words) {
      const width = widthOf(word);
      if (line.length > 0 && !first && used + 1 + width > this.#width) {
        this.lines.push(line);
        line = [];
      }
      if (line.length === 0) {
        line = [{ text: ' '.repeat(this.#margin), style: STYLE.PLAIN }];
        used = this.#margin;
      } else if (!first) {
        line.push({ text: ' ', style: STYLE.PLAIN });
        used++;
      }
      line.push(...word);
      used += width;
      first = false;
    }
    if (line.length > 0) this.lines.push(line);
    this.#words = [];
  }

  /** A line of text: words to fill lines with, or a line as it stands. */
  text(line: Line): void {
    if (this.#wantsTag) {
      this.#tag = line;
      this.#wantsTag = false;
      return;
    }
    if (!this.#filled) {
      this.#flush();
      this.lines.push(
        widthOf(line) === 0 ? [] : [{ text: ' '.repeat(this.#margin), style: STYLE.PLAIN }, ...line],
      );
      return;
    }
    let word: Line = [];
    for (const { text, style } of line) {
      const parts = text.split(/ +/);
      parts.forEach((part, i) => {
        if (i > 0 && word.length > 0) {
          this.#words.push(word);
          word = [];
        }
        if (part !== '') word.push({ text: part, style });
      });
    }
    if (word.length > 0) this.#words.push(word);
  }

  macro(name: string, rest: string): void {
    const args = macroArguments(rest);
    switch (name) {
      case 'TH':
        this.lines.push([{ text: `${args[0]}(${args[1]})`, style: STYLE.PLAIN }]);
        return;
      case 'SH':
      case 'SS':
        this.#gap();
        this.#indent = INDENT;
        this.#hanging = 0;
        this.#margins.length = 0;
        this.lines.push([
          { text: ' '.repeat(name === 'SH' ? 0 : 3), style: STYLE.PLAIN },
          ...spans(args.join(' '), STYLE.BOLD),
        ]);
        return;
      case 'PP':
        this.#gap();
        this.#hanging = 0;
        return;
      case 'TP':
        this.#gap();
        this.#hanging = INDENT;
        this.#wantsTag = true;
        return;
      case 'TQ':
        this.#flush();
        this.#wantsTag = true;
        return;
      case 'IP':
        this.#gap();
        this.#hanging = INDENT;
        if (args[0]) this.#tag = spans(args[0], STYLE.PLAIN);
        return;
      case 'RS':
        this.#flush();
        this.#margins.push(this.#indent, this.#hanging);
        this.#indent += INDENT;
        this.#hanging = 0;
        return;
      case 'RE':
        this.#flush();
        this.#hanging = this.#margins.pop() ?? 0;
        this.#indent = this.#margins.pop() ?? INDENT;
        return;
      case 'nf':
      case 'EX':
      case 'fi':
      case 'EE':
        this.#flush();
        this.#filled = name === 'fi' || name === 'EE';
        return;
      case 'br':
        this.#flush();
        return;
      case 'B':
      case 'I':
        return this.text(spans(args.join(' '), FONTS[name]));
      case 'BR':
      case 'RB':
      case 'BI':
      case 'IB':
      case 'IR':
      case 'RI':
        return this.text(alternate(args, name));
      default:
        throw new Error(`unknown macro .${name}`);
    }
  }

  end(): void {
    this.#flush();
  }
}

/** A page as lines of at most `width` columns, where words allow it. Throws Error for roff it does not know. */
export function renderManual(source: string, width: number): Line[] {
  const page = new Page(width);
  for (const line of source.split('\n')) {
    if (/^[.']\s*(\\"|$)/.test(line)) continue;
    const macro = /^\.\s*(\w+)\s*(.*)$/.exec(line);
    if (macro) page.macro(macro[1], macro[2]);
    else if (line !== '') page.text(spans(line, STYLE.PLAIN));
    else page.macro('PP', '');
  }
  page.end();
  return page.lines;
}
