/**
 * A shell that stays. Starting a process makes the system copy the page tables of the one that starts it and
 * fault each page in again that this one writes afterwards: thousands of commands started by a large Node cost
 * more in that than in what they do. A shell started early stays small, and starts them in its place.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { run, tmpdir } from './oracle.js';

/** Reads a line, evaluates it, says what its status was. What is still mounted at the end is unmounted. */
const LOOP = `export LC_ALL=C TZ=UTC PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
trap 'umount -l "$1"/mnt 2>/dev/null' EXIT
exec 3>"$1/status" <"$1/line"
while IFS= read -r line; do eval "$line" </dev/null >"$1/output" 2>&1; echo $? >&3; done`;

export class Shell {
  /** Where it may mount: a folder of its own. */
  readonly mountpoint: string;
  readonly #folder = tmpdir('xfsimg-shell-');
  readonly #line: number;
  readonly #status: number;
  readonly #answer = Buffer.alloc(16);

  constructor() {
    const at = (name: string): string => join(this.#folder, name);
    this.mountpoint = at('mnt');
    run('mkfifo', [at('line'), at('status')]);
    run('mkdir', [this.mountpoint]);
    spawn('bash', ['-c', LOOP, 'bash', this.#folder], { stdio: 'ignore' }).unref();
    this.#status = openSync(at('status'), 'r');
    this.#line = openSync(at('line'), 'w');
  }

  /** Runs one line of shell; its status and what it printed to both streams, as latin1. */
  try(line: string): { status: number; output: string } {
    writeSync(this.#line, `${line}\n`);
    const n = readSync(this.#status, this.#answer);
    const status = Number(this.#answer.toString('latin1', 0, n));
    return { status, output: readFileSync(join(this.#folder, 'output'), 'latin1') };
  }

  /** The same; throws where the status is not 0. */
  run(line: string): string {
    const { status, output } = this.try(line);
    if (status !== 0) throw new Error(`${line}\nexited with ${status}\n${output.slice(-2000)}`);
    return output;
  }

  close(): void {
    closeSync(this.#line);
    // The shell ends, and its end of the pipe with it.
    while (readSync(this.#status, this.#answer) > 0);
    closeSync(this.#status);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A word as the shell takes it. */
export const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
