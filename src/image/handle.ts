/** A source that several threads read: told as plain data in one, opened from it in another. */
import { OverlaySource } from './overlay.js';
import { FileSource, type Source, WindowSource } from './source.js';

export type SourceHandle =
  | { readonly kind: 'file'; readonly path: string; readonly fd: number; readonly size: number }
  | { readonly kind: 'window'; readonly inner: SourceHandle; readonly start: number; readonly size: number }
  | { readonly kind: 'overlay'; readonly under: SourceHandle; readonly pages: Map<number, Uint8Array> };

/** What another thread of this process needs to read `source`; undefined where its bytes are in memory alone. */
export function handleOf(source: Source): SourceHandle | undefined {
  if (source instanceof FileSource)
    return { kind: 'file', path: source.path, fd: source.fd, size: source.size };
  if (source instanceof WindowSource) {
    const inner = handleOf(source.inner);
    return inner && { kind: 'window', inner, start: source.start, size: source.size };
  }
  if (source instanceof OverlaySource) {
    const under = handleOf(source.under);
    return under && { kind: 'overlay', under, pages: source.contents };
  }
  return undefined;
}

/** The source, for reading. It is not to be closed: the file belongs to the thread that opened it. */
export function openHandle(handle: SourceHandle): Source {
  switch (handle.kind) {
    case 'file':
      return FileSource.adopt(handle.path, handle.fd, handle.size);
    case 'window':
      return new WindowSource(openHandle(handle.inner), handle.start, handle.size);
    case 'overlay':
      return new OverlaySource(openHandle(handle.under), handle.pages);
  }
}
