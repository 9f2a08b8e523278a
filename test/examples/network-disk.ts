/**
 * An image on another machine, read over HTTP: node network-disk.js URL PATH
 * A walk is a chain of dependent reads, so a disk is asked synchronously. Here a worker does the asynchronous
 * reading, and Atomics.wait is how the main thread waits for it; a cache keeps the round trips few.
 */
import { Worker } from 'node:worker_threads';
import { type Disk, openImage } from 'xfsimg';

const PAGE = 64 * 1024;

/** Shared with the worker: a flag, a length, and the bytes of a page. */
class HttpDisk implements Disk {
  readonly size: number;
  readonly #state = new Int32Array(new SharedArrayBuffer(8));
  readonly #page = new Uint8Array(new SharedArrayBuffer(PAGE));
  readonly #pages = new Map<number, Uint8Array>();
  readonly #worker: Worker;

  constructor(url: string, size: number) {
    this.size = size;
    const work = `
      const { parentPort, workerData: { url, state, page } } = require('node:worker_threads');
      parentPort.on('message', async ([from, to]) => {
        try {
          const answer = await fetch(url, { headers: { range: 'bytes=' + from + '-' + (to - 1) } });
          const bytes = new Uint8Array(await answer.arrayBuffer());
          page.set(bytes);
          state[1] = answer.status === 206 ? bytes.length : -1;
        } catch { state[1] = -1 }
        Atomics.store(state, 0, 1);
        Atomics.notify(state, 0);
      });`;
    const workerData = { url, state: this.#state, page: this.#page };
    this.#worker = new Worker(work, { eval: true, workerData });
  }

  #load(index: number): Uint8Array {
    let page = this.#pages.get(index);
    if (page === undefined) {
      const from = index * PAGE;
      const to = Math.min(from + PAGE, this.size);
      Atomics.store(this.#state, 0, 0);
      this.#worker.postMessage([from, to]);
      Atomics.wait(this.#state, 0, 0);
      if (this.#state[1] !== to - from) throw new Error(`bytes ${from} to ${to} could not be read`);
      page = this.#page.slice(0, to - from);
      this.#pages.set(index, page);
    }
    return page;
  }

  read(offset: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const at = offset + done;
      const page = this.#load(Math.floor(at / PAGE));
      const piece = page.subarray(at % PAGE, (at % PAGE) + into.length - done);
      into.set(piece, done);
      done += piece.length;
    }
  }

  close(): void {
    void this.#worker.terminate();
  }
}

const [url, path] = process.argv.slice(2);
const head = await fetch(url, { method: 'HEAD' });
const image = openImage(new HttpDisk(url, Number(head.headers.get('content-length'))));
process.stdout.write(image.readFile(path));
image.close();
