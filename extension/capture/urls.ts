/**
 * Which addresses are pages, and when two addresses are the same page.
 */

/** Only http and https are visits; all else (settings, files, extensions) is nobody's business. */
export function isWeb(url: string): boolean {
  return /^https?:\/\//i.test(url);
}

export function domainOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname : '';
}

/**
 * Whether a change of address within a document leaves the visitor on the same page.
 * A fragment is a place on the page, but for hash routers, which spell routes as `#/…` or `#!…`.
 */
export function samePage(a: string, b: string): boolean {
  return pageOf(a) === pageOf(b);
}

function pageOf(url: string): string {
  const hash = url.indexOf('#');
  if (hash < 0) return url;
  return /^#!|^#\//.test(url.slice(hash)) ? url : url.slice(0, hash);
}

/**
 * The title a browser shows before a page has one of its own: its address, more or less.
 * It says nothing, and would carry a query that a privacy rule strips.
 */
export function isPlaceholderTitle(title: string, url: string): boolean {
  const shown = bare(title);
  const host = domainOf(url).replace(/^www\./, '');
  return shown !== '' && host !== '' && shown.startsWith(host) && bare(url).startsWith(shown);
}

function bare(address: string): string {
  const text = address.replace(/^https?:\/\//i, '').replace(/^www\./i, '').replace(/\/$/, '');
  try {
    return decodeURI(text);
  } catch {
    return text;
  }
}
