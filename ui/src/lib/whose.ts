/** Whose a record is, in words, where it is not the reader's own: the lists have everybody's. */
import type { Status } from "../generated/Status";
import type { Messages } from "../messages";

type Owned = { account?: string | null; own: boolean };

/** An account that is not the reader's: the same e-mail address may be known at two backends. */
export function otherName(email: string, s: Status | null | undefined, m: Messages): string {
  return email === s?.account?.email ? m.backlog.atOther(email) : email;
}

export function whose(record: Owned, s: Status | null | undefined, m: Messages): string | null {
  if (record.own) return null;
  if (record.account) return m.backlog.otherAccount(otherName(record.account, s, m));
  // With nobody else about, nobody wonders.
  return s?.account || s?.otherAccounts.length ? m.backlog.unclaimed : null;
}

/** The other accounts that these records are of. */
export const othersOf = (records: readonly Owned[], s: Status | null | undefined, m: Messages): string[] =>
  [...new Set(records.flatMap((record) => (record.account && !record.own ? [otherName(record.account, s, m)] : [])))];
