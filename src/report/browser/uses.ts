/** The colours of what blocks are in use for: style.css has them, for the light page and the dark. */
import type { ReportData } from '../payload.js';

/** Steps of the colour of shared blocks: 2, 3 or 4, 5 to 8, 9 to 16, more owners. */
export const DEPTHS = ['2', '3–4', '5–8', '9–16', '17+'] as const;
export const depthOf = (owners: number): number =>
  Math.min(DEPTHS.length - 1, Math.max(0, Math.ceil(Math.log2(owners)) - 1));

export const cssColor = (name: string, depth = 2): string =>
  name === 'shared' ? `var(--shared-${depth})` : `var(--use-${name})`;

export class Palette {
  readonly names: readonly string[];
  readonly index: Readonly<Record<string, number>>;
  #colors: string[] = [];
  #shared: string[] = [];
  #rest: Record<string, string> = {};

  constructor(data: ReportData) {
    this.names = data.uses.map((u) => u.name);
    this.index = Object.fromEntries(this.names.map((name, i) => [name, i]));
    this.refresh();
  }

  /** Reads the colours again: the theme has changed. */
  refresh(): void {
    // Asked of an element, for a property of its own is not resolved to the colour of the theme.
    const probe = document.createElement('i');
    document.body.append(probe);
    const read = (name: string): string => {
      probe.style.color = `var(${name})`;
      return getComputedStyle(probe).color;
    };
    this.#colors = this.names.map((name) => read(`--use-${name}`));
    this.#shared = DEPTHS.map((_, i) => read(`--shared-${i}`));
    this.#rest = Object.fromEntries(
      ['ink', 'accent', 'card', 'alarm'].map((name) => [name, read(`--${name}`)]),
    );
    probe.remove();
  }

  color(use: number, owners: number): string {
    return use === this.index.shared ? this.#shared[depthOf(owners)] : this.#colors[use];
  }

  get ink(): string {
    return this.#rest.ink;
  }
  get accent(): string {
    return this.#rest.accent;
  }
  get card(): string {
    return this.#rest.card;
  }
  get alarm(): string {
    return this.#rest.alarm;
  }
}
