/**
 * The agent's sentences in German, by their stable words (`reasonCode`, `also`, the states of browsers, alerts).
 * English is the agent's own language: its sentences are shown as they come, also where a later agent says a word
 * that is not here. tests/messages.test.ts looks for the words in the Rust sources: one that is missing fails.
 */
import type { BrowserRow } from "../../generated/BrowserRow";
import type { BrowserState } from "../../generated/BrowserState";
import type { Said } from "../../generated/Said";
import type { Format } from "../../lib/format";

export type Args = Said["args"];
export type Sayings = Record<string, (args: Args) => string>;

const n = (args: Args, name: string) => Number(args[name] ?? 0);
const text = (args: Args, name: string) => String(args[name] ?? "");
/** Of a detail in the agent's English, the setting it names. */
const setting = (args: Args) => /\b[a-z]+\.[a-z_]+\b/.exec(text(args, "problem"))?.[0];

const STOPPED: Record<string, string> = {
  asked: "Angehalten wie gewünscht.",
  paused: "Das Senden ist angehalten.",
  signed_out: "Niemand ist angemeldet.",
  account_changed: "Inzwischen wurde ein anderes Konto angemeldet.",
  settings_changed: "Inzwischen wurde die Adresse des Servers geändert.",
  buffer_problem: "Der Speicher auf diesem Rechner ist nicht benutzbar.",
};

/** Why the agent cannot start (crates/agent/src/prevented.rs). */
const CAUSES: Record<string, string> = {
  lock: "Die Datei agent.lock ist nicht benutzbar.",
  silent: "Ein anderer Companion läuft und antwortet nicht.",
  folder: "Der Ordner für die Daten kann nicht angelegt werden.",
  socket: "Der lokale Socket kann nicht angelegt werden.",
  busy: "Ein anderes Programm benutzt den Speicher gerade.",
  disk_full: "Der Datenträger ist voll.",
  disk_fails: "Der Datenträger antwortet mit Fehlern.",
  newer: "Den Speicher hat eine neuere Version von HeyHo Companion benutzt: aktualisieren Sie dieses Programm.",
  old_sqlite: "Dieses Programm enthält ein zu altes SQLite.",
  store: "Der Speicher ist nicht benutzbar.",
};

const REFUSED: Record<string, string> = {
  pageVisit: "alle Seitenbesuche",
  tabAggregate: "alle Tab-Zusammenfassungen",
};

const KEPT = "Ihre Einträge sind hier sicher.";
const NOTHING = "Nichts gilt als übertragen.";

export const reasons = (f: Format): Sayings => ({
  emptied: () => "Alles, was wartete, ist übertragen.",
  nothing_to_send: () => "Nichts wartet, und der Server antwortet.",
  left_behind: () =>
    "Was gehen konnte, ist übertragen. Der Rest wartet auf die Seiten, die ihn geöffnet haben; sie werden noch zurückgehalten.",
  stopped: (a) => STOPPED[text(a, "by")] ?? "Angehalten.",
  session_expired: () => `Die Sitzung ist abgelaufen: melden Sie sich neu an. ${KEPT}`,
  no_answer: () => "Der Server antwortet nicht, oder die Verbindung kam nicht zustande.",
  server_error: (a) => `Der Server hat selbst einen Fehler (Status ${text(a, "status")}). ${KEPT}`,
  rate_limited: () => "Der Server bittet eine Weile um weniger Anfragen.",
  still_working: () => "Der Server arbeitet noch an der letzten Sendung.",
  asked_to_wait: () => "Der Server bat, bis dahin zu warten.",
  not_yet: () => "Der letzte Versuch ist eben erst gescheitert; der nächste kommt bald.",
  portal: () =>
    `Statt des Servers antwortete eine Webseite: dieses Netz will vielleicht eine eigene Anmeldung (wie in Hotels und Cafés), oder die Adresse des Servers stimmt nicht. ${NOTHING}`,
  not_proof: () => `Die Antwort des Servers bewies nicht, dass etwas gespeichert ist. ${NOTHING}`,
  forbidden: () => "Der Server lässt dieses Konto keine Einträge senden (403).",
  not_found: () => "Unter dieser Adresse gibt es keinen HeyHo-Server (404): prüfen Sie die Adresse des Servers.",
  method_not_allowed: () => "Das Programm unter der Adresse des Servers nimmt keine Einträge an (405).",
  upgrade_required: () => "Der Server verlangt eine neuere Version von HeyHo Companion (426).",
  proxy_sign_in: () => "Der Proxy verlangt eine Anmeldung (407): prüfen Sie die Einstellung backend.proxy.",
  moved: (a) =>
    a["origin"] === undefined
      ? "Der Server leitet weiter, und dem wird nicht gefolgt: prüfen Sie die Adresse des Servers."
      : `Der Server ist nach eigener Auskunft umgezogen nach ${text(a, "origin")}: prüfen Sie die Adresse des Servers.`,
  unexpected_status: (a) => `Der Server antwortete mit Status ${text(a, "status")}, den kein HeyHo-Server hier verwendet.`,
  refuses_everything: (a) =>
    `Der Server lehnt ${REFUSED[text(a, "kind")] ?? "alles, was er bekommt,"} ab (Status ${text(a, "status")}). Was wartet, bleibt hier: es ist wohl in Ordnung.`,
  confirms_none: (a) =>
    `Der Server nimmt ${text(a, "kind") === "tabAggregate" ? "Tab-Zusammenfassungen" : "Seitenbesuche"} an und bestätigt keinen Eintrag davon. Sie bleiben hier.`,
  internal: () => "HeyHo Companion hat den Überblick über diesen Lauf verloren. Nichts wurde gelöscht.",
  failed_records: (a) =>
    f.plural(n(a, "count"), { one: "# Eintrag konnte nicht übertragen werden.", other: "# Einträge konnten nicht übertragen werden." }),
  signed_out: () => `Niemand ist angemeldet. ${KEPT}`,
  other_backend: () => `Die Einstellungen nennen einen anderen Server: melden Sie sich dort an. ${KEPT}`,
  session_gone: () => `Die gespeicherte Sitzung ist weg: melden Sie sich neu an. ${KEPT}`,
  session_of_another: () => `Die gespeicherte Sitzung gehört einem anderen Konto: melden Sie sich neu an. ${KEPT}`,
  waiting_for_tokens: () => "Ihre Sitzung wird noch erwartet: der Schlüsselbund antwortet nicht.",
  tokens_in_memory: () => `Sie bleiben nur angemeldet, bis dieses Programm endet: der Schlüsselbund ist nicht benutzbar.`,
  buffer_unusable: () => `Der Speicher auf diesem Rechner ist nicht benutzbar. Was gesendet ist, ist nicht betroffen.`,
  disk_full: () => "Der Datenträger ist voll. Was hier ist, wird weiter gesendet; Neues wird nicht angenommen: schaffen Sie Platz.",
  buffer_full: () => "Der Speicher auf diesem Rechner ist voll. Neues wird nicht angenommen, bis Einträge übertragen sind.",
  no_start: (a) => CAUSES[text(a, "cause")] ?? "Etwas auf diesem Rechner verhindert es.",
  not_running: () => "Der Companion läuft nicht.",
  not_running_waiting: () => "Der Companion läuft nicht. Was wartet, ist sicher und wird gesendet, wenn er startet.",
  buffer_damaged: () => "Der Speicher auf diesem Rechner ist beschädigt.",
  configuration: (a) => `${setting(a) === undefined ? "Eine Einstellung" : `Die Einstellung ${setting(a)}`} wird nicht angenommen. ${KEPT}`,
  rules_mistaken: () => "Eine Datenschutzregel in den Einstellungen ist fehlerhaft. Bis sie berichtigt ist, wird von keinem Browser etwas angenommen: „heyho doctor“ sagt, wo sie steht. Die Einträge warten sicher in den Browsern.",
  metered: () => "Angehalten bei getakteter Verbindung, wie eingestellt. „Jetzt abgleichen“ sendet trotzdem.",
  on_battery: () => "Angehalten im Akkubetrieb, wie eingestellt. „Jetzt abgleichen“ sendet trotzdem.",
});

const states: Record<BrowserState, (row: BrowserRow) => string> = {
  connected: () => "Verbunden.",
  blocked: ({ name, form }) =>
    form === "flatpak"
      ? `${name} ist ein Flatpak, dessen Sandbox den Companion draußen hält. Führen Sie diesen Befehl einmal aus, und starten Sie ${name} neu.`
      : `${name} ist ein Snap, dessen Sandbox den Companion draußen hält. Installieren Sie ${name} stattdessen von seinem Hersteller oder aus den Paketen Ihres Systems.`,
  changed: () => "Seine Verbindung wurde von Hand geändert und bleibt, wie sie ist. Löschen Sie ihre Datei, damit sie neu geschrieben wird.",
  elsewhere: () => "Mit einem anderen Ort oder einer anderen Erweiterung verbunden. Verbinden Sie ihn neu.",
  opted_out: () => "Nicht verbunden, wie gewünscht.",
  not_registered: () => "Er kennt den Companion noch nicht. Verbinden Sie ihn.",
  quiet: ({ quietDays }) => (quietDays ? `Seit ${quietDays} Tagen kam nichts von ihm. Ist die Erweiterung noch eingeschaltet?` : "Seit Tagen kam nichts von ihm. Ist die Erweiterung noch eingeschaltet?"),
  seen: () => "Läuft gerade nicht, oder seine Erweiterung ist aus.",
  registered: ({ name, form }) =>
    form === "snap"
      ? `Bereit. ${name} ist ein Snap: Wenn er fragt, ob die Erweiterung mit dem Companion sprechen darf, erlauben Sie es.`
      : "Bereit. Installieren Sie die HeyHo-Erweiterung darin und stimmen Sie dort dem Erfassen zu.",
};

/** Somebody's wish that does not hold, and what it would take. */
function held({ held: by }: BrowserRow): string {
  if (by === null) return "";
  if (by === "") return " Sie wollten ihn nicht verbunden haben, aber ein Paket des Systems verbindet ihn für alle: Nur wenn dieses Paket entfernt wird, endet das.";
  return ` Sie wollten ihn nicht verbunden haben, aber er liest die Eintragung von ${by}: Er bleibt verbunden, solange es diese gibt.`;
}

/** How a browser stands, and what mends it (crates/local/src/browsers/survey.rs). */
export const browser = (row: BrowserRow): string => states[row.state](row) + held(row);
