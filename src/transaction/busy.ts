/**
 * Blocks freed by transactions that are not in the log yet. Until they are, file data must not be written
 * over them, nor new inodes made on them: a crash would bring the old owner back.
 */

/** Ranges of block numbers, sorted, disjoint, never touching. */
class Ranges {
  readonly starts: number[] = [];
  readonly ends: number[] = [];

  /** Index of the first range that ends after `block`. */
  find(block: number): number {
    let low = 0;
    let high = this.starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.ends[middle] <= block) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  add(start: number, end: number): void {
    let first = this.find(start);
    if (first > 0 && this.ends[first - 1] === start) first--;
    let last = first;
    let from = start;
    let to = end;
    while (last < this.starts.length && this.starts[last] <= end) {
      from = Math.min(from, this.starts[last]);
      to = Math.max(to, this.ends[last]);
      last++;
    }
    this.starts.splice(first, last - first, from);
    this.ends.splice(first, last - first, to);
  }
}

export class BusyExtents {
  readonly #ags = new Map<number, Ranges>();
  /** Blocks in all of them, at most (freed twice, counted twice). */
  blocks = 0;

  add(agno: number, agbno: number, blocks: number): void {
    let ranges = this.#ags.get(agno);
    if (ranges === undefined) {
      ranges = new Ranges();
      this.#ags.set(agno, ranges);
    }
    ranges.add(agbno, agbno + blocks);
    this.blocks += blocks;
  }

  clear(): void {
    this.#ags.clear();
    this.blocks = 0;
  }

  /** Calls `take` for each stretch of [agbno, agbno + blocks) that is not busy, in order. */
  idle(agno: number, agbno: number, blocks: number, take: (agbno: number, blocks: number) => void): void {
    const ranges = this.#ags.get(agno);
    const end = agbno + blocks;
    if (ranges === undefined) {
      take(agbno, blocks);
      return;
    }
    let at = agbno;
    for (let i = ranges.find(agbno); at < end; i++) {
      const next = i < ranges.starts.length ? Math.min(ranges.starts[i], end) : end;
      if (next > at) take(at, next - at);
      if (next === end) return;
      at = ranges.ends[i];
    }
  }
}
