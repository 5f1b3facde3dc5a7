/**
 * Elements of SVG and HTML as text.
 */

/** Text as it stands in an element or in an attribute between double quotes. */
export function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

type Attributes = Readonly<Record<string, string | number>>;

/** An element; its content is markup, not text. */
export function element(name: string, attributes: Attributes, content = ''): string {
  const words = Object.entries(attributes).map(
    ([key, value]) =>
      ` ${key}="${typeof value === 'number' ? rounded(value) : escaped(value)}"`,
  );
  return `<${name}${words.join('')}>${content}</${name}>`;
}

/** A tenth of a pixel is seen by nobody. */
export function rounded(value: number): string {
  return String(Number(value.toFixed(1)));
}
