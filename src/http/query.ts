/**
 * Query strings as CCF reads them (http-api.md §1): raw text, split on `&` and `=`, not decoded.
 */

/** Value of the first parameter of this name; undefined if there is none. */
export function queryValue(query: string, name: string): string | undefined {
  let start = 0;
  while (start < query.length) {
    let end = query.indexOf('&', start);
    if (end === -1) end = query.length;
    const equals = query.indexOf('=', start);
    const nameEnd = equals === -1 || equals > end ? end : equals;
    if (nameEnd - start === name.length && query.startsWith(name, start)) {
      return query.slice(Math.min(nameEnd + 1, end), end);
    }
    start = end + 1;
  }
  return undefined;
}

/** A whole number of at most 53 bits in decimal, or undefined if the text is anything else. */
export function wholeNumber(text: string): number | undefined {
  if (!/^\d{1,16}$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}
