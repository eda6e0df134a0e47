/**
 * uPlot, loaded when there is something to draw. It reads the browser's language as it is loaded, and a web view in
 * the POSIX locale calls its language "C", which Intl takes for no language at all: it gets the reader's instead.
 */
export async function plot(locale: string) {
  try {
    Intl.NumberFormat.supportedLocalesOf(navigator.language);
  } catch {
    Object.defineProperty(navigator, "language", { value: locale, configurable: true });
  }
  return (await import("uplot")).default;
}
