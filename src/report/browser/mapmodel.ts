/** The maps as data: runs of each AG, unpacked when first asked for, and gathered in the cells of a view. */
import type { ReportData } from '../payload.js';
import { type RunColumns, readRuns } from '../runs.js';

export interface View {
  readonly agno: number;
  readonly from: number;
  readonly to: number;
}

export interface ViewCells {
  readonly count: number;
  readonly perCell: number;
  readonly use: Uint8Array;
  readonly also: Uint8Array;
  /** The use's part of the cell, 0 to 1. */
  readonly share: Float32Array;
  readonly owners: Uint32Array;
}

export interface Marked {
  readonly from: number;
  readonly to: number;
  /** Index of the finding. */
  readonly finding: number;
}

export class MapModel {
  readonly data: ReportData;
  readonly #runs = new Map<number, RunColumns>();
  readonly #marks = new Map<number, Marked[]>();

  constructor(data: ReportData) {
    this.data = data;
    data.findings.list.forEach((f, finding) => {
      if (f.agno === undefined || f.agbno === undefined) return;
      const mark = { from: f.agbno, to: f.agbno + (f.blocks ?? 1), finding };
      const list = this.#marks.get(f.agno);
      if (list === undefined) this.#marks.set(f.agno, [mark]);
      else list.push(mark);
    });
  }

  runs(agno: number): RunColumns {
    let runs = this.#runs.get(agno);
    if (runs === undefined) {
      runs = readRuns(Uint8Array.from(atob(this.data.ags[agno].runs), (c) => c.charCodeAt(0)));
      this.#runs.set(agno, runs);
    }
    return runs;
  }

  /** Findings about blocks of an AG. */
  marks(agno: number): readonly Marked[] {
    return this.#marks.get(agno) ?? [];
  }

  /** Index of the run that holds a block. */
  at(agno: number, agbno: number): number {
    const { start, count } = this.runs(agno);
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (start[middle] <= agbno) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Gathers a view in at most `most` cells of one size. */
  cells({ agno, from, to }: View, most: number): ViewCells {
    const runs = this.runs(agno);
    const perCell = Math.max(1, Math.ceil((to - from) / most));
    const count = Math.ceil((to - from) / perCell);
    const out = {
      count,
      perCell,
      use: new Uint8Array(count),
      also: new Uint8Array(count),
      share: new Float32Array(count),
      owners: new Uint32Array(count),
    };
    const sums = new Float64Array(this.data.uses.length);
    const alarms = ['contested', 'lost'].map((name) => this.data.uses.findIndex((u) => u.name === name));
    let run = this.at(agno, from);
    for (let i = 0; i < count; i++) {
      const begin = from + i * perCell;
      const end = Math.min(to, begin + perCell);
      sums.fill(0);
      for (; run < runs.count && runs.start[run] < end; run++) {
        const stop = runs.start[run] + runs.blocks[run];
        const blocks = Math.min(stop, end) - Math.max(runs.start[run], begin);
        const share = runs.share[run] / 255;
        sums[runs.use[run]] += blocks * share;
        if (share < 1) sums[runs.also[run]] += blocks * (1 - share);
        if (runs.owners[run] > out.owners[i]) out.owners[i] = runs.owners[run];
        if (stop > end) break;
      }
      let first = 0;
      for (let use = 1; use < sums.length; use++) if (sums[use] > sums[first]) first = use;
      let second = first;
      for (let use = 0; use < sums.length; use++)
        if (use !== first && sums[use] > 0 && (second === first || sums[use] > sums[second])) second = use;
      for (const alarm of alarms) if (alarm !== first && sums[alarm] > 0) second = alarm;
      out.use[i] = first;
      out.also[i] = second;
      out.share[i] = sums[first] / (end - begin);
    }
    return out;
  }
}
