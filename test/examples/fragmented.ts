/** The files with the most extents: node fragmented.js IMAGE [HOW_MANY] */
import { openImage } from 'xfsimg';

const [path, most = '10'] = process.argv.slice(2);
const image = openImage(path);
const extents = new Map<number, number>();
for (const { ino, fork } of image.extents())
  if (fork === 'data') extents.set(ino, (extents.get(ino) ?? 0) + 1);

const files: [count: number, path: string][] = [];
for (const file of image.walk('/')) {
  const count = extents.get(file.ino);
  if (file.type === 'file' && count !== undefined) files.push([count, file.path]);
}
files.sort((a, b) => b[0] - a[0] || (a[1] < b[1] ? -1 : 1));
for (const [count, name] of files.slice(0, Number(most))) console.log(count, name);
image.close();
