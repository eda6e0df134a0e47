/**
 * The status head as a value: which sentence, icon, tone and actions a status gives. Pure, and the one place
 * where a state becomes words. It never says more than the status: green is for `up_to_date` alone.
 */
import type { After } from "../generated/After";
import type { State } from "../generated/State";
import type { Status } from "../generated/Status";
import type { Messages } from "../messages";
import type { Said } from "../generated/Said";
import type { IconName } from "../parts/icons";
import { otherName } from "./whose";

export type HeadState = State | "connecting" | "disconnected" | "quitting";
export type Tone = "good" | "busy" | "calm" | "wait" | "alert";
/** The one primary button. */
export type Primary = "sync" | "progress" | "resume" | "sign-in" | "none";

export interface Head {
  state: HeadState;
  tone: Tone;
  icon: IconName;
  sentence: string;
  /** What follows: how much is safe, what happens next. May count down, and is not announced. */
  detail: string | null;
  /** Why, in one sentence. */
  reason: string | null;
  /** What is true besides: records failed, and the backend is down too. */
  also: readonly string[];
  /** What lies here besides, of others or of nobody, and is not in the numbers above. */
  others: string | null;
  /** What was saved of a damaged store; said until somebody has understood it. */
  recovered: string | null;
  primary: Primary;
  canPause: boolean;
  failedToShow: boolean;
}

/** Failed records that still ask for somebody, whoever they are of: the status counts everybody's. */
export const loud = (s: Status): number => Math.max(0, s.failed - s.failedKept);

/** The other accounts that some of them are of, and how many. */
const loudOthers = (s: Status) =>
  s.otherAccounts.map((other) => ({ email: other.email, loud: Math.max(0, other.failed - other.failedKept) })).filter((other) => other.loud > 0);

export const waiting = (s: Status): number => s.backlog.pageVisits + s.backlog.tabAggregates;

/** Failed records that are not another account's: the status counts everybody's. */
export const failedOwn = (s: Status): number => Math.max(0, s.failed - s.otherAccounts.reduce((sum, other) => sum + other.failed, 0));

/** Everything that waits here, for whichever account or for none. */
export const keptHere = (s: Status): number =>
  waiting(s) + s.unclaimed + s.otherAccounts.reduce((sum, other) => sum + other.waiting, 0);

/** What is kept here and does not go with the account that is signed in. */
export const notOwn = (s: Status): number => keptHere(s) - waiting(s);

/** Whether the agent says this, in the first place or besides: a store that has a problem decides the state alone. */
const says = (s: Status, code: string): boolean => s.state === code || everything(s).some((said) => said.code === code);

/** Nobody is signed in. */
export const signedOut = (s: Status): boolean => says(s, "signed_out");

/** Nothing is sent before somebody signs in. */
export const needsSignIn = (s: Status): boolean => signedOut(s) || says(s, "session_expired");

/** Until the rules can be read, nothing new is taken. */
export const rulesMistaken = (s: Status): boolean => says(s, "rules_mistaken");

/** The agent's word for a start that did not work (heyho_agent::NO_START). */
export const cannotStart = (s: Status | null | undefined): boolean => s?.reasonCode === "no_start";

/** A sentence of the agent in the reader's language. */
export function inWords(said: Said, m: Messages): string {
  return m.reasons[said.code]?.(said.args) ?? said.text;
}

/** Everything the agent says, the sentence of the state first. */
function everything(s: Status): Said[] {
  const first: Said[] = s.reason === null ? [] : [{ code: s.reasonCode ?? "", args: s.reasonArgs, text: s.reason }];
  return [...first, ...s.also];
}

/** The agent's word for a damaged store that was put in order; it has a place and a button of its own. */
const RECOVERED = "recovered";

/** The agent's words for what holds runs back though nobody has paused: Sync now sends all the same. */
const HELD_BACK = ["metered", "on_battery"] as const;

function heldBack(s: Status): (typeof HELD_BACK)[number] | null {
  if (s.state !== "paused" || s.pausedUntil !== null) return null;
  const codes = everything(s).map((said) => said.code);
  return HELD_BACK.find((code) => codes.includes(code)) ?? null;
}

function recovered(s: Status, m: Messages): string | null {
  const said = everything(s).find((said) => said.code === RECOVERED);
  if (!said) return null;
  const { saved = 0, expected, damaged = 0 } = said.args;
  return m.head.recovered(Number(saved), typeof expected === "number" ? expected : null, Number(damaged));
}

/** `undefined` before the first status; `null` while the companion takes its place again, which needs nobody. */
export function head(heard: Status | null | undefined, now: Date, m: Messages): Head {
  if (heard === undefined || heard === null) {
    return still("connecting", "calm", "waiting", m.head.connecting, heard === null ? m.head.startingAgain : null);
  }
  const s = heard;
  const n = waiting(s);
  const next = s.nextAttemptAt === null ? null : new Date(s.nextAttemptAt);
  // "3 records need you" and "Session expired" are said by the sentence.
  const already = [RECOVERED, s.state, ...(s.state === "needs_attention" && loud(s) > 0 ? ["failed_records"] : [])];
  const spoken = everything(s).filter((said) => !already.includes(said.code));
  const [reason = null, ...also] = spoken.map((said) => inWords(said, m));
  const saved = recovered(s, m);
  // Who is not signed in is told of everything in one number.
  const others = !signedOut(s) && notOwn(s) > 0 ? m.head.others(notOwn(s)) : null;
  const base = { state: s.state, reason, also, others, recovered: saved, failedToShow: loud(s) > 0 };
  switch (s.state) {
    case "up_to_date":
      return { ...base, tone: "good", icon: "done", sentence: m.head.upToDate, detail: null, primary: "sync", canPause: true };
    case "syncing": {
      const p = s.progress;
      const known = p !== null && p.total > 0;
      return {
        ...base,
        tone: "busy",
        icon: "sync",
        sentence: known ? m.head.sending(p.done, p.total) : m.head.syncing,
        detail: known && p.etaSeconds !== null ? m.head.eta(p.etaSeconds) : null,
        primary: "progress",
        canPause: false,
      };
    }
    case "waiting":
      return {
        ...base,
        tone: "calm",
        icon: "waiting",
        sentence: n > 0 ? m.head.waiting(n) : m.head.waitingNone,
        detail: next ? m.head.nextSync(m.format.clock(next, now)) : null,
        primary: "sync",
        canPause: true,
      };
    case "retrying":
      return {
        ...base,
        tone: "wait",
        icon: "clock",
        sentence: m.head.retrying,
        detail: join(n > 0 ? m.head.safeHere(n) : null, next ? m.head.nextTry(m.format.relative(later(next, now), now)) : null),
        primary: "sync",
        canPause: true,
      };
    case "needs_attention":
      return {
        ...base,
        tone: "alert",
        icon: "attention",
        sentence: loud(s) > 0 ? needing(s, m) : m.head.needsAttention,
        detail: n > 0 ? m.head.safeHere(n) : null,
        primary: "sync",
        canPause: true,
      };
    case "paused": {
      const held = heldBack(s) !== null;
      return {
        ...base,
        tone: "calm",
        icon: "pause",
        sentence: s.pausedUntil === null ? m.head.paused : m.head.pausedUntil(m.format.clock(new Date(s.pausedUntil), now)),
        detail: n > 0 ? m.head.safeHere(n) : null,
        // There is no pause to end where only the network or the power holds runs back.
        primary: held ? "sync" : "resume",
        canPause: held,
      };
    }
    case "session_expired":
      return {
        ...base,
        tone: "alert",
        icon: "person",
        sentence: m.head.sessionExpired,
        detail: n > 0 ? m.head.safeHere(n) : null,
        primary: "sign-in",
        canPause: false,
      };
    case "signed_out": {
      const safe = keptHere(s);
      return {
        ...base,
        tone: "calm",
        icon: "person",
        sentence: m.head.signedOut,
        // Beside a store that was lost, nobody is told that nothing is lost.
        detail: safe > 0 ? m.head.alreadySafe(safe) : saved === null ? m.head.nothingLost : null,
        primary: "none",
        canPause: false,
      };
    }
    case "buffer_problem":
      return {
        ...base,
        tone: "alert",
        icon: "disk",
        sentence: m.head.bufferProblem,
        detail: null,
        // What is full is emptied by sending, which somebody else may have to begin.
        primary: needsSignIn(s) ? "sign-in" : says(s, "paused") ? "resume" : "sync",
        canPause: false,
      };
  }
}

/** Whose failed records ask: another account's need nobody who is here, and are named. */
function needing(s: Status, m: Messages): string {
  const others = loudOthers(s);
  const ofOthers = others.reduce((sum, other) => sum + other.loud, 0);
  const own = loud(s) - ofOthers;
  if (own > 0) return m.head.needYou(own);
  return m.head.failedOfOthers(ofOthers, m.format.list(others.map((other) => otherName(other.email, s, m))));
}

/** When nothing is heard of the companion any more, and nothing will be. */
export const gone = (m: Messages): Head => still("disconnected", "alert", "unplugged", m.head.disconnected, m.head.disconnectedDetail);

/** While the companion ends, or ends to begin anew. */
export const ending = (after: After, m: Messages): Head =>
  still("quitting", "calm", "power", after === "again" ? m.head.restarting : m.head.quitting, m.head.quittingDetail);

/** What the next attempt waits for, in words, where it has no time of its own. */
export function nextAttempt(s: Status, now: Date, m: Messages): { text: string; at: Date | null } {
  if (needsSignIn(s)) return { text: m.head.nextAttemptSignIn, at: null };
  switch (s.state) {
    case "syncing":
      return { text: m.head.nextAttemptRunning, at: null };
    case "paused": {
      const held = heldBack(s);
      return { text: held === null ? m.head.nextAttemptPaused : m.head.nextAttemptHeld[held], at: null };
    }
    default: {
      if (says(s, "paused")) return { text: m.head.nextAttemptPaused, at: null };
      if (s.numbersUnknown) return { text: m.notKnown, at: null };
      if (s.nextAttemptAt === null) return { text: m.head.nextAttemptNone, at: null };
      const at = new Date(s.nextAttemptAt);
      return { text: at <= now ? m.head.due : m.format.relative(at, now), at };
    }
  }
}

function still(state: HeadState, tone: Tone, icon: IconName, sentence: string, detail: string | null): Head {
  return { state, tone, icon, sentence, detail, reason: null, also: [], others: null, recovered: null, primary: "none", canPause: false, failedToShow: false };
}

function join(first: string | null, second: string | null): string | null {
  if (first === null) return second === null ? null : second.charAt(0).toUpperCase() + second.slice(1);
  return second === null ? first : `${first}; ${second}`;
}

/** A time that has passed while its event is on the way is "now", never "ago". */
function later(at: Date, now: Date): Date {
  return at < now ? now : at;
}
