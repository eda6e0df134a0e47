import { describe, expect, it } from 'vitest';
import { IdbOutbox, type Rule, RuleSet } from '..';
import cases from './rule-cases.json';
import { idle, mortal, visit, World } from './world';

const rule = (match: Rule['match'], pattern: string, action: Rule['action'] = 'drop'): Rule => ({ id: pattern, match, pattern, action });
const none = (): boolean => false;

describe('privacy rules', () => {
  // The host's rules (crates/records/src/rules.rs) are asked the same.
  it.each(cases as [Rule['match'], string, string, boolean][])('%s %s on %s: %s', (match, pattern, url, dropped) => {
    expect(new RuleSet([rule(match, pattern)]).admit(url) === null).toBe(dropped);
  });

  it('strip takes query and fragment, and a drop goes first', () => {
    const strip = rule('host', 'shop.example', 'strip');
    expect(new RuleSet([strip]).admit('https://shop.example/a?b=1#c')).toBe('https://shop.example/a');
    expect(new RuleSet([strip]).admit('https://shop.example/a#c?d')).toBe('https://shop.example/a');
    expect(new RuleSet([strip, rule('url', '*/a*')]).admit('https://shop.example/a?b=1')).toBeNull();
  });

  it('takes a dropped host out of an aggregate, everywhere it is named', () => {
    const record = {
      id: 't', tabId: 1, startTime: 1, currentUrl: 'https://www.bank.example/in', currentDomain: 'www.bank.example',
      domainDurations: { 'www.bank.example': 10, 'news.example': 5 },
      statistics: { mostVisitedDomain: 'www.bank.example', activations: 2 }, page_visit_id: 'gone',
    };
    const kept = new RuleSet([rule('host', '*.bank.example')]).apply('tabAggregate', record, (id) => id === 'gone');
    expect(kept).toEqual({ id: 't', tabId: 1, startTime: 1, domainDurations: { 'news.example': 5 }, statistics: { activations: 2 } });
  });

  it('takes a host out of an aggregate also where an address rule covers all of it, and leaves it for a part', () => {
    const record = { id: 't', domainDurations: { 'a.example': 1, 'b.example': 2 } };
    const rules = new RuleSet([rule('url', '*://a.example/*'), rule('url', 'https://b.example/private/*')]);
    expect(rules.apply('tabAggregate', record, none)).toEqual({ id: 't', domainDurations: { 'b.example': 2 } });
  });

  it('changes no record that no rule touches', () => {
    const rules = new RuleSet([rule('host', 'bank.example')]);
    expect(rules.apply('pageVisit', visit('a'), none)).toEqual(visit('a'));
    expect(rules.admit('not a url')).toBe('not a url');
  });

  it('keeps a dropped visit out of the outbox and its id out of later records', async () => {
    const world = new World();
    world.host.rules = [rule('host', 'bank.example')];
    await world.client.start();
    await world.until(() => world.client.state.status !== null);
    world.host.installed = false;
    world.host.die();
    const secret = { ...visit('secret'), url: 'https://bank.example/canary' };
    expect(await world.client.add('pageVisit', [secret])).toEqual({ dropped: 1 });
    await world.client.add('pageVisit', [{ ...visit('next'), source_page_visit_id: 'secret' }]);
    const waiting = await world.waiting();
    expect(waiting.map((item) => item.id)).toEqual(['next']);
    expect(JSON.stringify(waiting)).not.toMatch(/secret|canary/);
  });

  it('keeps the id of a dropped visit for a week', async () => {
    const world = new World();
    world.host.installed = false;
    await world.client.add('pageVisit', [{ ...visit('secret'), url: 'https://site.example/' }, visit('stays')]);
    await world.client.forget('site.example');
    const kept = async (days: number): Promise<string> => {
      const now = 1_800_000_000_000 + days * 86_400_000;
      world.clock.now = () => now;
      world.reborn();
      await world.client.start();
      const store = await IdbOutbox.open(world.name);
      const dropped = JSON.stringify(await store.getMeta('dropped'));
      store.close();
      return dropped;
    };
    expect(await kept(6)).toContain('secret');
    expect(await kept(7)).toBe('[]');
  });

  it('holds the rules of the last connection from the first moment of a new worker', async () => {
    const world = new World();
    world.host.rules = [rule('host', 'bank.example')];
    await world.client.start();
    await world.until(() => world.client.state.status !== null);
    world.host.installed = false;
    world.reborn();
    await world.client.start();
    expect(world.client.admit('https://bank.example/')).toBeNull();
  });

  it('keeps the rules it knows while the host cannot read them', async () => {
    const world = new World();
    world.host.rules = [rule('host', 'bank.example')];
    await world.client.start();
    await world.until(() => world.client.state.status !== null);
    world.host.rules = null;
    world.host.push({ type: 'rules' });
    await idle();
    expect(world.client.admit('https://bank.example/')).toBeNull();
    world.reborn();
    await world.client.start();
    await world.until(() => world.client.state.status !== null);
    const secret = { ...visit('secret'), url: 'https://bank.example/canary' };
    expect(await world.client.add('pageVisit', [secret])).toEqual({ dropped: 1 });
    world.host.push({ type: 'rules', rules: [] });
    await world.until(() => world.client.admit('https://bank.example/') !== null);
  });

  it('applies rules that are pushed to what already waits, and says so', async () => {
    const world = new World();
    world.host.script = ['nack'];
    let told = 0;
    world.client.onRules(() => told++);
    await world.client.start();
    await world.client.add('pageVisit', [{ ...visit('a'), url: 'https://bank.example/canary' }, { ...visit('b'), url: 'https://shop.example/?q=canary' }]);
    world.host.push({ type: 'rules', rules: [rule('host', 'bank.example'), rule('host', 'shop.example', 'strip')] });
    await world.until(() => told === 1);
    expect((await world.waiting()).map((item) => JSON.parse(item.text).url)).toEqual(['https://shop.example/']);
  });

  // Over all of it: while it is kept, judged, and noted as done.
  it.each(Array.from({ length: 8 }, (_, i) => [i + 1, i % 2 === 0] as const))('a process that dies at operation %i of taking in a pushed rule (done: %s): what waits is judged by it, and no id of it goes', async (operations, done) => {
    const world = new World();
    world.host.installed = false;
    await world.client.start();
    const of = (id: string, url: string, more: object = {}): object => ({ ...visit(id), url, ...more });
    // The first in the queue points to one behind it.
    await world.client.add('pageVisit', [of('child', 'https://other.example/', { source_page_visit_id: 'secret' }), of('secret', 'https://bank.example/canary')] as never);
    let left = Infinity;
    world.reborn((store) => new Proxy(store, {
      get(target, name) {
        const member = Reflect.get(target, name) as unknown;
        if (typeof member !== 'function') return member;
        return (...args: unknown[]) => {
          left -= 1;
          if (left <= 0 && !(left === 0 && done)) return new Promise(() => undefined);
          const result = (member as (...a: unknown[]) => unknown).apply(target, args);
          return left === 0 ? new Promise(() => undefined) : result;
        };
      },
    }));
    world.host.installed = true;
    // Until it is sent nothing is taken.
    world.host.script = Array.from({ length: 50 }, () => 'nack' as const);
    await world.client.start();
    await world.until(() => world.client.state.status !== null);
    left = operations;
    world.host.rules = [rule('host', 'bank.example')];
    world.host.push({ type: 'rules', rules: world.host.rules });
    await idle();
    world.reborn();
    world.host.script = [];
    world.host.frames.length = 0;
    await world.client.start();
    await world.client.add('pageVisit', [of('late', 'https://other.example/2', { source_page_visit_id: 'secret' })] as never);
    await world.until(async () => (await world.waiting()).length === 0, true);
    expect(JSON.stringify(world.host.frames)).toContain('late');
    expect(JSON.stringify(world.host.frames)).not.toMatch(/secret|canary/);
  });

  it('rules that it knew when it ended are applied to what waits also where no host is reached', async () => {
    const world = new World();
    world.host.script = ['silent'];
    await world.client.start();
    await world.client.add('pageVisit', [{ ...visit('secret'), url: 'https://bank.example/canary' }]);
    await world.until(() => world.host.frames.length === 1);
    const store = await IdbOutbox.open(world.name);
    const fails = world.client as unknown as { store: { rewrite: () => Promise<void> } };
    fails.store.rewrite = () => Promise.reject(new Error('full'));
    world.host.push({ type: 'rules', rules: [rule('host', 'bank.example')] });
    await world.until(() => world.client.state.problem?.code === 'outbox');
    world.host.installed = false;
    world.reborn();
    await world.client.start();
    expect(await world.waiting()).toEqual([]);
    store.close();
  });

  it('rules that come while records are being added hold for these as well', async () => {
    const world = new World();
    world.host.rules = [rule('host', 'bank.example')];
    let pushed = false;
    world.client = world.make((store) => new Proxy(store, {
      get(target, name) {
        const member = Reflect.get(target, name) as unknown;
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]) => {
          const result = await (member as (...a: unknown[]) => Promise<unknown>).apply(target, args);
          if (name === 'setMeta' && args[0] === 'dropped' && !pushed) {
            pushed = true;
            world.host.push({ type: 'rules', rules: [rule('host', 'bank.example'), rule('host', 'shop.example')] });
            await idle();
          }
          return result;
        };
      },
    }));
    world.host.script = Array.from({ length: 50 }, () => 'nack' as const);
    await world.client.start();
    await world.until(() => world.client.state.status !== null);
    await world.client.add('pageVisit', [{ ...visit('a'), url: 'https://bank.example/' }, { ...visit('b'), url: 'https://shop.example/canary' }]);
    await world.until(() => world.client.admit('https://shop.example/') === null);
    await idle();
    expect([pushed, await world.waiting()]).toEqual([true, []]);
  });

  it('forgets a domain and its subdomains on request', async () => {
    const world = new World();
    await world.client.add('pageVisit', ['https://a.site.example/', 'https://site.example/', 'https://other.example/'].map((url, i) => ({ ...visit(`v${i}`), url })));
    await world.client.forget('site.example');
    expect((await world.waiting()).map((item) => item.id)).toEqual(['v2']);
  });

  // From where it has noted what it is about to forget, after six operations that open the outbox, to its last.
  it.each([7, 8, 9, 10, 11, 12])('a process that dies at operation %i of forgetting a site: the next one forgets it before it sends anything', async (operations) => {
    const world = new World();
    await world.client.add('pageVisit', [{ ...visit('gone'), url: 'https://a.site.example/' }, visit('stays')]);
    world.reborn((store) => mortal(store, operations, operations === 7));
    void world.client.forget('site.example');
    await idle();
    world.reborn();
    const held: string[] = [];
    world.client.onForget(({ admit }) => void held.push(admit('https://a.site.example/') ?? 'forgotten'));
    await world.client.start();
    await world.until(async () => (await world.waiting()).length === 0, true);
    expect([...world.host.committed.keys()]).toEqual(['stays']);
    expect(held).toEqual(['forgotten']);
    const store = await IdbOutbox.open(world.name);
    expect(await store.getMeta('forgetting')).toEqual([]);
    store.close();
  });

  it('forgets what a listener still adds of it, and the ids of what it deleted', async () => {
    const world = new World();
    world.client.onForget(async ({ admit, keep }) => {
      const of = (id: string, host: string): { id: string; url: string } => ({ ...visit(id), url: `https://${host}/` });
      await idle();
      await world.client.add('pageVisit', [of('late', 'site.example'), { ...of('child', 'other.example'), source_page_visit_id: 'late' }]);
      expect([admit('https://a.site.example/'), admit('https://other.example/')]).toEqual([null, 'https://other.example/']);
      expect(keep('pageVisit', of('held', 'site.example'))).toBeNull();
      expect(keep('pageVisit', { ...of('b', 'other.example'), source_page_visit_id: 'held' })).toEqual(of('b', 'other.example'));
    });
    await world.client.forget('site.example');
    expect((await world.waiting()).map((item) => JSON.parse(item.text))).toEqual([{ ...visit('child'), url: 'https://other.example/' }]);
  });

  it('what waits points to nothing that a listener knew of a forgotten site', async () => {
    const world = new World();
    await world.client.add('pageVisit', [{ ...visit('child'), source_page_visit_id: 'delivered' }]);
    world.client.onForget(({ keep }) => void keep('pageVisit', { ...visit('delivered'), url: 'https://site.example/' }));
    await world.client.forget('site.example');
    expect((await world.waiting()).map((item) => JSON.parse(item.text))).toEqual([visit('child')]);
  });

  it('a site that could not be forgotten is tried again, and nothing is sent before it is', async () => {
    const world = new World();
    let attempts = 0;
    world.client.onForget(() => {
      if (++attempts === 1) throw new Error('not now');
    });
    world.host.script = ['nack'];
    await world.client.start();
    await world.client.add('pageVisit', [visit('stays')]);
    await world.until(() => world.host.frames.length === 1);
    world.host.push({ type: 'forget', domain: 'site.example' });
    await world.until(() => attempts === 1);
    const store = await IdbOutbox.open(world.name);
    expect(await store.getMeta('forgetting')).toEqual(['site.example']);
    await world.until(() => world.host.frames.length === 2, true);
    expect([attempts, world.host.hellos.length]).toEqual([2, 2]);
    await world.until(async () => (await world.waiting()).length === 0);
    expect(await store.getMeta('forgetting')).toEqual([]);
    store.close();
  });
});
