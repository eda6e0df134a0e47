/**
 * Numbers, sizes, times and plurals in the reader's language, all through Intl.
 * Every function is pure: `now` is a parameter.
 */
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Nothing takes no time: shorter durations are said to take this many seconds. */
const SHORTEST = 0.1;

export interface Forms {
  one: string;
  other: string;
}

export class Format {
  readonly locale: string;
  readonly #number: Intl.NumberFormat;
  readonly #plural: Intl.PluralRules;
  readonly #relative: Intl.RelativeTimeFormat;

  constructor(locale: string) {
    this.locale = locale;
    this.#number = new Intl.NumberFormat(locale);
    this.#plural = new Intl.PluralRules(locale);
    this.#relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "short" });
  }

  number(n: number): string {
    return this.#number.format(n);
  }

  /** Names one after the other, as a sentence has them. */
  list(names: readonly string[]): string {
    return new Intl.ListFormat(this.locale).format(names);
  }

  /** The form for `n`, with `#` replaced by the number. */
  plural(n: number, forms: Forms): string {
    const form = this.#plural.select(n) === "one" ? forms.one : forms.other;
    return form.replaceAll("#", this.number(n));
  }

  bytes(n: number): string {
    const units = ["byte", "kilobyte", "megabyte", "gigabyte"] as const;
    let value = n;
    let unit = 0;
    while (value >= 1000 && unit < units.length - 1) {
      value /= 1000;
      unit += 1;
    }
    return new Intl.NumberFormat(this.locale, {
      style: "unit",
      unit: units[unit] ?? "byte",
      unitDisplay: unit === 0 ? "long" : "short",
      maximumFractionDigits: unit > 0 && value < 10 ? 1 : 0,
    }).format(value);
  }

  /** "2 min. ago", "in 40 sec.", "now". What has passed is rounded down; what is to come to the nearest, but seconds up. */
  relative(at: Date, now: Date): string {
    const ms = at.getTime() - now.getTime();
    const size = Math.abs(ms);
    const [unit, length] =
      size < MINUTE
        ? (["second", SECOND] as const)
        : size < HOUR
          ? (["minute", MINUTE] as const)
          : size < DAY
            ? (["hour", HOUR] as const)
            : (["day", DAY] as const);
    const n = ms < 0 || unit === "second" ? Math.ceil(ms / length) : Math.round(ms / length);
    return this.#relative.format(n, unit);
  }

  /** How long something takes, in its largest unit: "40 sec", "3 min", "2 hr". */
  duration(seconds: number): string {
    const [unit, value] =
      seconds < 100
        ? (["second", seconds] as const)
        : seconds < 100 * 60
          ? (["minute", seconds / 60] as const)
          : (["hour", seconds / 3600] as const);
    return new Intl.NumberFormat(this.locale, {
      style: "unit",
      unit,
      unitDisplay: "short",
      maximumFractionDigits: unit === "second" && value < 10 ? 1 : 0,
    }).format(Math.max(value, SHORTEST));
  }

  /** The clock time today, else with the day. */
  clock(at: Date, now: Date): string {
    const time = new Intl.DateTimeFormat(this.locale, { timeStyle: "short" }).format(at);
    if (at.toDateString() === now.toDateString()) return time;
    const near = Math.abs(at.getTime() - now.getTime()) < 6 * DAY;
    const day: Intl.DateTimeFormatOptions = near ? { weekday: "short" } : { day: "numeric", month: "short" };
    return `${new Intl.DateTimeFormat(this.locale, day).format(at)} ${time}`;
  }

  /** In full, for tooltips and screen readers. */
  absolute(at: Date): string {
    return new Intl.DateTimeFormat(this.locale, { dateStyle: "full", timeStyle: "medium" }).format(at);
  }

  /** A length that somebody chooses: "5 minutes", "1 hour". */
  length(minutes: number): string {
    const [unit, value] = minutes % 60 === 0 && minutes > 0 ? (["hour", minutes / 60] as const) : (["minute", minutes] as const);
    return new Intl.NumberFormat(this.locale, { style: "unit", unit, unitDisplay: "long" }).format(value);
  }

  /** The hour of a chart's axis: "14" or "2 PM", as the reader writes it. */
  hour(at: Date): string {
    return new Intl.DateTimeFormat(this.locale, { hour: "numeric" }).format(at);
  }

  /** A number for a narrow place: "1.2K". */
  compact(n: number): string {
    return new Intl.NumberFormat(this.locale, { notation: "compact", maximumFractionDigits: 1 }).format(n);
  }
}
