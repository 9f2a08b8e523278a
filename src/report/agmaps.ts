/** The maps of all AGs for the page: every run where there are few enough, else gathered in cells. */
import { cellsOf } from './map.js';
import { RunWriter } from './runs.js';
import type { AgUsage, Usage } from './usage.js';

/** Runs of all AGs up to which the page has every one: about half a megabyte. */
const MAX_RUNS = 120_000;
/** Cells of all AGs where it has not. */
const MAX_CELLS = 65_536;

export interface AgMaps {
  /** Blocks of a cell; 1 where the maps have every run. */
  readonly perCell: number;
  /** Packed runs of each AG, in base64. */
  readonly maps: readonly string[];
}

export function agMaps(usage: Usage): AgMaps {
  const runs = usage.ags.reduce((n, ag) => n + ag.count, 0);
  let perCell = 1;
  if (runs > MAX_RUNS) {
    const cells = (): number => usage.ags.reduce((n, ag) => n + Math.ceil(ag.length / perCell), 0);
    while (cells() > MAX_CELLS) perCell *= 2;
  }
  const pack = (ag: AgUsage): string => {
    const writer = new RunWriter();
    if (perCell === 1)
      for (let i = 0; i < ag.count; i++) writer.add(ag.blocks[i], ag.use[i], ag.owners[i], ag.use[i], 255);
    else addCells(writer, ag, perCell);
    return Buffer.from(writer.bytes).toString('base64');
  };
  return { perCell, maps: usage.ags.map(pack) };
}

/** Cells that are alike become one run. */
function addCells(writer: RunWriter, ag: AgUsage, perCell: number): void {
  const { count, use, also, share, owners } = cellsOf(ag, { from: 0, to: ag.length }, perCell);
  let first = 0;
  for (let i = 1; i <= count; i++) {
    const same =
      i < count &&
      use[i] === use[first] &&
      also[i] === also[first] &&
      share[i] === share[first] &&
      owners[i] === owners[first];
    if (same) continue;
    const end = Math.min(ag.length, i * perCell);
    writer.add(end - first * perCell, use[first], owners[first], also[first], share[first]);
    first = i;
  }
}
