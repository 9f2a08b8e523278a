/**
 * Where the holes of files are. Node cannot ask (no SEEK_HOLE), perl can, and hardly a Linux is without it:
 * one process tells of all sparse files. Without it blocks of zeros count as holes.
 */
import { spawnSync } from 'node:child_process';

/** For each path on stdin (ended by zero bytes) a line: start and end of each run of data, or "!". */
const SCRIPT = `
$/ = "\\0"; $| = 0;
while (<STDIN>) {
  chomp;
  my $line = "";
  if (sysopen(my $file, $_, 0)) {
    my ($at, $end) = (0, -s $file);
    while ($at < $end) {
      my $data = sysseek($file, $at, 3);
      last unless defined $data;
      my $hole = sysseek($file, $data, 4);
      if (!defined $hole) { $line = "!"; last }
      $line .= ($data + 0) . " " . ($hole + 0) . " ";
      $at = $hole + 0;
    }
  } else { $line = "!" }
  print "$line\\n";
}`;

/**
 * Runs of data of each file: starts and ends in bytes, in turn; undefined where that cannot be told. Undefined
 * altogether where perl is missing.
 */
export function dataRuns(paths: readonly Uint8Array[]): (Float64Array | undefined)[] | undefined {
  if (process.platform !== 'linux') return undefined;
  const zero = Uint8Array.of(0);
  const input = Buffer.concat(paths.flatMap((path) => [path, zero]));
  const { status, stdout, error } = spawnSync('perl', ['-e', SCRIPT], {
    input,
    encoding: 'latin1',
    maxBuffer: 2 ** 30,
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (error !== undefined || status !== 0) return undefined;
  const lines = stdout.split('\n');
  return paths.map((_, i) => {
    const line = lines[i];
    if (line === undefined || line.includes('!')) return undefined;
    return Float64Array.from(line.trim() === '' ? [] : line.trim().split(' ').map(Number));
  });
}
