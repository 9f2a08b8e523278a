/**
 * The map as text. A cell is two characters: what most of its blocks are in use for, and what else is in it, so
 * that the picture can be read without colour, and no cell hides what is mixed in.
 */
import type { ChalkInstance } from 'chalk';
import { USE, USE_NAMES, USES, type Use } from '../dump/rows/usage.js';
import type { Geometry } from '../format/geometry.js';
import { printable } from '../format/text.js';
import { type Cells, cellsOf, type Range } from '../report/map.js';
import { binarySize, percent } from '../report/units.js';
import type { AgUsage } from '../report/usage.js';
import type { Output } from './render/output.js';

export interface MapDrawing {
  /** The image's path, for the heading. */
  readonly name: string;
  readonly g: Geometry;
  readonly views: readonly { readonly ag: AgUsage; readonly range: Range }[];
  /** Blocks of the file to be lit. */
  readonly file?: ReadonlyMap<number, readonly Range[]>;
  /** Columns there are. */
  readonly width: number;
  readonly chalk: ChalkInstance;
}

/** The character of each kind, and its colour; shared runs show their number of owners instead. */
const LOOKS: Record<Use, readonly [glyph: string, color: string]> = {
  free: ['.', ''],
  agfl: ['f', '#8a949e'],
  header: ['H', '#6b7785'],
  bnobt: ['b', '#2f855a'],
  cntbt: ['c', '#48a677'],
  rmapbt: ['r', '#1f7f7a'],
  refcountbt: ['R', '#5b9a3c'],
  inobt: ['i', '#8a9a2b'],
  finobt: ['j', '#a9b545'],
  inodes: ['I', '#c9951f'],
  log: ['L', '#9c6b3f'],
  dir: ['D', '#d97f33'],
  attr: ['A', '#c0715a'],
  symlink: ['S', '#b17f95'],
  bmbt: ['B', '#6f8fae'],
  quota: ['Q', '#7d8ca0'],
  data: ['#', '#3f7fcf'],
  unwritten: ['u', '#9cc3ee'],
  shared: ['2', '#a974d8'],
  cow: ['w', '#2aa6a1'],
  contested: ['!', '#e02f44'],
  lost: ['?', '#e8789a'],
};

/** Colours of shared runs by their owners: 2, 3 or 4, 5 to 8, 9 to 16, more. */
const DEPTH = ['#c9a5e8', '#a974d8', '#8a4fc7', '#6526a3', '#4a148c'];
const depthOf = (owners: number): number =>
  Math.min(DEPTH.length - 1, Math.max(0, Math.ceil(Math.log2(owners)) - 1));
const LIT = '@';
const LIT_COLOR = '#ffd400';

/** Rows the picture should take, where it has a choice. */
const ROWS = 24;

const glyph = (use: number, owners: number): string =>
  use === USE.shared ? (owners < 10 ? String(owners) : '+') : LOOKS[USE_NAMES[use]][0];

const paint = (chalk: ChalkInstance, use: number, owners: number, text: string): string => {
  if (chalk.level === 0) return text;
  if (use === USE.free) return chalk.dim(text);
  const color = use === USE.shared ? DEPTH[depthOf(owners)] : LOOKS[USE_NAMES[use]][1];
  const paper = chalk.bgHex(color);
  return isDark(color) ? paper.hex('#ffffff')(text) : paper.hex('#000000')(text);
};

/** Whether white reads better on a colour than black: by its relative luminance. */
function isDark(color: string): boolean {
  const channel = (at: number): number => {
    const c = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5) < 0.179;
}

/** Blocks of a cell: a power of two with which all that is drawn takes few rows, the same for every AG. */
function blocksPerCell(views: MapDrawing['views'], columns: number): number {
  const rows = Math.max(views.length, ROWS);
  for (let perCell = 1; ; perCell *= 2) {
    let needed = 0;
    for (const { range } of views) needed += Math.ceil((range.to - range.from) / perCell / columns);
    if (needed <= rows) return perCell;
  }
}

export function drawMap(out: Output, drawing: MapDrawing): void {
  const { name, g, views, width, chalk, file } = drawing;
  const one = views.length === 1;
  const labels = views.map(({ ag, range }) => (one ? String(range.to - 1) : `AG ${ag.agno}`));
  const margin = Math.max(...labels.map((l) => l.length)) + 1;
  const columns = Math.max(1, Math.floor((width - margin) / 2));
  const perCell = blocksPerCell(views, columns);
  const { ag, range } = views[0];
  const shown = one
    ? `AG ${ag.agno}, blocks ${range.from} to ${range.to - 1} of ${binarySize(g.blocksize)}`
    : `${g.dblocks} blocks of ${binarySize(g.blocksize)} in ${g.agcount} AGs`;
  const cell =
    perCell === 1 ? 'a cell is a block' : `a cell is ${perCell} blocks, ${binarySize(perCell * g.blocksize)}`;
  out.text(`${printable(name)}: ${shown}; ${cell}\n\n`);
  for (const view of views) {
    const cells = cellsOf(view.ag, view.range, perCell, file);
    for (let from = 0; from < cells.count; from += columns) {
      const label = one ? String(view.range.from + from * perCell) : from === 0 ? `AG ${view.ag.agno}` : '';
      out.text(chalk.dim(one ? label.padStart(margin - 1) : label.padEnd(margin - 1)));
      out.text(' ');
      drawRow(out, chalk, cells, from, Math.min(cells.count, from + columns), file !== undefined);
      out.text('\n');
    }
  }
  drawLegend(out, drawing);
}

function drawRow(
  out: Output,
  chalk: ChalkInstance,
  cells: Cells,
  from: number,
  to: number,
  withFile: boolean,
): void {
  for (let i = from; i < to; i++) {
    const { use, also, owners, lit, perCell } = cells;
    const first = glyph(use[i], owners[i]);
    const second = glyph(also[i], owners[i]);
    if (lit[i] > 0) {
      const text = lit[i] * 2 > perCell ? LIT + LIT : first + LIT;
      out.text(chalk.level === 0 ? text : chalk.bgHex(LIT_COLOR).black.bold(text));
    } else if (withFile) out.text(chalk.dim(first + second));
    else {
      out.text(paint(chalk, use[i], owners[i], first));
      out.text(paint(chalk, also[i], owners[i], second));
    }
  }
}

/** Every kind there is with its blocks, in what was drawn. */
function drawLegend(out: Output, { g, views, chalk, file }: MapDrawing): void {
  const sums = new Float64Array(USE_NAMES.length);
  let owners = 0;
  let whole = 0;
  let lit = 0;
  for (const { ag, range } of views) {
    whole += range.to - range.from;
    for (let i = ag.at(range.from); i < ag.count && ag.start[i] < range.to; i++) {
      const to = Math.min(range.to, ag.start[i] + ag.blocks[i]);
      sums[ag.use[i]] += to - Math.max(range.from, ag.start[i]);
      if (ag.use[i] === USE.shared && ag.owners[i] > owners) owners = ag.owners[i];
    }
    for (const { from, to } of file?.get(ag.agno) ?? [])
      lit += Math.max(0, Math.min(to, range.to) - Math.max(from, range.from));
  }
  const rows: { key: string; name: string; blocks: number; about: string }[] = [];
  USE_NAMES.forEach((name, use) => {
    if (sums[use] === 0) return;
    const shared = use === USE.shared;
    const key = paint(chalk, use, 2, glyph(use, 2).repeat(2));
    const about = shared
      ? `${USES[name]}, at most ${owners}; a digit is their number, + is 10 or more`
      : USES[name];
    rows.push({ key, name, blocks: sums[use], about });
  });
  if (file !== undefined) {
    const key = chalk.level === 0 ? LIT + LIT : chalk.bgHex(LIT_COLOR).black.bold(LIT + LIT);
    rows.push({ key, name: 'the file', blocks: lit, about: 'blocks of the file asked for' });
  }
  const nameWidth = Math.max(...rows.map((r) => r.name.length));
  const countWidth = String(whole).length;
  out.text('\n');
  for (const { key, name, blocks, about } of rows) {
    const size = binarySize(blocks * g.blocksize).padStart(10);
    out.text(
      `${key}  ${name.padEnd(nameWidth)}  ${String(blocks).padStart(countWidth)} ${blocks === 1 ? 'block ' : 'blocks'} ${size} `,
    );
    out.text(`${percent(blocks, whole).padStart(6)}  ${chalk.dim(about)}\n`);
  }
}
