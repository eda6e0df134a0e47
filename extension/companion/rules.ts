/**
 * Privacy rules of the companion, applied before a record is stored or sent.
 *
 * The host applies the same rules again; here they keep what is private out of the
 * extension's own outbox. `drop`: a visit of such a page is not kept, and an aggregate
 * loses what names it. `strip`: query and fragment go. In a pattern `*` stands for any
 * run of characters, without regard to case; a host pattern `*.x` also matches `x`. What a
 * browser wrote of dropped pages before the rule came stays in no field this client knows.
 */
import { isObject, type JsonObject, type Kind, type Rule } from './protocol';

export class RuleSet {
  private readonly rules: { rule: Rule; test: (url: URL, text: string) => boolean }[];

  constructor(rules: readonly Rule[]) {
    this.rules = rules.map((rule) => ({ rule, test: matcher(rule) }));
  }

  /** The URL as it may be kept: itself, stripped, or null where it must not be kept. */
  admit(text: string): string | null {
    const url = parse(text);
    if (url === null) return text;
    let strip = false;
    for (const { rule, test } of this.rules) {
      if (!test(url, text)) continue;
      if (rule.action === 'drop') return null;
      strip = true;
    }
    return strip ? text.replace(/[?#].*$/s, '') : text;
  }

  /** Whether a host is dropped as a whole: by a host rule, or by an address rule that covers all of it. */
  dropsHost(host: string): boolean {
    return ['https', 'http'].some((scheme) => {
      const text = `${scheme}://${host}/any/page?of=it`;
      const url = parse(text);
      return url !== null && this.rules.some(({ rule, test }) => rule.action === 'drop' && test(url, text));
    });
  }

  /** The record as it may be kept, or null. `dropped` says whether a visit id belongs to a dropped visit. */
  apply(kind: Kind, record: JsonObject, dropped: (visitId: string) => boolean): JsonObject | null {
    return kind === 'pageVisit' ? this.visit(record, dropped) : this.aggregate(record, dropped);
  }

  private visit(record: JsonObject, dropped: (visitId: string) => boolean): JsonObject | null {
    const kept = { ...record };
    if (typeof record['url'] === 'string') {
      const url = this.admit(record['url']);
      if (url === null) return null;
      kept['url'] = url;
    }
    return withoutLink(kept, 'source_page_visit_id', dropped);
  }

  private aggregate(record: JsonObject, dropped: (visitId: string) => boolean): JsonObject {
    const kept = withoutLink({ ...record }, 'page_visit_id', dropped);
    if (typeof record['currentUrl'] === 'string') {
      const url = this.admit(record['currentUrl']);
      if (url === null) {
        delete kept['currentUrl'];
        delete kept['currentDomain'];
      } else {
        kept['currentUrl'] = url;
      }
    }
    if (typeof kept['currentDomain'] === 'string' && this.dropsHost(kept['currentDomain'])) delete kept['currentDomain'];
    if (isObject(record['domainDurations'])) {
      kept['domainDurations'] = Object.fromEntries(
        Object.entries(record['domainDurations']).filter(([host]) => !this.dropsHost(host)),
      );
    }
    const statistics = record['statistics'];
    if (isObject(statistics) && typeof statistics['mostVisitedDomain'] === 'string' && this.dropsHost(statistics['mostVisitedDomain'])) {
      const { mostVisitedDomain: _, ...rest } = statistics;
      kept['statistics'] = rest;
    }
    return kept;
  }
}

function withoutLink(record: JsonObject, name: string, dropped: (visitId: string) => boolean): JsonObject {
  const link = record[name];
  if (typeof link === 'string' && dropped(link)) delete record[name];
  return record;
}

function matcher(rule: Rule): (url: URL, text: string) => boolean {
  const pattern = rule.pattern.trim();
  if (rule.match === 'url') {
    const test = glob(pattern);
    return (url, text) => test(text) || test(url.href);
  }
  const host = asciiHost(pattern);
  const test = glob(host);
  const apex = host.startsWith('*.') ? glob(host.slice(2)) : test;
  return (url) => {
    const name = url.hostname.replace(/\.$/, '');
    return test(name) || apex(name);
  };
}

/** `bücher.example` is written `xn--…` in a URL's host; a star is carried across as a name of its own. */
function asciiHost(pattern: string): string {
  const lower = pattern.toLowerCase().replace(/\.$/, '');
  if (/^[\x00-\x7f]*$/.test(lower)) return lower;
  const marked = parse(`http://${lower.replaceAll('*', 'star-0-star')}/`);
  return marked === null ? lower : marked.hostname.replaceAll('star-0-star', '*');
}

/** Matches the whole text; one pass for each part, whatever the pattern. */
function glob(pattern: string): (text: string) => boolean {
  const [first = '', ...parts] = pattern.toLowerCase().split('*');
  const last = parts.pop();
  return (text) => {
    const whole = text.toLowerCase();
    if (last === undefined) return whole === first;
    if (!whole.startsWith(first)) return false;
    let from = first.length;
    for (const part of parts) {
      const at = whole.indexOf(part, from);
      if (at < 0) return false;
      from = at + part.length;
    }
    return whole.length - last.length >= from && whole.endsWith(last);
  };
}

function parse(text: string): URL | null {
  return URL.canParse(text) ? new URL(text) : null;
}
