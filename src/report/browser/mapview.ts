/**
 * The map: every AG as a strip, and below them a view of one AG as a grid of cells that can be zoomed into, by
 * mouse and by keyboard, down to single blocks.
 */
import type { ReportData } from '../payload.js';
import { percent } from '../units.js';
import { count, counted, h, parsePlace, placeText, section, size } from './dom.js';
import { legend } from './legend.js';
import { drawGrid, drawStrip, fit, GRID, gridColumns } from './mapdraw.js';
import { MapModel, type Marked, type View, type ViewCells } from './mapmodel.js';
import { strips } from './strips.js';
import { Palette } from './uses.js';

/** Fewest blocks of a view, and how much closer Enter and a double click go. */
const LEAST = 32;
const CLOSER = 8;

const HELP =
  'Arrow keys move over the cells, plus and minus zoom, Enter goes into a cell, Home shows the whole group, brackets change the group, Escape takes marks away.';

export class MapView {
  readonly element: HTMLElement;
  readonly #data: ReportData;
  readonly #model: MapModel;
  readonly #palette: Palette;
  readonly #grid: HTMLCanvasElement;
  readonly #strip: HTMLCanvasElement;
  readonly #range: HTMLElement;
  readonly #info: HTMLElement;
  readonly #choose: HTMLSelectElement;
  readonly #overview: ReturnType<typeof strips>;
  #view: View;
  #cells!: ViewCells;
  #columns = 1;
  #cursor = 0;
  /** Blocks a link led to: outlined until Escape. */
  #target: { agno: number; from: number; to: number } | undefined;
  /** One kind alone in colour. */
  #only = -1;
  #drag: { from: number; to: number } | undefined;

  constructor(data: ReportData) {
    this.#data = data;
    this.#model = new MapModel(data);
    this.#palette = new Palette(data);
    this.#view = { agno: 0, from: 0, to: data.ags[0].length };
    this.#grid = h('canvas', {
      class: 'grid-map',
      tabindex: 0,
      role: 'application',
      'aria-label': 'Map of one allocation group',
      'aria-describedby': 'map-help map-info',
      keydown: (event: KeyboardEvent) => this.#key(event),
      pointerdown: (event: PointerEvent) => this.#down(event),
      pointermove: (event: PointerEvent) => this.#move(event),
      pointerup: (event: PointerEvent) => this.#up(event),
      pointercancel: () => this.#endDrag(),
      dblclick: (event: MouseEvent) => this.#into(this.#cellAt(event)),
    });
    // Set apart, for it must be able to keep the page from scrolling.
    this.#grid.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    this.#strip = h('canvas', {
      class: 'strip-map',
      'aria-hidden': 'true',
      pointerdown: (event: PointerEvent) => this.#jump(event),
    });
    this.#range = h('output', { class: 'range', id: 'map-range' });
    this.#info = h('div', { class: 'info card', id: 'map-info', role: 'status' });
    this.#choose = h(
      'select',
      { id: 'map-ag', change: () => this.show({ agno: Number(this.#choose.value) }) },
      data.ags.map((_, agno) => h('option', { value: agno }, `AG ${agno}`)),
    );
    this.#overview = strips(data, this.#model, this.#palette, (agno) => this.show({ agno }));
    this.element = this.#build();
    new ResizeObserver(() => this.draw()).observe(this.#grid);
  }

  #build(): HTMLElement {
    const button = (id: string, text: string, title: string, click: () => void): HTMLElement =>
      h('button', { type: 'button', id, title, 'aria-label': title, click }, text);
    const toolbar = h(
      'div',
      { class: 'toolbar', role: 'toolbar', 'aria-label': 'Map' },
      h('label', { for: 'map-ag' }, 'Group'),
      this.#choose,
      button('map-out', '−', 'Zoom out', () => this.#zoom(1 / 2)),
      button('map-in', '+', 'Zoom in', () => this.#zoom(2)),
      button('map-left', '◀', 'Blocks before', () => this.#pan(-1)),
      button('map-right', '▶', 'Blocks behind', () => this.#pan(1)),
      button('map-whole', 'Whole group', 'Show the whole group', () => this.#whole()),
      this.#range,
    );
    const about =
      this.#data.perCell === 1
        ? 'Each group as a strip, from its first block to its last; below it one group as cells. A cell with a corner of another colour holds that too.'
        : `Each group as a strip; below it one group as cells. The image has too many runs for a page: the closest look here is ${count(this.#data.perCell)} blocks (xfsimg map shows every one).`;
    return section(
      'map',
      'Map',
      about,
      this.#overview.element,
      toolbar,
      this.#strip,
      this.#grid,
      h('p', { class: 'unseen', id: 'map-help' }, HELP),
      h('p', { class: 'hint', 'aria-hidden': 'true' }, [
        ...['Drag to zoom in, double-click a cell to go into it. Keys: '],
        ...['← → ↑ ↓', '+ −', 'Enter', 'Home', '[ ]', 'Esc'].map((k) => h('kbd', {}, k)),
      ]),
      this.#info,
      legend(this.#data, (use) => {
        this.#only = use;
        this.draw();
      }),
    );
  }

  /** Shows an AG, or blocks of it. */
  show(view: Partial<View>): void {
    const agno = Math.min(view.agno ?? this.#view.agno, this.#data.ags.length - 1);
    const { length } = this.#data.ags[agno];
    const least = Math.min(length, LEAST * this.#data.perCell);
    const span = Math.min(length, Math.max(least, Math.round((view.to ?? length) - (view.from ?? 0))));
    const from = Math.max(0, Math.min(length - span, Math.round(view.from ?? 0)));
    const cursorBlock = this.#blockOf(this.#cursor);
    this.#view = { agno, from, to: from + span };
    this.draw();
    this.#cursor = this.#cellOf(Math.max(from, Math.min(from + span - 1, cursorBlock)));
    this.#tell(this.#cursor);
    this.#paint();
  }

  /** Follows a link to blocks: they are shown among their neighbours, and outlined. */
  go(hash: string): boolean {
    const place = parsePlace(hash);
    if (place === undefined || place.agno >= this.#data.ags.length) return false;
    const { agno, agbno, blocks } = place;
    const { length } = this.#data.ags[agno];
    const from = Math.min(agbno, length - 1);
    const to = Math.min(length, from + blocks);
    this.#target = { agno, from, to };
    const around = Math.max(blocks, 256);
    this.show({ agno, from: from - around, to: to + around });
    this.#cursor = this.#cellOf(from);
    this.#tell(this.#cursor);
    this.#paint();
    this.element.scrollIntoView({ block: 'start' });
    this.#grid.focus({ preventScroll: true });
    return true;
  }

  /** The theme has changed. */
  recolor(): void {
    this.#palette.refresh();
    this.draw();
  }

  /** Gathers the view for the room there is, and paints it. */
  draw(): void {
    const width = this.#grid.clientWidth;
    if (width === 0) return;
    this.#columns = gridColumns(width);
    this.#cells = this.#model.cells(this.#view, this.#columns * GRID.rows);
    this.#cursor = Math.min(this.#cursor, this.#cells.count - 1);
    this.#paint();
    const { agno, from, to } = this.#view;
    this.#choose.value = String(agno);
    this.#range.textContent = `${placeText(agno, from, to - from)} · a cell is ${counted(this.#cells.perCell, 'block')}, ${size(this.#data, this.#cells.perCell)}`;
    Object.assign(this.#grid.dataset, { ag: agno, from, to, cursor: this.#blockOf(this.#cursor) });
    this.#overview.draw(agno, this.#only);
  }

  #paint(): void {
    if (this.#cells === undefined) return;
    const { agno, from } = this.#view;
    const { perCell } = this.#cells;
    const cellsOf = (list: readonly { from: number; to: number }[]): [number, number][] =>
      list.map((m) => [Math.floor((m.from - from) / perCell), Math.ceil((m.to - from) / perCell)]);
    const target = this.#target?.agno === agno ? [this.#target] : [];
    const context = fit(this.#grid, Math.ceil(this.#cells.count / this.#columns) * GRID.pitch + GRID.edge);
    drawGrid(context, this.#palette, this.#cells, {
      columns: this.#columns,
      cursor: this.#cursor,
      focused: document.activeElement === this.#grid,
      only: this.#only,
      marks: cellsOf(this.#model.marks(agno)),
      target: cellsOf(target),
      drag: this.#drag,
    });
    const { length } = this.#data.ags[agno];
    const strip = fit(this.#strip, 26);
    drawStrip(strip, this.#palette, this.#model, { agno, from: 0, to: length }, this.#only, this.#view);
    this.#grid.dataset.cursor = String(this.#blockOf(this.#cursor));
  }

  #blockOf(cell: number): number {
    return this.#view.from + cell * (this.#cells?.perCell ?? 1);
  }

  #cellOf(block: number): number {
    const { perCell, count } = this.#cells;
    return Math.max(0, Math.min(count - 1, Math.floor((block - this.#view.from) / perCell)));
  }

  /** The cell under the pointer. */
  #cellAt(event: MouseEvent): number {
    const box = this.#grid.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - GRID.edge) / GRID.pitch);
    const row = Math.floor((event.clientY - box.top - GRID.edge) / GRID.pitch);
    const inside = Math.max(0, Math.min(this.#columns - 1, column));
    return Math.max(0, Math.min(this.#cells.count - 1, row * this.#columns + inside));
  }

  /** Zooms by `factor`; the block of `cell` stays where it is in the view. */
  #zoom(factor: number, cell = this.#cursor): void {
    const { from, to } = this.#view;
    const block = this.#blockOf(cell) + this.#cells.perCell / 2;
    const span = (to - from) / factor;
    const part = (block - from) / (to - from);
    this.show({ from: block - part * span, to: block + (1 - part) * span });
    this.#cursor = this.#cellOf(Math.floor(block));
    this.#tell(this.#cursor);
    this.#paint();
  }

  /** Shows a cell and its neighbours much closer. */
  #into(cell: number): void {
    const block = this.#blockOf(cell);
    const span = (this.#view.to - this.#view.from) / CLOSER;
    this.show({ from: block - span / 2, to: block + span / 2 });
    this.#cursor = this.#cellOf(block);
    this.#tell(this.#cursor);
    this.#paint();
  }

  #pan(views: number): void {
    const { from, to } = this.#view;
    const by = Math.round((to - from) * views * 0.75);
    const { length } = this.#data.ags[this.#view.agno];
    const start = Math.max(0, Math.min(length - (to - from), from + by));
    this.show({ from: start, to: start + to - from });
  }

  #whole(): void {
    this.show({ agno: this.#view.agno });
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = (by: number): void => {
      const next = this.#cursor + by;
      if (next < 0 || next >= this.#cells.count) return;
      this.#cursor = next;
      this.#tell(next);
      this.#paint();
    };
    const group = (by: number): void => {
      const agno = this.#view.agno + by;
      if (agno >= 0 && agno < this.#data.ags.length) this.show({ agno });
    };
    const keys: Record<string, () => void> = {
      ArrowLeft: () => move(-1),
      ArrowRight: () => move(1),
      ArrowUp: () => move(-this.#columns),
      ArrowDown: () => move(this.#columns),
      '+': () => this.#zoom(2),
      '=': () => this.#zoom(2),
      '-': () => this.#zoom(1 / 2),
      Enter: () => this.#into(this.#cursor),
      Home: () => this.#whole(),
      PageUp: () => this.#pan(-1),
      PageDown: () => this.#pan(1),
      '[': () => group(-1),
      ']': () => group(1),
      Escape: () => {
        this.#target = undefined;
        this.#endDrag();
      },
    };
    const act = keys[event.key];
    if (act === undefined) return;
    event.preventDefault();
    act();
  }

  /** With the map in focus, or as a pinch: else the page scrolls, as everywhere. */
  #wheel(event: WheelEvent): void {
    if (!event.ctrlKey && document.activeElement !== this.#grid) return;
    event.preventDefault();
    this.#zoom(event.deltaY < 0 ? 1.5 : 1 / 1.5, this.#cellAt(event));
  }

  #down(event: PointerEvent): void {
    if (event.button !== 0) return;
    const cell = this.#cellAt(event);
    this.#cursor = cell;
    this.#drag = { from: cell, to: cell };
    this.#grid.setPointerCapture(event.pointerId);
    this.#tell(cell);
    this.#paint();
  }

  #move(event: PointerEvent): void {
    const cell = this.#cellAt(event);
    this.#tell(cell);
    if (this.#drag === undefined || this.#drag.to === cell) return;
    this.#drag.to = cell;
    this.#paint();
  }

  #up(event: PointerEvent): void {
    const drag = this.#drag;
    this.#endDrag();
    if (drag === undefined || drag.from === drag.to) return;
    const first = Math.min(drag.from, this.#cellAt(event));
    const last = Math.max(drag.from, this.#cellAt(event));
    if (first < last) this.show({ from: this.#blockOf(first), to: this.#blockOf(last + 1) });
  }

  #endDrag(): void {
    this.#drag = undefined;
    this.#paint();
  }

  /** A click into the strip brings its blocks into the middle of the view. */
  #jump(event: PointerEvent): void {
    const { agno, from, to } = this.#view;
    const block = (event.offsetX / this.#strip.clientWidth) * this.#data.ags[agno].length;
    this.show({ from: block - (to - from) / 2, to: block + (to - from) / 2 });
  }

  /** What a cell holds, in words. */
  #tell(cell: number): void {
    const { agno, to } = this.#view;
    const first = this.#blockOf(cell);
    const end = Math.min(to, first + this.#cells.perCell);
    const runs = this.#model.runs(agno);
    const { uses } = this.#data;
    const parts = new Map<string, number>();
    for (let i = this.#model.at(agno, first); i < runs.count && runs.start[i] < end; i++) {
      const blocks = Math.min(end, runs.start[i] + runs.blocks[i]) - Math.max(first, runs.start[i]);
      const { name } = uses[runs.use[i]];
      const said =
        runs.owners[i] < 2
          ? name
          : `${name} by ${name === 'contested' ? counted(runs.owners[i], 'claim') : counted(runs.owners[i], 'owner')}`;
      const share = runs.share[i] / 255;
      parts.set(said, (parts.get(said) ?? 0) + blocks * share);
      if (share < 1) {
        const other = uses[runs.also[i]].name;
        parts.set(other, (parts.get(other) ?? 0) + blocks * (1 - share));
      }
    }
    const says = [...parts]
      .sort((a, b) => b[1] - a[1])
      .slice(0, 5)
      .map(([name, blocks]) => (parts.size === 1 ? name : `${name} ${percent(blocks, end - first)}`));
    if (parts.size > 5) says.push(`${parts.size - 5} more`);
    const found = this.#model.marks(agno).filter((m) => m.from < end && m.to > first);
    this.#info.replaceChildren(
      h('p', {}, h('b', {}, placeText(agno, first, end - first)), ` · ${says.join(', ')}`),
      ...this.#foundLines(found),
    );
  }

  #foundLines(found: readonly Marked[]): HTMLElement[] {
    const lines = found.slice(0, 3).map(({ finding }) => {
      const { code, message } = this.#data.findings.list[finding];
      return h('p', { class: 'found' }, h('a', { href: `#finding-${finding}` }, code), ` ${message}`);
    });
    if (found.length > 3)
      lines.push(h('p', { class: 'found' }, `and ${counted(found.length - 3, 'more finding')}`));
    return lines;
  }
}
