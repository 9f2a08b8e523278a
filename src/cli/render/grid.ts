/**
 * A table with borders for a terminal. It streams: rows are drawn in windows of some hundred, in column
 * widths taken from the first window; what is wider later is wrapped within its cell.
 */
import type { ChalkInstance } from 'chalk';
import type Table3 from 'cli-table3';
import type { Table } from '../../dump/table.js';
import { printable } from '../../format/text.js';
import type { Output } from './output.js';
import { TableWriter, wholeDigits } from './writer.js';

const WINDOW = 400;
/** Narrowest a text column is squeezed to on a narrow terminal. */
const MIN_TEXT = 16;

export interface GridTools {
  readonly Table3: typeof Table3;
  readonly chalk: ChalkInstance;
}

type Style = (chalk: ChalkInstance, s: string) => string;

/** Words that deserve attention wherever they stand in a table. */
const STYLES: Record<string, Style> = {
  shared: (c, s) => c.cyan(s),
  cow: (c, s) => c.magenta(s),
  unwritten: (c, s) => c.yellow(s),
  attr: (c, s) => c.blue(s),
  free: (c, s) => c.gray(s),
};

export class GridWriter extends TableWriter {
  readonly #tools: GridTools;
  readonly #header: boolean;
  readonly #width: number;
  #rows: string[][] = [];
  #widths: number[] | undefined;

  /** `width`: columns of the terminal. */
  constructor(
    table: Table,
    chosen: readonly number[],
    out: Output,
    options: { header: boolean; width: number; tools: GridTools },
  ) {
    super(table, chosen, out);
    this.#tools = options.tools;
    this.#header = options.header;
    this.#width = options.width;
  }

  emit(): void {
    // Drawn only when another row follows: the last window closes the table.
    if (this.#rows.length === WINDOW) this.#draw(false);
    const row: string[] = [];
    for (let i = 0; i < this.chosen.length; i++) row.push(this.#cell(i));
    this.#rows.push(row);
  }

  #cell(i: number): string {
    const at = this.chosen[i];
    switch (this.kinds[i]) {
      case 'text':
        return printable(this.text[at] ?? '');
      case 'any':
        return printable(String(this.any[at] ?? ''));
      case 'bool':
        return Number.isNaN(this.num[at]) ? '' : this.num[at] !== 0 ? 'true' : 'false';
      default:
        return Number.isNaN(this.num[at]) ? '' : wholeDigits(this.num[at]);
    }
  }

  #measure(): number[] {
    const widths = this.columns.map((c, i) => {
      let w = this.#header ? c.name.length : 1;
      for (const row of this.#rows) w = Math.max(w, row[i].length);
      return w + 2;
    });
    // The widest text columns give way until the table fits.
    let over = widths.reduce((a, b) => a + b + 1, 1) - this.#width;
    while (over > 0) {
      let widest = -1;
      widths.forEach((w, i) => {
        const squeezable = (this.kinds[i] === 'text' || this.kinds[i] === 'any') && w > MIN_TEXT;
        if (squeezable && (widest < 0 || w > widths[widest])) widest = i;
      });
      if (widest < 0) break;
      const give = Math.min(over, widths[widest] - MIN_TEXT);
      widths[widest] -= give;
      over -= give;
    }
    return widths;
  }

  #draw(last: boolean): void {
    const { chalk, Table3 } = this.#tools;
    const first = this.#widths === undefined;
    this.#widths ??= this.#measure();
    const line = chalk.dim('─');
    const none = { top: '', 'top-mid': '', 'top-left': '', 'top-right': '' };
    const inner = { mid: '', 'mid-mid': '', 'left-mid': '', 'right-mid': '' };
    const sides = { left: chalk.dim('│'), right: chalk.dim('│'), middle: chalk.dim('│') };
    const bottom = (left: string, mid: string, right: string): Record<string, string> => ({
      bottom: line,
      'bottom-left': chalk.dim(left),
      'bottom-mid': chalk.dim(mid),
      'bottom-right': chalk.dim(right),
    });
    const noBottom = { bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' };
    const top = {
      top: line,
      'top-left': chalk.dim('┌'),
      'top-mid': chalk.dim('┬'),
      'top-right': chalk.dim('┐'),
    };
    const common = {
      colWidths: this.#widths,
      colAligns: this.kinds.map((k) => (k === 'text' || k === 'any' || k === 'bool' ? 'left' : 'right')),
      style: { head: [], border: [], compact: true },
      wordWrap: true,
      wrapOnWordBoundary: false,
    };
    const closing = bottom('└', '┴', '┘');
    const draw = (rows: string[][], chars: Record<string, string>): void => {
      const grid = new Table3({ ...common, chars } as Table3.TableConstructorOptions);
      grid.push(...rows);
      this.out.text(`${grid.toString()}\n`);
    };
    if (first && this.#header) {
      const after = last && this.#rows.length === 0 ? closing : bottom('├', '┼', '┤');
      draw([this.columns.map((c) => chalk.bold(c.name))], { ...top, ...inner, ...sides, ...after });
    }
    if (this.#rows.length > 0) {
      const rows = this.#rows.map((row) => row.map((cell) => STYLES[cell]?.(chalk, cell) ?? cell));
      const above = first && !this.#header ? top : none;
      draw(rows, { ...above, ...inner, ...sides, ...(last ? closing : noBottom) });
    }
    this.#rows = [];
    // On a terminal the reader waits: show what there is.
    this.out.flush();
  }

  finish(): void {
    this.#draw(true);
    this.out.flush();
  }
}
