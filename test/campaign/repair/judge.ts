/**
 * What xfs_repair and Linux say of an image, asked of one shell that runs as long as the campaign: a fork of Node
 * with all its images costs more than what is asked.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface Said {
  /** Of xfs_repair: of `-n`, or of the repair itself. */
  readonly status: number;
  readonly text: string;
  /** xfs_repair -n finds nothing now. */
  readonly clean: boolean;
  /** Why Linux did not mount it; empty where it did. */
  readonly refusal: string;
}

/**
 * `check` looks, `mend` repairs (with -L where the log is not wanted) and looks then. Small caches and no prefetch
 * halve its time on a small image; the limit of CPU ends one that turns in circles.
 */
const SCRIPT = `
export LC_ALL=C
out=$1; mnt=$2
xr() { (ulimit -t 60; exec timeout 1800 xfs_repair -P -o bhash=512 -f "$@") >"$out" 2>&1; }
while read -r op image; do
  rc=0
  if [ $op = mend ]; then
    xr "$image"; rc=$?
    [ $rc = 2 ] && { xr -L "$image"; rc=$?; }
    cp "$out" "$out.mend"
  fi
  xr -n "$image"; check=$?
  if mount -t xfs -o loop,ro,nouuid "$image" "$mnt" 2>"$out.mount"; then
    mounted=0
    for i in 1 2 3 4 5 6 7 8 9; do umount "$mnt" 2>/dev/null && break; sleep 0.1; done
    mountpoint -q "$mnt" && umount -l "$mnt"
  else mounted=$?; fi
  echo "$rc $check $mounted"
done
`;

export class Judge {
  readonly #folder: string;
  readonly #shell: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(folder: string) {
    this.#folder = folder;
    const mountpoint = join(folder, 'mnt');
    mkdirSync(mountpoint);
    this.#shell = spawn('bash', ['-c', SCRIPT, 'judge', join(folder, 'said'), mountpoint], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#answers = createInterface({ input: this.#shell.stdout! })[Symbol.asyncIterator]();
  }

  async ask(what: 'check' | 'mend', image: string): Promise<Said> {
    this.#shell.stdin!.write(`${what} ${image}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error('the judging shell has ended');
    const [mend, check, mounted] = value.split(' ').map(Number);
    const said = join(this.#folder, 'said');
    return {
      status: what === 'mend' ? mend : check,
      text: readFileSync(what === 'mend' ? `${said}.mend` : said, 'utf8'),
      clean: check === 0,
      refusal:
        mounted === 0 ? '' : readFileSync(`${said}.mount`, 'utf8').trim() || `mount: status ${mounted}`,
    };
  }

  close(): void {
    this.#shell.stdin!.end();
  }
}
