/**
 * The outbox: every record from its capture until the host's ack, in IndexedDB.
 *
 * Invariants
 * - `put` answers only after a commit with strict durability.
 * - At most one item per (kind, id). A newer version takes the place of the one that
 *   waits: same place in the queue, same account, next `generation`.
 * - `seq` is never handed out twice (autoIncrement), so (seq, generation) names one
 *   version for ever. `confirm` deletes exactly that version: an ack that comes late
 *   for an older one leaves the newer one where it is.
 * - Nothing else deletes but `rewrite`, where a rule or the user says so.
 *
 * Format: database `heyho-companion`, version 1; store `items` keyed by `seq`, index
 * `identity` on [kind, id]; store `meta` of named values. A record is kept as its JSON text.
 */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import type { Kind } from './protocol';

/** The account a record was captured under. */
export interface Stamp {
  /** What the host said then; null while nobody was signed in, or nothing was known yet. */
  ref: string | null;
  /** With `ref` null: the account that had been signed in before, if there was one. */
  signedOutOf: string | null;
}

export interface NewItem {
  kind: Kind;
  id: string;
  text: string;
  bytes: number;
  stamp: Stamp;
}

export interface Version {
  seq: number;
  generation: number;
}

export interface OutboxItem extends NewItem, Version {
  /** How often this record, alone in its frame, went down with the port. */
  failures: number;
  /** Set aside until then (ms since the epoch); 0 for an item that may go at any time. */
  notBefore: number;
}

export interface Counts {
  pageVisits: number;
  tabAggregates: number;
}

export interface OutboxStore {
  put(items: readonly NewItem[]): Promise<void>;
  /**
   * The oldest items that may go in one frame: a run of equal `group`, within both limits,
   * always at least one where there is one at all.
   */
  head(limit: { records: number; bytes: number }, now: number, group: (stamp: Stamp) => string): Promise<OutboxItem[]>;
  confirm(versions: readonly Version[]): Promise<void>;
  /** Notes a failure of one version; with `notBefore` over 0 it is set aside until then. */
  fail(version: Version, notBefore: number): Promise<number>;
  /** Goes over all items; `edit` answers the text to keep, or null to delete the item. */
  rewrite(edit: (item: OutboxItem) => string | null): Promise<void>;
  counts(): Promise<Counts>;
  getMeta(name: string): Promise<unknown>;
  setMeta(name: string, value: unknown): Promise<void>;
  close(): void;
}

interface Schema extends DBSchema {
  items: { key: number; value: Omit<OutboxItem, 'seq'> & { seq?: number }; indexes: { identity: [Kind, string]; kind: Kind } };
  meta: { key: string; value: unknown };
}

const PAGE = 256;

export class IdbOutbox implements OutboxStore {
  private db: Promise<IDBPDatabase<Schema>> | null = null;
  private known: Record<Kind, number> | null = null;
  private commits = 0;

  private constructor(private readonly name: string) {}

  static async open(name = 'heyho-companion'): Promise<IdbOutbox> {
    const outbox = new IdbOutbox(name);
    await outbox.use();
    return outbox;
  }

  /** The open database; opened anew where the browser closed it (site data cleared, disk trouble). */
  private use(): Promise<IDBPDatabase<Schema>> {
    this.db ??= openDB<Schema>(this.name, 1, {
      upgrade(fresh) {
        const items = fresh.createObjectStore('items', { keyPath: 'seq', autoIncrement: true });
        items.createIndex('identity', ['kind', 'id'], { unique: true });
        items.createIndex('kind', 'kind');
        fresh.createObjectStore('meta');
      },
      terminated: () => {
        this.db = null;
        this.known = null;
      },
    }).catch((error: unknown) => {
      this.db = null;
      throw error;
    });
    return this.db;
  }

  async put(items: readonly NewItem[]): Promise<void> {
    const tx = (await this.use()).transaction('items', 'readwrite', { durability: 'strict' });
    const identity = tx.store.index('identity');
    const change = none();
    for (const item of items) {
      const waiting = await identity.get([item.kind, item.id]);
      if (waiting === undefined) {
        await tx.store.add({ ...item, generation: 1, failures: 0, notBefore: 0 });
        change[item.kind] += 1;
      } else if (waiting.text !== item.text) {
        const generation = waiting.generation + 1;
        await tx.store.put({ ...waiting, text: item.text, bytes: item.bytes, generation, failures: 0, notBefore: 0 });
      }
    }
    await tx.done;
    this.count(change);
  }

  async head(
    limit: { records: number; bytes: number },
    now: number,
    group: (stamp: Stamp) => string,
  ): Promise<OutboxItem[]> {
    const frame: OutboxItem[] = [];
    let bytes = 0;
    let after = 0;
    const db = await this.use();
    for (;;) {
      const page = (await db.getAll('items', IDBKeyRange.lowerBound(after, true), PAGE)) as OutboxItem[];
      for (const item of page) {
        after = item.seq;
        if (item.notBefore > now) continue;
        const first = frame[0];
        if (first !== undefined) {
          const full = frame.length >= limit.records || bytes + item.bytes > limit.bytes;
          if (full || group(item.stamp) !== group(first.stamp)) return frame;
        }
        frame.push(item);
        bytes += item.bytes;
      }
      if (page.length < PAGE) {
        if (frame.length === 0) this.known = null;
        return frame;
      }
    }
  }

  async confirm(versions: readonly Version[]): Promise<void> {
    const tx = (await this.use()).transaction('items', 'readwrite');
    const change = none();
    const remove = async ({ seq, generation }: Version): Promise<void> => {
      const waiting = await tx.store.get(seq);
      if (waiting?.generation !== generation) return;
      await tx.store.delete(seq);
      change[waiting.kind] -= 1;
    };
    await Promise.all([...versions.map(remove), tx.done]);
    this.count(change);
  }

  async fail({ seq, generation }: Version, notBefore: number): Promise<number> {
    const tx = (await this.use()).transaction('items', 'readwrite');
    const waiting = await tx.store.get(seq);
    const failures = (waiting?.failures ?? 0) + 1;
    if (waiting?.generation === generation) await tx.store.put({ ...waiting, failures, notBefore });
    await tx.done;
    return failures;
  }

  async rewrite(edit: (item: OutboxItem) => string | null): Promise<void> {
    const tx = (await this.use()).transaction('items', 'readwrite', { durability: 'strict' });
    const change = none();
    for (let cursor = await tx.store.openCursor(); cursor !== null; cursor = await cursor.continue()) {
      const item = cursor.value as OutboxItem;
      const text = edit(item);
      if (text === null) {
        await cursor.delete();
        change[item.kind] -= 1;
      } else if (text !== item.text) {
        await cursor.update({ ...item, text, bytes: utf8Length(text), generation: item.generation + 1 });
      }
    }
    await tx.done;
    this.count(change);
  }

  /**
   * Counted once, then kept: counting a long outbox again after each frame would take longer
   * than sending it. Where `head` found nothing it is counted anew, which then costs nothing.
   */
  async counts(): Promise<Counts> {
    while (this.known === null) {
      const before = this.commits;
      const counted = await this.countAll();
      if (before === this.commits) this.known = counted;
    }
    return { pageVisits: this.known.pageVisit, tabAggregates: this.known.tabAggregate };
  }

  private async countAll(): Promise<Record<Kind, number>> {
    const kind = (await this.use()).transaction('items').store.index('kind');
    const [pageVisit, tabAggregate] = await Promise.all([kind.count('pageVisit'), kind.count('tabAggregate')]);
    return { pageVisit, tabAggregate };
  }

  /** After a commit, so that a transaction that failed counts for nothing. */
  private count(change: Record<Kind, number>): void {
    this.commits += 1;
    if (this.known === null) return;
    this.known.pageVisit += change.pageVisit;
    this.known.tabAggregate += change.tabAggregate;
  }

  async getMeta(name: string): Promise<unknown> {
    return (await this.use()).get('meta', name);
  }

  async setMeta(name: string, value: unknown): Promise<void> {
    await (await this.use()).put('meta', value, name);
  }

  close(): void {
    void this.db?.then((db) => db.close());
    this.db = null;
  }
}

function none(): Record<Kind, number> {
  return { pageVisit: 0, tabAggregate: 0 };
}

export function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
