/** `xfsimg help TOPIC`: the manual pages, wherever there is a terminal or a pipe; man(1) is not needed. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CliError, EXIT } from './errors.js';
import { type Line, renderManual, STYLE } from './manual/roff.js';
import { meant } from './nearest.js';
import { packageUrl } from './package.js';
import { say, stdoutIsTerminal } from './render/output.js';

/** Columns of text in a pipe, and at most on a terminal: longer lines are hard to read. */
const WIDTH = 80;
const MAX_WIDTH = 100;

const SGR: Record<number, [string, string]> = {
  [STYLE.BOLD]: ['\x1b[1m', '\x1b[22m'],
  [STYLE.ITALIC]: ['\x1b[4m', '\x1b[24m'],
};

function textOf(line: Line, styled: boolean): string {
  return line
    .map(({ text, style }) => (styled && SGR[style] ? SGR[style][0] + text + SGR[style][1] : text))
    .join('')
    .trimEnd();
}

/** The source of a page; of one that only names another (.so), the other's. */
function readPage(folder: string, topic: string): string {
  const source = readFileSync(`${folder}/${topic}.1`, 'utf8');
  const other = /^\.so (?:man1\/)?([\w-]+)\.1$/m.exec(source);
  return other === null ? source : readPage(folder, other[1]);
}

/** Shows the page of a command, or `xfsimg` itself. Throws CliError where there is none. */
export function showManual(topic: string): void {
  const folder = fileURLToPath(packageUrl('man'));
  const pages = readdirSync(folder).map((name) => name.replace(/\.1$/, ''));
  const page = pages.includes(`xfsimg-${topic}`) ? `xfsimg-${topic}` : topic;
  if (!pages.includes(page)) {
    const topics = pages.map((name) => name.replace(/^xfsimg-/, ''));
    const hint = meant(topic, topics, 'xfsimg --help lists the commands');
    throw new CliError(`no help on '${topic}': ${hint}`, EXIT.USAGE);
  }
  const terminal = stdoutIsTerminal();
  const width = terminal ? Math.min(process.stdout.columns || WIDTH, MAX_WIDTH) : WIDTH;
  const lines = renderManual(readPage(folder, page), width);
  const text = lines.map((line) => `${textOf(line, terminal)}\n`).join('');
  if (!terminal || !throughPager(text)) say(text);
}

/** Whether a pager took it. */
function throughPager(text: string): boolean {
  const pager = process.env.MANPAGER || process.env.PAGER || 'less';
  const env = { ...process.env, LESS: process.env.LESS ?? 'FRX' };
  const ran = spawnSync(pager, { shell: true, input: text, stdio: ['pipe', 'inherit', 'inherit'], env });
  // A shell that does not find it says 127, or on Windows 9009 or 1.
  return ran.error === undefined && ran.status === 0;
}
