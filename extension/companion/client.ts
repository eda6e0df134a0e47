/**
 * The companion client: takes records, keeps them, hands them to the host, and knows how
 * things stand.
 *
 * Invariants
 * - `add` answers once the record is in the outbox; it leaves the outbox only by an ack
 *   whose counts add up to the frame (or because a rule or the user says so).
 * - One frame of records is in flight at a time. After any break it is sent again; the
 *   host treats a repeat as the same record.
 * - Nothing is sent before `welcome`: its rules come first. Nor before what was begun to be forgotten is forgotten.
 * - What the host sends is handled one frame after the other, in order.
 */
import { AccountBook } from './account';
import { type Clock, systemClock } from './clock';
import { identityOf } from './identity';
import { Link } from './link';
import { IdbOutbox, type NewItem, type OutboxItem, type OutboxStore, type Stamp, utf8Length } from './outbox';
import * as policy from './policy';
import { type Connect, nativeConnect } from './port';
import { type ClientInfo, HOST_NAME, type HostFrame, type JsonObject, type Kind, type Rule } from './protocol';
import { RuleSet } from './rules';
import { Sender } from './sender';
import { type CompanionState, initialState, type RequestResult } from './state';

export interface CompanionOptions {
  client: ClientInfo;
  hostName?: string;
  connect?: Connect;
  openStore?: () => Promise<OutboxStore>;
  clock?: Clock;
  /** Problems a developer wants to see; never a URL or a title. */
  log?: (message: string) => void;
}

/** What may be kept of an address, and of a record, that a site is forgotten in: null for nothing. */
export interface Forgetting {
  admit: (url: string) => string | null;
  keep: (kind: Kind, record: JsonObject) => JsonObject | null;
}

export class Companion {
  private readonly clock: Clock;
  private readonly link: Link;
  private sender: Sender | null = null;
  private store: OutboxStore | null = null;
  private account = new AccountBook();
  private rules = new RuleSet([]);
  private rulesText = '[]';
  /** When they were, by the ids of the visits. */
  private readonly dropped = new Map<string, number>();
  /** Domains that are being forgotten. */
  private readonly forgetting = new Set<string>();
  private opened: Promise<OutboxStore> | null = null;
  /** The host has said who is signed in and which rules hold since this process began; who waits for it. */
  private told = false;
  private readonly untold = new Set<() => void>();
  private inbox: Promise<void> = Promise.resolve();
  private current: CompanionState = initialState;
  private readonly listeners = new Set<(state: CompanionState) => void>();
  private readonly ruleListeners = new Set<() => void>();
  private readonly accountListeners = new Set<() => void>();
  private readonly forgetListeners = new Set<(forgetting: Forgetting) => void | Promise<void>>();

  constructor(private readonly options: CompanionOptions) {
    this.clock = options.clock ?? systemClock;
    this.link = new Link({
      connect: options.connect ?? nativeConnect(options.hostName ?? HOST_NAME),
      clock: this.clock,
      hello: async () => ({ ...options.client, profileId: await this.profileId() }),
      onFrame: (frame, epoch) => this.enqueue(() => this.take(frame, epoch)),
      onChange: (state) => {
        this.update({ link: state });
        if (state.at !== 'waiting') return;
        this.tellAll();
        this.enqueue(() => this.sender?.portLost());
      },
    });
  }

  /** Opens the outbox and connects; harmless when called again. */
  async start(): Promise<void> {
    await this.open();
    // What an earlier process was forgetting when it ended: before anything is sent.
    for (const domain of this.forgetting) await this.forget(domain);
    this.link.start();
  }

  /**
   * Done once the host has said who is signed in and which rules hold; or when it cannot be reached, or has not said so
   * within `ms`: then what it said last holds. What you look at before may be another's, or what a new rule keeps out.
   */
  informed(ms: number): Promise<void> {
    if (this.told || this.current.link.at === 'waiting') return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        this.untold.delete(done);
        resolve();
      };
      const cancel = this.clock.after(ms, done);
      this.untold.add(done);
    });
  }

  /** Closes port and outbox; whatever waits stays for the next start. */
  async stop(): Promise<void> {
    this.link.stop();
    await this.inbox;
    this.sender?.stop();
    this.store?.close();
    this.store = null;
    this.opened = null;
    this.sender = null;
  }

  /**
   * For an alarm: reconnects if the wait is over. With `now`, for a page that opens:
   * reconnects at once, and asks for the status as it is at this moment.
   */
  wake(now = false): void {
    this.link.wake(now);
    if (now && this.link.ready) this.link.send({ type: 'status', id: 'now' });
    this.sender?.pump();
  }

  /**
   * Takes records of one kind. Resolved means: stored. The answer counts those that a
   * privacy rule kept out; a record that fits no frame is refused when the others are stored. They are the signed-in account's, or whose `stamp` says: a record that grew under
   * one account keeps its stamp when another has signed in.
   */
  async add(kind: Kind, records: readonly JsonObject[], stamp?: Stamp): Promise<{ dropped: number }> {
    const store = await this.open();
    const items: NewItem[] = [];
    const fresh: string[] = [];
    const { rules } = this;
    let tooLarge: RangeError | null = null;
    for (const record of records) {
      const id = identityOf(kind, record, () => this.clock.uuid());
      const kept = rules.apply(kind, record, (visit) => this.dropped.has(visit) || fresh.includes(visit));
      if (kept === null) {
        fresh.push(id);
        continue;
      }
      const text = JSON.stringify(kept);
      const bytes = utf8Length(text);
      if (bytes > policy.RECORD_BYTES) {
        tooLarge ??= new RangeError(`${kind} ${id} has ${bytes} bytes; at most ${policy.RECORD_BYTES} fit a frame`);
        continue;
      }
      items.push({ kind, id, text, bytes, stamp: stamp ?? this.account.stamp() });
    }
    if (fresh.length > 0) await this.rememberDropped(store, fresh);
    if (items.length > 0) {
      await store.put(items);
      if (rules !== this.rules) await this.applyRules(store, this.rules);
      await this.recount(store);
      this.sender?.pump();
    }
    if (tooLarge !== null) throw tooLarge;
    return { dropped: fresh.length };
  }

  /**
   * Runs `task` unless it has run to its end before in this profile: for a first handover.
   * If it breaks off it runs again, which is harmless for records: same id, same record.
   */
  async once(name: string, task: () => Promise<void>): Promise<void> {
    const store = await this.open();
    if ((await store.getMeta(`once:${name}`)) === true) return;
    await task();
    await store.setMeta(`once:${name}`, true);
  }

  /** A URL as the rules let it be kept: itself, stripped, or null. Known rules hold before the host is reached. */
  admit(url: string): string | null {
    return this.rules.admit(url);
  }

  /**
   * Deletes what waits of a domain and its subdomains, and what the listeners still held of it. Where that fails, or the
   * process ends before it is done, the next connection or the next process goes on with it before it sends anything.
   */
  async forget(domain: string): Promise<void> {
    const store = await this.open();
    this.forgetting.add(domain);
    await store.setMeta('forgetting', [...this.forgetting]);
    const rules = new RuleSet([domain, `*.${domain}`].map((pattern): Rule => ({ id: 'forget', match: 'host', pattern, action: 'drop' })));
    const ids = new Set<string>();
    const keep = (kind: Kind, record: JsonObject): JsonObject | null => {
      const kept = rules.apply(kind, record, (id) => ids.has(id));
      if (kept === null && typeof record['id'] === 'string') ids.add(record['id']);
      return kept;
    };
    // First whoever may still add some, then what they have added.
    const forgetting: Forgetting = { admit: (url) => rules.admit(url), keep };
    const told = await Promise.allSettled([...this.forgetListeners].map(async (listener) => listener(forgetting)));
    // What a listener let go may have been delivered long ago: what waits points to it no more.
    if (ids.size > 0) await this.rememberDropped(store, [...ids]);
    await this.applyRules(store, rules);
    for (const one of told) if (one.status === 'rejected') throw one.reason;
    // Not before it is done; and no list of what was forgotten is left, but the ids of visits for a week.
    this.forgetting.delete(domain);
    await store.setMeta('forgetting', [...this.forgetting]);
  }

  sync(): Promise<RequestResult> {
    return this.link.request('sync');
  }

  /** Asks for the window, which starts the app if need be. */
  openApp(): Promise<RequestResult> {
    return this.link.request('open');
  }

  get state(): CompanionState {
    return this.current;
  }

  /** Calls at once and after each change; the answer ends it. */
  subscribe(listener: (state: CompanionState) => void): () => void {
    this.listeners.add(listener);
    listener(this.current);
    return () => this.listeners.delete(listener);
  }

  onRules(listener: () => void): () => void {
    this.ruleListeners.add(listener);
    return () => this.ruleListeners.delete(listener);
  }

  /** Whose a record is that is captured now. */
  get stamp(): Stamp {
    return this.account.stamp();
  }

  /** Another account, or none any more: end what is open, and add it with the stamp it began under. */
  onAccount(listener: () => void): () => void {
    this.accountListeners.add(listener);
    return () => this.accountListeners.delete(listener);
  }

  /**
   * A site is forgotten: of what you hold yourself keep what `admit` and `keep` answer. What you add until then,
   * or until your promise is fulfilled, is looked through afterwards.
   */
  onForget(listener: (forgetting: Forgetting) => void | Promise<void>): () => void {
    this.forgetListeners.add(listener);
    return () => this.forgetListeners.delete(listener);
  }

  private open(): Promise<OutboxStore> {
    this.opened ??= this.load().catch((error: unknown) => {
      this.opened = null;
      throw error;
    });
    return this.opened;
  }

  private async load(): Promise<OutboxStore> {
    const store = await (this.options.openStore ?? (() => IdbOutbox.open()))();
    this.account = AccountBook.read(await store.getMeta('account'));
    const rules = await store.getMeta('rules');
    if (Array.isArray(rules)) this.setRules(rules as Rule[]);
    await this.recallDropped(store);
    if ((await store.getMeta('judging')) === true) await this.judge(store);
    const forgetting = await store.getMeta('forgetting');
    if (Array.isArray(forgetting)) for (const domain of forgetting as string[]) this.forgetting.add(domain);
    this.store = store;
    this.sender = new Sender({
      store,
      clock: this.clock,
      link: this.link,
      refFor: (stamp) => this.account.refFor(stamp),
      onDelivered: async () => {
        this.update({ lastAckAt: this.clock.now(), problem: null });
        await this.recount(store);
      },
      onIdle: () => this.enqueue(() => this.recount(store)),
      onProblem: (problem) => {
        this.options.log?.(`${problem.code}: ${problem.text}`);
        this.update({ problem });
      },
    });
    await this.recount(store);
    return store;
  }

  private async profileId(): Promise<string> {
    const store = await this.open();
    const known = await store.getMeta('profileId');
    if (typeof known === 'string') return known;
    const fresh = this.clock.uuid();
    await store.setMeta('profileId', fresh);
    return fresh;
  }

  private async take(frame: HostFrame, epoch: number): Promise<void> {
    const store = this.store;
    if (store === null) return;
    switch (frame.type) {
      case 'welcome':
        try {
          if (frame.accountRef !== undefined) await this.learnAccount(store, frame.accountRef);
          if (frame.rules !== null) await this.learnRules(store, frame.rules);
          for (const domain of this.forgetting) await this.forget(domain);
        } catch (error) {
          // Nothing is sent on a connection whose rules could not be kept: it is made anew.
          if (epoch === this.link.epoch) this.link.reset('silent');
          throw error;
        }
        // One that cannot say who is signed in says so with its first status.
        if (frame.accountRef !== undefined) this.hasTold();
        this.sender?.welcome(epoch, frame.maxRecords, frame.maxMessageBytes);
        return;
      case 'status':
        // A buffer that cannot be read does not say who is signed in.
        if (frame.status.account !== null || frame.status.state !== 'buffer_problem') {
          await this.learnAccount(store, frame.status.account?.ref ?? null);
        }
        this.update({ status: frame.status });
        this.hasTold();
        return;
      case 'rules':
        await this.learnRules(store, frame.rules);
        return;
      case 'forget':
        try {
          await this.forget(frame.domain);
        } catch (error) {
          if (epoch === this.link.epoch) this.link.reset('silent');
          throw error;
        }
        return;
      case 'ack':
      case 'nack':
      case 'error':
        await this.sender?.answered(frame);
        return;
      case 'syncRequested':
      case 'opened':
        return;
    }
  }

  private async learnAccount(store: OutboxStore, ref: string | null): Promise<void> {
    const before = this.account.toJSON();
    if (!this.account.learn(ref)) return;
    try {
      await store.setMeta('account', this.account.toJSON());
    } catch (error) {
      // Nobody has been told of it: it is news again the next time.
      this.account = AccountBook.read(before);
      throw error;
    }
    for (const listener of this.accountListeners) listener();
  }

  /** Kept before they are applied, with the mark that they still are to be: the next process begins with that. */
  private async learnRules(store: OutboxStore, rules: Rule[]): Promise<void> {
    if (JSON.stringify(rules) === this.rulesText) return;
    this.setRules(rules);
    try {
      await store.setMeta('judging', true);
      await store.setMeta('rules', rules);
      await this.judge(store);
    } catch (error) {
      // They hold for what comes, and are still to be kept and applied to what waits.
      this.rulesText = '';
      throw error;
    }
    for (const listener of this.ruleListeners) listener();
  }

  private async judge(store: OutboxStore): Promise<void> {
    await this.applyRules(store, this.rules);
    await store.setMeta('judging', false);
  }

  private setRules(rules: Rule[]): void {
    this.rules = new RuleSet(rules);
    this.rulesText = JSON.stringify(rules);
  }

  private async applyRules(store: OutboxStore, rules: RuleSet): Promise<void> {
    const dropped = new Set<string>();
    const edit = (item: OutboxItem): string | null => {
      const known = (id: string): boolean => dropped.has(id) || this.dropped.has(id);
      const kept = rules.apply(item.kind, JSON.parse(item.text) as JsonObject, known);
      if (kept === null) dropped.add(item.id);
      return kept === null ? null : JSON.stringify(kept);
    };
    // What goes is noted before it goes: who points to it may stand before it, or come after this process.
    await store.rewrite((item) => {
      edit(item);
      return item.text;
    });
    const noted = dropped.size;
    if (noted > 0) await this.rememberDropped(store, [...dropped]);
    await store.rewrite(edit);
    if (dropped.size > noted) await this.rememberDropped(store, [...dropped]);
    await this.recount(store);
  }

  private async rememberDropped(store: OutboxStore, ids: string[]): Promise<void> {
    for (const id of ids) this.dropped.set(id, this.clock.now());
    const spare = this.dropped.size - policy.DROPPED_IDS;
    for (const [index, id] of [...this.dropped.keys()].entries()) if (index < spare) this.dropped.delete(id);
    await store.setMeta('dropped', [...this.dropped]);
  }

  private async recallDropped(store: OutboxStore): Promise<void> {
    const stored = await store.getMeta('dropped');
    if (!Array.isArray(stored)) return;
    const now = this.clock.now();
    // An earlier version kept ids only.
    const kept = stored.map((one: unknown) => (typeof one === 'string' ? [one, now] : one) as [string, number]);
    for (const [id, at] of kept) if (now - at < policy.DROPPED_MS) this.dropped.set(id, at);
    if (this.dropped.size < stored.length) await store.setMeta('dropped', [...this.dropped]);
  }

  private async recount(store: OutboxStore): Promise<void> {
    const outbox = await store.counts();
    // It can be read again.
    this.update({ outbox, ...(this.current.problem?.code === 'outbox' ? { problem: null } : {}) });
  }

  private hasTold(): void {
    if (this.told) return;
    this.told = true;
    this.tellAll();
  }

  private tellAll(): void {
    for (const tell of this.untold) tell();
  }

  private update(change: Partial<CompanionState>): void {
    this.current = { ...this.current, ...change };
    for (const listener of this.listeners) listener(this.current);
  }

  private enqueue(task: () => void | Promise<void>): void {
    this.inbox = this.inbox.then(task).catch((error: unknown) => {
      this.options.log?.(`outbox: ${error instanceof Error ? error.message : String(error)}`);
      this.update({ problem: { code: 'outbox', text: 'the outbox cannot be read or written' } });
    });
  }
}
