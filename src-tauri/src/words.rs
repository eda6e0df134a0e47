//! The tray's wording. The window has its own, larger catalogues (ui/src/messages); the two say the same things
//! with the same words. A language is one `Words`: a missing sentence does not compile.

use heyho_local::vocabulary::Notice;
use heyho_records::alert::Alert;
use heyho_records::status::Args;
use heyho_records::words as english;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The agent's sentences in German: the window's catalogue, which says how they are found (ui/src/messages/de/agent.ts).
static GERMAN: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../ui/src/messages/de/reasons.json")).unwrap_or_default()
});

/// A language there is wording for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lang {
    En,
    De,
}

impl Lang {
    /// From a POSIX locale such as `de_AT.UTF-8`, or a tag such as `de-AT`; English for any other.
    pub fn of(locale: &str) -> Lang {
        match locale.split(['_', '-', '.', '@']).next() {
            Some("de") => Lang::De,
            _ => Lang::En,
        }
    }

    pub fn of_user() -> Lang {
        locale().map_or(Lang::En, |locale| Lang::of(&locale))
    }

    pub fn tag(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::De => "de",
        }
    }

    pub fn words(self) -> &'static Words {
        match self {
            Lang::En => &EN,
            Lang::De => &DE,
        }
    }

    /// The agent's own sentences are in this language: they are not mixed into another.
    pub fn is_the_agents(self) -> bool {
        self == Lang::En
    }

    /// The agent's sentence in another language, by its word.
    pub fn reason(self, word: &str, args: &Args) -> Option<String> {
        let plain = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let by_value = args.values().map(|value| format!("{word}.{}", plain(value)));
        let by_name = args.keys().map(|name| format!("{word}?{name}"));
        let mut keys = by_value.chain(by_name).chain([word.to_owned()]);
        let mut text = (*keys.find_map(|key| GERMAN.get(key.as_str()))?).to_owned();
        for (name, value) in args {
            let value = value.as_u64().map_or_else(|| plain(value), |n| self.number(n));
            text = text.replace(&format!("{{{name}}}"), &value);
        }
        Some(text)
    }

    /// What a person should be told once. The agent says it in English.
    pub fn alert(self, notice: &Notice) -> String {
        if self.is_the_agents() {
            return notice.text.clone();
        }
        let n = |name: &str| notice.args.get(name).copied().unwrap_or_default();
        let records = |n: u64| match n {
            1 => "1 Eintrag".to_owned(),
            n => format!("{} Einträge", self.number(n)),
        };
        match notice.code {
            Alert::SessionExpired => {
                let safe = "Bitte melden Sie sich neu an.";
                match n("waiting") {
                    0 => format!("Die Sitzung ist abgelaufen. {safe}"),
                    waiting => {
                        format!("Die Sitzung ist abgelaufen. {safe} Hier sicher: {}.", records(waiting))
                    }
                }
            }
            Alert::FailedRecords => {
                format!("Nicht übertragbar: {}. Sehen Sie unter „Fehler“ nach.", records(n("failed")))
            }
            Alert::Backlog => format!(
                "Seit über {} Minuten warten viele Einträge: {}.",
                self.number(n("minutes")),
                self.number(n("waiting"))
            ),
            Alert::BacklogDay => format!(
                "Seit über {} Stunden wartet etwas: {}.",
                self.number(n("hours")),
                records(n("waiting"))
            ),
            Alert::DiskFull => {
                "Der Datenträger ist voll oder die Obergrenze buffer.max_bytes erreicht: neue Einträge können nicht \
                 gespeichert werden. Schaffen Sie Platz."
                    .to_owned()
            }
            Alert::FailureRate => format!(
                "{} von {} Läufen sind gescheitert.",
                self.number(n("failed")),
                self.number(n("runs"))
            ),
        }
    }

    /// With the thousands apart: 1,204 or 1.204.
    pub fn number(self, n: u64) -> String {
        let separator = match self {
            Lang::En => ',',
            Lang::De => '.',
        };
        let digits = n.to_string();
        let mut text = String::with_capacity(digits.len() + digits.len() / 3);
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                text.push(separator);
            }
            text.push(digit);
        }
        text
    }
}

/// The user's locale, as POSIX says it; None where the system says it otherwise.
fn locale() -> Option<String> {
    ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// The user's language as a tag for the window, so that tray and window speak the same one.
pub fn tag_of_user() -> Option<String> {
    tag(&locale()?)
}

/// `de_AT.UTF-8` is `de-AT`; `C` and `POSIX` are no language.
fn tag(locale: &str) -> Option<String> {
    let name = locale.split(['.', '@']).next()?.replace('_', "-");
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    (plain && !matches!(name.as_str(), "" | "C" | "POSIX")).then_some(name)
}

/// `{}` stands for a number or a time, in the order of the sentence.
#[derive(Debug)]
pub struct Words {
    pub up_to_date: &'static str,
    pub confirmed: &'static str,
    pub just_now: &'static str,
    pub minutes_ago: &'static str,
    pub hours_ago: &'static str,
    pub days_ago: &'static str,
    pub waiting: &'static str,
    pub nothing_waiting: &'static str,
    pub next_sync_at: &'static str,
    pub sending: &'static str,
    pub checking: &'static str,
    pub retry_in_seconds: &'static str,
    pub retry_in_minutes: &'static str,
    pub retry_now: &'static str,
    pub one_needs_you: &'static str,
    pub many_need_you: &'static str,
    /// How many, and whose.
    pub one_of_others: &'static str,
    pub many_of_others: &'static str,
    pub needs_attention: &'static str,
    pub paused: &'static str,
    pub paused_metered: &'static str,
    pub paused_battery: &'static str,
    pub paused_until: &'static str,
    pub session_expired: &'static str,
    pub signed_out: &'static str,
    pub buffer_problem: &'static str,
    pub no_start: &'static str,
    pub starting: &'static str,
    pub no_agent: &'static str,
    pub quitting: &'static str,
    pub restarting: &'static str,
    pub sync_now: &'static str,
    pub stop: &'static str,
    pub pause_hour: &'static str,
    pub pause_tomorrow: &'static str,
    pub resume: &'static str,
    pub open: &'static str,
    pub quit: &'static str,
    pub needs_you: &'static str,
    pub in_tray: &'static str,
    pub in_tray_how: &'static str,
    /// From Monday on.
    pub days: [&'static str; 7],
    /// A day of another week, as jiff formats it.
    pub date: &'static str,
}

static EN: Words = Words {
    up_to_date: english::UP_TO_DATE,
    confirmed: "confirmed {}",
    just_now: "just now",
    minutes_ago: "{} min ago",
    hours_ago: "{} h ago",
    days_ago: "{} days ago",
    waiting: "{} waiting",
    nothing_waiting: english::NOTHING_WAITING,
    next_sync_at: "next sync at {}",
    sending: "Sending {} of {}",
    checking: english::CHECKING,
    retry_in_seconds: "retry in {} s",
    retry_in_minutes: "retry in {} min",
    retry_now: "retrying now",
    one_needs_you: "1 record needs you",
    many_need_you: "{} records need you",
    one_of_others: "{} failed record of {} is still here",
    many_of_others: "{} failed records of {} are still here",
    needs_attention: english::NEEDS_ATTENTION,
    paused: english::PAUSED,
    paused_metered: "Paused on a metered connection",
    paused_battery: "Paused on battery",
    paused_until: "Paused until {}",
    session_expired: english::SESSION_EXPIRED,
    signed_out: english::SIGNED_OUT,
    buffer_problem: english::BUFFER_PROBLEM,
    no_start: "The companion cannot start",
    starting: "Starting",
    no_agent: "The companion is not answering",
    quitting: "Ending after the batch in flight",
    restarting: "Starting again after the batch in flight",
    sync_now: "Sync now",
    stop: "Stop",
    pause_hour: "Pause for 1 hour",
    pause_tomorrow: "Pause until tomorrow",
    resume: "Resume",
    open: "Open",
    quit: "Quit",
    needs_you: "HeyHo Companion needs you",
    in_tray: "HeyHo Companion goes on in the tray",
    in_tray_how: "It keeps what browsers hand over, and sends it. To end it, choose Quit in its menu or in its settings.",
    days: ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
    date: "%-d %b",
};

static DE: Words = Words {
    up_to_date: "Alles übertragen",
    confirmed: "bestätigt {}",
    just_now: "gerade eben",
    minutes_ago: "vor {} Min.",
    hours_ago: "vor {} Std.",
    days_ago: "vor {} Tagen",
    waiting: "{} warten",
    nothing_waiting: "Nichts wartet, länger nicht bestätigt",
    next_sync_at: "nächster Abgleich um {}",
    sending: "{} von {} gesendet",
    checking: "Abgleich mit dem Server",
    retry_in_seconds: "neuer Versuch in {} s",
    retry_in_minutes: "neuer Versuch in {} Min.",
    retry_now: "neuer Versuch jetzt",
    one_needs_you: "1 Eintrag braucht Sie",
    many_need_you: "{} Einträge brauchen Sie",
    one_of_others: "{} fehlgeschlagener Eintrag von {} liegt noch hier",
    many_of_others: "{} fehlgeschlagene Einträge von {} liegen noch hier",
    needs_attention: "Der Abgleich braucht Sie",
    paused: "Angehalten",
    paused_metered: "Angehalten bei getakteter Verbindung",
    paused_battery: "Angehalten im Akkubetrieb",
    paused_until: "Angehalten bis {}",
    session_expired: "Sitzung abgelaufen. Bitte neu anmelden",
    signed_out: "Zum Starten anmelden",
    buffer_problem: "Der Speicher auf diesem Rechner hat ein Problem",
    no_start: "Der Companion kann nicht starten",
    starting: "Startet",
    no_agent: "Der Companion antwortet nicht",
    quitting: "Endet nach der laufenden Sendung",
    restarting: "Startet neu nach der laufenden Sendung",
    sync_now: "Jetzt abgleichen",
    stop: "Stopp",
    pause_hour: "1 Stunde anhalten",
    pause_tomorrow: "Bis morgen anhalten",
    resume: "Fortsetzen",
    open: "Öffnen",
    quit: "Beenden",
    needs_you: "HeyHo Companion braucht Sie",
    in_tray: "HeyHo Companion läuft im Infobereich weiter",
    in_tray_how: "Er nimmt an, was Browser abgeben, und sendet es. Zum Beenden: Beenden in seinem Menü oder in den Optionen.",
    days: ["Mo", "Di", "Mi", "Do", "Fr", "Sa", "So"],
    date: "%-d.%-m.",
};

/// Puts the values in the places of `{}`.
pub fn fill(sentence: &str, values: &[&str]) -> String {
    let mut text = String::with_capacity(sentence.len() + 16);
    let mut values = values.iter();
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once("{}") {
        text.push_str(before);
        text.push_str(values.next().copied().unwrap_or_default());
        rest = after;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_is_a_language_and_english_without_one() {
        assert_eq!(["de", "de_AT.UTF-8", "de-DE"].map(Lang::of), [Lang::De; 3]);
        assert_eq!(["en_GB.UTF-8", "C", "C.UTF-8", "", "deutsch", "fr_FR"].map(Lang::of), [Lang::En; 6]);
    }

    #[test]
    fn the_window_is_told_a_tag_or_nothing() {
        assert_eq!(tag("de_AT.UTF-8").as_deref(), Some("de-AT"));
        assert_eq!(tag("ca_ES@valencia").as_deref(), Some("ca-ES"));
        assert_eq!(["C", "C.UTF-8", "POSIX", "", "a b", "x#y"].map(tag), [const { None }; 6]);
    }

    #[test]
    fn a_full_store_is_not_taken_for_a_full_disk() {
        let code = Alert::DiskFull;
        let notice = Notice { code, text: String::new(), args: [].into(), raised: true };
        let text = Lang::De.alert(&notice);
        assert!(text.contains("buffer.max_bytes"), "{text}");
    }

    #[test]
    fn numbers_have_their_thousands_apart() {
        let en = [0, 999, 1_000, 48_310, 1_234_567].map(|n| Lang::En.number(n));
        assert_eq!(en, ["0", "999", "1,000", "48,310", "1,234,567"]);
        assert_eq!(Lang::De.number(48_310), "48.310");
    }

    #[test]
    fn values_stand_in_their_places() {
        assert_eq!(fill("Sending {} of {}", &["1", "2"]), "Sending 1 of 2");
        assert_eq!(fill("Paused", &["1"]), "Paused");
    }
}
