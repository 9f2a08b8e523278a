/** Runs of blocks of one AG, ascending and apart from each other. */

export interface Run {
  readonly start: number;
  readonly blocks: number;
}

export const runsHold = (runs: readonly Run[]): number => runs.reduce((sum, r) => sum + r.blocks, 0);

/** `count` blocks out of `room`: the smallest run that holds all, else the largest ones. In block order. */
export function takeRuns(room: readonly Run[], count: number): Run[] | undefined {
  if (count === 0) return [];
  const whole = room.filter((r) => r.blocks >= count).sort((a, b) => a.blocks - b.blocks)[0];
  if (whole !== undefined) return [{ start: whole.start, blocks: count }];
  const out: Run[] = [];
  let left = count;
  for (const r of [...room].sort((a, b) => b.blocks - a.blocks)) {
    const n = Math.min(left, r.blocks);
    if (n > 0) out.push({ start: r.start, blocks: n });
    left -= n;
  }
  return left > 0 ? undefined : out.sort((a, b) => a.start - b.start);
}

/** Runs without the blocks of `taken`. */
export function subtract(runs: readonly Run[], taken: readonly Run[]): Run[] {
  const out: Run[] = [];
  let k = 0;
  for (const run of runs) {
    let at = run.start;
    const end = run.start + run.blocks;
    while (k < taken.length && taken[k].start + taken[k].blocks <= at) k++;
    for (let i = k; i < taken.length && taken[i].start < end; i++) {
      if (taken[i].start > at) out.push({ start: at, blocks: taken[i].start - at });
      at = Math.max(at, taken[i].start + taken[i].blocks);
    }
    if (at < end) out.push({ start: at, blocks: end - at });
  }
  return out;
}

/** What is in both. */
export function intersect(a: readonly Run[], b: readonly Run[]): Run[] {
  const out: Run[] = [];
  let k = 0;
  for (const run of a) {
    const end = run.start + run.blocks;
    while (k < b.length && b[k].start + b[k].blocks <= run.start) k++;
    for (let i = k; i < b.length && b[i].start < end; i++) {
      const from = Math.max(run.start, b[i].start);
      const to = Math.min(end, b[i].start + b[i].blocks);
      if (to > from) out.push({ start: from, blocks: to - from });
    }
  }
  return out;
}

/** Whether a block is in one of the runs. */
export function isIn(runs: readonly Run[] | undefined, block: number): boolean {
  let low = 0;
  let high = (runs?.length ?? 0) - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (runs![middle].start <= block) low = middle;
    else high = middle - 1;
  }
  const run = runs?.[low];
  return run !== undefined && block >= run.start && block < run.start + run.blocks;
}
