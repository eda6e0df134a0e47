/**
 * The sign-in form, checked before it is sent. Pure. The password is only passed through: it is read from the
 * form at the moment of submitting and kept nowhere.
 */
import type { Login } from "../generated/Login";
import type { Status } from "../generated/Status";
import type { Messages } from "../messages";
import { waiting } from "./head";

/** What the backend asks of a new password (contract, section 3). */
export const PASSWORD_MIN = 8;

export type Field = "email" | "password" | "backend";
export interface Entry {
  email: string;
  password: string;
  backend: string;
  register: boolean;
  /** Undefined where the question was not asked. */
  claim: boolean | undefined;
  firstName?: string;
  lastName?: string;
  keepPassword?: boolean;
}
export type Checked = { ok: true; login: Login } | { ok: false; field: Field; text: string };

export function check(entry: Entry, m: Messages): Checked {
  const email = entry.email.trim();
  const backend = entry.backend.trim();
  const bad = (field: Field, text: string): Checked => ({ ok: false, field, text });

  if (email === "") return bad("email", m.signIn.emailMissing);
  if (!/^[^\s@]+@[^\s@]+$/.test(email)) return bad("email", m.signIn.emailBad);
  if (entry.password === "") return bad("password", m.signIn.passwordMissing);
  if (entry.register && Array.from(entry.password).length < PASSWORD_MIN) return bad("password", m.signIn.passwordShort);
  if (backend !== "" && !webAddress(backend)) return bad("backend", m.signIn.backendBad);

  const login: Login = { email, password: entry.password, register: entry.register };
  if (backend !== "") login.backend = backend;
  if (entry.claim !== undefined) login.claim = entry.claim;
  if (entry.firstName?.trim()) login.firstName = entry.firstName.trim();
  if (entry.lastName?.trim()) login.lastName = entry.lastName.trim();
  if (entry.keepPassword) login.keepPassword = true;
  return { ok: true, login };
}

/** A new password, by the code that was sent. */
export function checkNew(code: string, password: string, m: Messages): { field: "code" | "password"; text: string } | null {
  if (code.trim() === "") return { field: "code", text: m.signIn.codeMissing };
  if (Array.from(password).length < PASSWORD_MIN) return { field: "password", text: m.signIn.passwordShort };
  return null;
}

/** The same place, however it is written: with a slash at its end, or with the path of the API. */
export function sameBackend(a: string, b: string): boolean {
  const plain = (text: string) => text.trim().replace(/\/+$/, "").replace(/\/api\/v1$/, "").replace(/\/+$/, "").toLowerCase();
  return plain(a) === plain(b);
}

/** What waits for accounts at other backends than this: it is never sent to this one. */
export function boundElsewhere(s: Status, backend: string): number {
  const own = s.account && !sameBackend(s.account.backend, backend) ? waiting(s) : 0;
  const others = s.otherAccounts.filter((other) => !sameBackend(other.backend, backend));
  return others.reduce((sum, other) => sum + other.waiting, own);
}

function webAddress(text: string): boolean {
  try {
    return ["http:", "https:"].includes(new URL(text).protocol);
  } catch {
    return false;
  }
}
