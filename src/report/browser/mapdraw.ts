/** The map on canvases: strips of an AG, and a view of it as a grid of cells. */
import type { MapModel, View, ViewCells } from './mapmodel.js';
import type { Palette } from './uses.js';

/** Of the grid: rows, side of a cell, side and gap, and the room at its edge for outlines. */
export const GRID = { rows: 26, cell: 11, pitch: 13, edge: 3 } as const;

export const gridColumns = (width: number): number =>
  Math.max(8, Math.floor((width - 2 * GRID.edge + (GRID.pitch - GRID.cell)) / GRID.pitch));

/** Gives a canvas its height and sharp pixels; returns its context, wiped. */
export function fit(canvas: HTMLCanvasElement, height: number): CanvasRenderingContext2D {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.style.height = `${height}px`;
  const w = Math.round(width * ratio);
  const h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const context = canvas.getContext('2d')!;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

export interface GridLook {
  readonly columns: number;
  readonly cursor: number;
  readonly focused: boolean;
  /** The one kind in colour, or -1. */
  readonly only: number;
  /** Cells of findings, and of the place a link led to: first and behind the last. */
  readonly marks: readonly [number, number][];
  readonly target: readonly [number, number][];
  readonly drag?: { readonly from: number; readonly to: number };
}

const FADED = 0.16;

export function drawGrid(
  context: CanvasRenderingContext2D,
  palette: Palette,
  cells: ViewCells,
  look: GridLook,
): void {
  const { columns, only } = look;
  const { cell, pitch, edge } = GRID;
  const x = (i: number): number => edge + (i % columns) * pitch;
  const y = (i: number): number => edge + Math.floor(i / columns) * pitch;
  for (let i = 0; i < cells.count; i++) {
    const use = cells.use[i];
    const also = cells.also[i];
    const shown = only < 0 || use === only || also === only;
    context.globalAlpha = shown ? 1 : FADED;
    context.fillStyle = palette.color(use, cells.owners[i]);
    context.beginPath();
    context.roundRect(x(i), y(i), cell, cell, 2);
    context.fill();
    if (also === use) continue;
    // What else is there has the lower corner: the more of it, the larger.
    const side = 4 + Math.round((cell - 6) * Math.min(1, (1 - cells.share[i]) * 2));
    context.fillStyle = palette.color(also, cells.owners[i]);
    context.beginPath();
    context.moveTo(x(i) + cell, y(i) + cell - side);
    context.lineTo(x(i) + cell, y(i) + cell);
    context.lineTo(x(i) + cell - side, y(i) + cell);
    context.fill();
  }
  context.globalAlpha = 1;
  const outline = (i: number, color: string, width: number, out: number): void => {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.strokeRect(x(i) - out, y(i) - out, cell + 2 * out, cell + 2 * out);
  };
  const each = (ranges: readonly [number, number][], fn: (i: number) => void): void => {
    for (const [from, to] of ranges)
      for (let i = Math.max(0, from); i < Math.min(cells.count, Math.max(to, from + 1)); i++) fn(i);
  };
  each(look.marks, (i) => outline(i, palette.alarm, 1.5, 0.75));
  each(look.target, (i) => outline(i, palette.accent, 2, 1));
  const { drag } = look;
  if (drag !== undefined && drag.from !== drag.to) {
    const range: [number, number] = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to) + 1];
    each([range], (i) => outline(i, palette.accent, 1, 0.5));
  }
  if (look.focused) outline(look.cursor, palette.ink, 2, 1);
}

/** An AG as a strip: each column of pixels what its blocks are, damage above all. */
export function drawStrip(
  context: CanvasRenderingContext2D,
  palette: Palette,
  model: MapModel,
  view: View,
  only: number,
  window?: View,
  top = 0,
  height = context.canvas.clientHeight,
): void {
  const width = context.canvas.clientWidth;
  const bar = window === undefined ? height : height - 6;
  const cells = model.cells(view, Math.max(1, width));
  const step = (width * cells.perCell) / (view.to - view.from);
  for (let i = 0; i < cells.count; i++) {
    // Whole pixels: halves would shine through each other.
    const left = Math.floor(i * step);
    const w = Math.max(1, Math.floor((i + 1) * step) - left);
    const paint = (use: number, from: number, part: number): void => {
      context.globalAlpha = only < 0 || use === only ? 1 : FADED;
      context.fillStyle = palette.color(use, cells.owners[i]);
      context.fillRect(left, top + from, w, part);
    };
    paint(cells.use[i], 0, bar);
    if (cells.also[i] === cells.use[i]) continue;
    const part = Math.max(2, Math.round(bar * (1 - cells.share[i])));
    paint(cells.also[i], bar - part, part);
  }
  context.globalAlpha = 1;
  context.fillStyle = palette.alarm;
  for (const { from, to } of model.marks(view.agno)) {
    const left = ((from - view.from) / (view.to - view.from)) * width;
    const w = Math.max(2, ((to - from) / (view.to - view.from)) * width);
    context.fillRect(left, top, w, 3);
  }
  if (window === undefined) return;
  // Where the grid's view lies.
  const left = (window.from / (view.to - view.from)) * width;
  const w = Math.max(3, ((window.to - window.from) / (view.to - view.from)) * width);
  context.fillStyle = palette.ink;
  context.fillRect(left, bar + 3, w, 3);
}
