/**
 * Faults on purpose, for tests of tests: what a build or a test run with one of them does wrong, a suite must
 * notice. A fault is a change of one line of the source, made while it is built; nothing of it is in the source,
 * so nothing of it can be in a build that did not ask for it. `tests`: the unit tests that must notice it, by their
 * path; the end-to-end tests build with a fault of their own choice.
 */
export const FAULTS = {
  'early-delete': {
    what: 'the outbox deletes a record when it is sent, not when it is acknowledged',
    tests: 'companion/test/crash',
    file: 'companion/sender.ts',
    from: 'const cancelTimeout = clock.after(',
    to: 'await store.confirm(items);\n    const cancelTimeout = clock.after(',
  },
  'late-version': {
    what: 'an ack deletes the record whatever its version',
    tests: 'companion/test/crash',
    file: 'companion/outbox.ts',
    from: 'if (waiting?.generation !== generation) return;',
    to: 'if (waiting === undefined) return;',
  },
  'no-rules': {
    what: 'privacy rules are left to the host',
    tests: 'companion/test/rules',
    file: 'companion/rules.ts',
    from: 'this.rules = rules.map((rule) => ({ rule, test: matcher(rule) }));',
    to: 'this.rules = rules.slice(0, 0).map((rule) => ({ rule, test: matcher(rule) }));',
  },
  'late-stamp': {
    what: 'records go under whoever is signed in when they are delivered',
    tests: 'companion/test/account',
    file: 'companion/account.ts',
    from: 'if (stamp.ref !== null) return stamp.ref;',
    to: 'if (stamp.ref !== null && this.current === null) return stamp.ref;',
  },
  'deaf-to-pause': {
    what: 'what is open goes on through a pause',
    tests: 'capture/test/recorder',
    file: 'capture/recorder.ts',
    from: "this.enqueue({ type: 'stopped', at });",
    to: 'void at;',
  },
  'hasty': {
    what: 'a worker that starts looks at the browser before the host has said who is signed in and which rules hold',
    tests: 'background/test/start',
    file: 'background/index.ts',
    from: 'companion.informed(fresh ? INFORMED_AT_START_MS : INFORMED_AGAIN_MS)',
    to: 'companion.informed(fresh ? 0 : 0)',
  },
  'stale-look': {
    what: 'a look at the browser undoes what the browser said while it was looked at',
    tests: 'background/test/look',
    file: 'background/look.ts',
    from: 'if (before !== this.said) continue;',
    to: 'void before;',
  },
  'forgetful': {
    what: 'what is open is only in the memory of the worker',
    tests: 'capture/test/recorder',
    file: 'capture/recorder.ts',
    from: 'await store.save(state, touched, records);',
    to: 'await store.save(state, new Set(), records);\n    void touched;',
  },
  'reload-begins': {
    what: 'a reload is a visit of its own',
    tests: 'capture/test/machine',
    file: 'capture/machine.ts',
    from: 'if (tab.visit !== null && event.url !== null && samePage(tab.visit.url, event.url)) this.stay(tab, event.url);\n    else this.go(tab, event.url, at);',
    to: 'this.go(tab, event.url, at);',
  },
};

/** The plugin that makes the change; without a name none. */
export function planted(name) {
  if (!name) return [];
  const fault = FAULTS[name];
  if (fault === undefined) throw new Error(`there is no fault ${name}; there are ${Object.keys(FAULTS).join(', ')}`);
  let done = false;
  return [
    {
      name: `fault ${name}`,
      enforce: 'pre',
      transform(code, id) {
        if (!id.split('?')[0].endsWith(`/${fault.file}`)) return null;
        if (code.split(fault.from).length !== 2) throw new Error(`${fault.file}: the line of ${name} is not there once`);
        done = true;
        return code.replace(fault.from, fault.to);
      },
      buildEnd() {
        if (!done && this.meta.watchMode !== true && process.env.VITEST === undefined) throw new Error(`${name} was not planted`);
      },
    },
  ];
}
