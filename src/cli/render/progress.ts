/**
 * How far a long command is: one line on the terminal of standard error, written over until it is done. Elsewhere
 * nothing is shown, but for what was asked for: a line on SIGUSR1, phases with their times (`verbose`).
 */
import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';

/** A phase and how much of it is done. */
export interface Stage {
  readonly phase: string;
  readonly agno?: number;
  readonly done: number;
  /** Undefined where nobody knows beforehand. */
  readonly total?: number;
  /** What is counted: 'inodes', 'files'. */
  readonly unit: string;
}

export interface ProgressOptions {
  /** Show nothing at all. */
  readonly quiet?: boolean;
  /** A line for each phase that is over. */
  readonly verbose?: boolean;
  /** Whether a line can be written over; by default whether standard error is a terminal. */
  readonly terminal?: boolean;
  readonly write?: (text: string) => void;
  /** Milliseconds, from any moment on. */
  readonly now?: () => number;
}

/** Milliseconds before anything is shown, and between two pictures. */
const PATIENCE = 500;
const INTERVAL = 100;
const DEFAULT_COLUMNS = 80;

const number = (n: number): string => Math.round(n).toLocaleString('en-US');

/** 75 s: '1 min 15 s'. */
function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/** 'inodes: AG 3, 120,000 of 300,000 inodes (40%), 250,000/s, 1 s left': `seconds` since the phase began. */
export function stageText({ phase, agno, done, total, unit }: Stage, seconds: number): string {
  const parts: string[] = [];
  if (agno !== undefined) parts.push(`AG ${agno}`);
  if (total === undefined || total === 0) parts.push(`${number(done)} ${unit}`);
  else {
    const percent = Math.floor((Math.min(done, total) * 100) / total);
    parts.push(`${number(done)} of ${number(total)} ${unit} (${percent}%)`);
  }
  const rate = done / seconds;
  // What the first moments tell is no rate.
  if (done > 0 && seconds >= 1) {
    if (rate >= 1) parts.push(`${number(rate)}/s`);
    if (total !== undefined && total > done) parts.push(`${duration((total - done) / rate)} left`);
  }
  return `${phase}: ${parts.join(', ')}`;
}

export class Progress {
  readonly #terminal: boolean;
  readonly #verbose: boolean;
  readonly #quiet: boolean;
  readonly #write: (text: string) => void;
  readonly #now: () => number;
  #stage: Stage | undefined;
  #began: number;
  #next: number;
  /** A line stands on the terminal. */
  #shown = false;
  #onSignal: (() => void) | undefined;

  constructor(options: ProgressOptions = {}) {
    this.#quiet = options.quiet === true;
    this.#terminal = !this.#quiet && (options.terminal ?? isatty(2));
    this.#verbose = !this.#quiet && options.verbose === true;
    this.#write = options.write ?? ((text) => writeSync(2, text));
    this.#now = options.now ?? (() => performance.now());
    this.#began = this.#now();
    this.#next = this.#began + PATIENCE;
  }

  /** Takes where the command stands: as often as it likes. */
  readonly update = (stage: Stage): void => {
    if (this.#stage?.phase !== stage.phase) this.#begin(stage);
    this.#stage = stage;
    if (!this.#terminal) return;
    const now = this.#now();
    if (now < this.#next) return;
    this.#next = now + INTERVAL;
    const columns = process.stderr.columns ?? DEFAULT_COLUMNS;
    this.#write(`\r${this.#text().slice(0, columns - 1)}\x1b[K`);
    this.#shown = true;
  };

  /** Counts one `unit` of `total` more, in a command of one phase. */
  count(phase: string, unit: string, total?: number): void {
    this.update({ phase, done: (this.#stage?.done ?? 0) + 1, total, unit });
  }

  /** From now on SIGUSR1 shows a line, wherever standard error goes. The command must let the event loop turn. */
  onSignal(): this {
    this.#onSignal = () => {
      this.clear();
      this.#write(`xfsimg: ${this.#stage === undefined ? 'starting' : this.#text()}\n`);
    };
    process.on('SIGUSR1', this.#onSignal);
    return this;
  }

  /** Takes the line away: something else is to be written. */
  clear(): void {
    if (this.#shown) this.#write('\r\x1b[K');
    this.#shown = false;
  }

  /** The command is done, or has failed. */
  finish(): void {
    this.clear();
    this.#end();
    this.#stage = undefined;
    if (this.#onSignal !== undefined) process.off('SIGUSR1', this.#onSignal);
    this.#onSignal = undefined;
  }

  #begin(stage: Stage): void {
    this.#end();
    this.#began = this.#now();
    this.#stage = stage;
  }

  #end(): void {
    if (this.#stage === undefined || !this.#verbose) return;
    this.clear();
    const { phase, total, done, unit } = this.#stage;
    const seconds = (this.#now() - this.#began) / 1000;
    this.#write(`xfsimg: ${phase}: ${number(total ?? done)} ${unit}, ${seconds.toFixed(2)} s\n`);
  }

  #text(): string {
    return stageText(this.#stage!, (this.#now() - this.#began) / 1000);
  }
}
