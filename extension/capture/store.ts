/**
 * Where the capture's open state lives, so that a stopped worker or a crashed browser
 * goes on where it was.
 *
 * Invariant: a state and the records that came of it are written in one transaction.
 * Records wait in `pending` until the companion client has them; handing them over twice
 * is harmless, their ids are the same.
 *
 * Format: database `heyho-capture`, version 1; store `tabs` keyed by `tabId`, store
 * `core` with the one value `core`, store `pending` in order of arrival.
 */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import { emptyState } from './machine';
import type { Core, Emitted, State, Tab } from './types';

interface Schema extends DBSchema {
  tabs: { key: number; value: Tab };
  core: { key: string; value: Core };
  pending: { key: number; value: Emitted };
}

const PORTION = 500;

export class CaptureStore {
  private constructor(private readonly db: IDBPDatabase<Schema>) {}

  static async open(name = 'heyho-capture'): Promise<CaptureStore> {
    const db = await openDB<Schema>(name, 1, {
      upgrade(fresh) {
        fresh.createObjectStore('tabs', { keyPath: 'tabId' });
        fresh.createObjectStore('core');
        fresh.createObjectStore('pending', { autoIncrement: true });
      },
    });
    return new CaptureStore(db);
  }

  async load(): Promise<State> {
    const state = emptyState();
    const tx = this.db.transaction(['tabs', 'core']);
    const [core, tabs] = await Promise.all([tx.objectStore('core').get('core'), tx.objectStore('tabs').getAll()]);
    if (core !== undefined) state.core = core;
    for (const tab of tabs) {
      // An earlier version kept a plain object, and not whether a life was told.
      tab.life.told ??= tab.life.visitId !== null;
      const { domainMs } = tab.life as { domainMs: Map<string, number> | Record<string, number> };
      if (!(domainMs instanceof Map)) tab.life.domainMs = new Map(Object.entries(domainMs));
      state.tabs.set(tab.tabId, tab);
    }
    return state;
  }

  async save(state: State, touched: ReadonlySet<number>, records: readonly Emitted[]): Promise<void> {
    const tx = this.db.transaction(['tabs', 'core', 'pending'], 'readwrite');
    const tabs = tx.objectStore('tabs');
    const writes: Promise<unknown>[] = [tx.objectStore('core').put(state.core, 'core')];
    for (const tabId of touched) {
      const tab = state.tabs.get(tabId);
      writes.push(tab === undefined ? tabs.delete(tabId) : tabs.put(tab));
    }
    for (const record of records) writes.push(tx.objectStore('pending').add(record));
    await Promise.all([...writes, tx.done]);
  }

  /** A portion of the records that were not handed over yet, oldest first, with the key to delete them up to. */
  async pending(): Promise<{ records: Emitted[]; upTo: number }> {
    const tx = this.db.transaction('pending');
    const [keys, records] = await Promise.all([tx.store.getAllKeys(null, PORTION), tx.store.getAll(null, PORTION)]);
    return { records, upTo: keys.at(-1) ?? 0 };
  }

  /** Goes over all that was not handed over yet; `edit` answers what to keep, or null to delete it. */
  async rewrite(edit: (one: Emitted) => Emitted | null): Promise<void> {
    const tx = this.db.transaction('pending', 'readwrite');
    for (let cursor = await tx.store.openCursor(); cursor !== null; cursor = await cursor.continue()) {
      const kept = edit(cursor.value);
      if (kept === null) await cursor.delete();
      else await cursor.update(kept);
    }
    await tx.done;
  }

  async handedOver(upTo: number): Promise<void> {
    await this.db.delete('pending', IDBKeyRange.upperBound(upTo));
  }

  close(): void {
    this.db.close();
  }
}
